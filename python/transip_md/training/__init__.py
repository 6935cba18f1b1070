"""Training of TransIP models from labelled structures."""

from __future__ import annotations

import importlib.util

from transip_md.common.errors import EnvironmentFaultError


def require_lightning() -> None:
    """Raise EnvironmentFaultError unless Lightning and TensorBoard are installed."""
    for name in ("lightning", "tensorboard"):
        if importlib.util.find_spec(name) is None:
            raise EnvironmentFaultError(f"Training needs {name}. Type `pip install 'transip-md[train]'`.")
