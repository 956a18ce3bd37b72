"""Architectures, one file each; every file of this package is imported and registers itself."""

import importlib
import pkgutil

from nnlab.core.models.registry import MODELS as MODELS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
