"""undertow: measure, detect, prevent and study subliminal learning."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

__all__ = ["DiffResult", "GateResult", "ScanResult", "diff", "gate", "scan"]


def __getattr__(name: str) -> object:
    # The verbs import pydantic, and their work torch: who imports undertow pays for neither before the first call.
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.integrations.notebook_results"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
