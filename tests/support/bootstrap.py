"""Imports a function as Lambda does. The programs that run in a bare Python read this module too."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

_imports = itertools.count()


def load_module(path: Path) -> ModuleType:
    """Import the file afresh, as a cold start does. All functions have an ``app``, so each import gets a new name."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}_{next(_imports)}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
