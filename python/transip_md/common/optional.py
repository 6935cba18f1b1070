"""Optional packages that judge and read runs, without their noise."""

from __future__ import annotations

import contextlib
import io
import logging
from types import ModuleType

#: What to type where one is missing.
INSTALL = "Type `pip install 'transip-md[validate]'`."


def physical_validation() -> ModuleType | None:
    """The package physical_validation (Merz and Shirts, PLOS ONE 13, e0202764 (2018)), or None without it."""
    before = logging.root.manager.disable
    # pymbar advertises JAX through a warning when it is imported.
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import physical_validation as package
    except ImportError:
        return None
    finally:
        logging.disable(before)
    return package


def mdtraj() -> ModuleType | None:
    """The package mdtraj (McGibbon et al., Biophys. J. 109, 1528 (2015)), or None without it."""
    try:
        import mdtraj as package
    except ImportError:
        return None
    return package
