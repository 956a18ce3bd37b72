"""The training core; imports none of the faces."""

import os
import sys

# OpenMP threads that wait in a loop for the others keep these from the cores that they wait for, on a busy machine. It
# is read when torch loads its OpenMP, so it can only be said before.
if "torch" not in sys.modules:
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
