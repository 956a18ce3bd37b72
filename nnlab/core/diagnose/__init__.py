"""The doctor: what a run's record, its layers and its rows say went wrong, with evidence and what would mend it."""

from nnlab.core.diagnose.doctor import Diagnosis as Diagnosis
from nnlab.core.diagnose.doctor import diagnose as diagnose
from nnlab.core.diagnose.registry import DIAGNOSES as DIAGNOSES
from nnlab.core.diagnose.registry import Plot as Plot
from nnlab.core.diagnose.registry import Verdict as Verdict
