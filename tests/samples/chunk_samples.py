"""A campaign of small byte CNNs, for runs that are divided into chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from modelferry.families import load_family

SIZES = {"embedding": 4, "convolutions": [[6, 3, True], [5, 3, False]], "dense": 8, "max_len": 64}


def byte_cnns(models: int) -> dict[str, Any]:
    """Return the config of a campaign of so many models."""
    campaign = {
        "family": "bytecnn",
        "axes": {"fold": list(range(models))},
        "checkpoint": "weights/fold-{fold}.pth",
        "hyperparameters": {"max_len": 64},
        "formats": ["python"],
        "validation": {"events": 60},
        "benchmark": {"seconds": 0.01, "batches": [1], "sizes": [5]},
    }
    return {"campaigns": {"edge": campaign}}


def save_byte_cnn(path: Path, seed: int) -> None:
    """Write a checkpoint with random weights."""
    family = load_family("bytecnn")
    torch.manual_seed(seed)
    state = family.reference({**family.hyperparameters, **SIZES}).state_dict()
    state["output.weight"] *= 10
    path.parent.mkdir(exist_ok=True)
    torch.save({n.replace("classifier.", "fc1.").replace("output.", "fc2."): t for n, t in state.items()}, path)
