"""modelferry carries trained PyTorch models to where they run, and proves that they arrive unchanged."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelferry.api.export import Artifact, export, export_checkpoint, load, validate
    from modelferry.api.lightning_mixin import ExportMixin
    from modelferry.api.torchscript import (
        export_checkpoint_to_torchscript,
        export_to_torchscript,
        load_torchscript,
        validate_torchscript_export,
    )
    from modelferry.comparison.result import Comparison
    from modelferry.core.contract import Contract, Dimension, Tensor
    from modelferry.core.errors import ModelferryError
    from modelferry.core.events import EventSet
    from modelferry.core.installation import SNAKEFILE
    from modelferry.families import Family
    from modelferry.families.trained import TrainedModel, load_checkpoint
    from modelferry.formats import CheckedRunner, Format, Runner
    from modelferry.runtimes import Runtime
    from modelferry.stages.comparison.compare import compare
    from modelferry.version import __version__

__all__ = [
    "SNAKEFILE",
    "Artifact",
    "CheckedRunner",
    "Comparison",
    "Contract",
    "Dimension",
    "EventSet",
    "ExportMixin",
    "Family",
    "Format",
    "ModelferryError",
    "Runner",
    "Runtime",
    "Tensor",
    "TrainedModel",
    "__version__",
    "compare",
    "export",
    "export_checkpoint",
    "export_checkpoint_to_torchscript",
    "export_to_torchscript",
    "load",
    "load_checkpoint",
    "load_torchscript",
    "validate",
    "validate_torchscript_export",
]

# ONNX Runtime reads it when it is imported; without it, a device id and events go to the home folder.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"

_HOMES = {
    "modelferry.api.export": ("Artifact", "export", "export_checkpoint", "load", "validate"),
    "modelferry.comparison.result": ("Comparison",),
    "modelferry.core.contract": ("Contract", "Dimension", "Tensor"),
    "modelferry.core.errors": ("ModelferryError",),
    "modelferry.core.events": ("EventSet",),
    "modelferry.core.installation": ("SNAKEFILE",),
    "modelferry.families": ("Family",),
    "modelferry.families.trained": ("TrainedModel", "load_checkpoint"),
    "modelferry.stages.comparison.compare": ("compare",),
    "modelferry.formats": ("CheckedRunner", "Format", "Runner"),
    "modelferry.runtimes": ("Runtime",),
    "modelferry.api.lightning_mixin": ("ExportMixin",),
    "modelferry.api.torchscript": (
        "export_checkpoint_to_torchscript",
        "export_to_torchscript",
        "load_torchscript",
        "validate_torchscript_export",
    ),
    "modelferry.version": ("__version__",),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import modelferry` alone must stay quick."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'modelferry' has no attribute '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
