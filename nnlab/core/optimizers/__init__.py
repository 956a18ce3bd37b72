"""Optimizers, one decorated function each; every file of this package is imported and registers itself."""

import importlib
import pkgutil

from nnlab.core.optimizers.registry import OPTIMIZERS as OPTIMIZERS
from nnlab.core.optimizers.registry import WRAPPERS as WRAPPERS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
