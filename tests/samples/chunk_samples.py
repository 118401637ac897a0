"""Campaigns of small byte CNNs, which need no library beside torch: a run of the workflow takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from modelferry.families import load_family

QUICK: dict[str, Any] = {
    "family": "bytecnn",
    "hyperparameters": {"max_len": 64},
    "formats": ["python"],
    "validation": {"events": 60},
    "benchmark": {"seconds": 0.01, "batches": [1], "sizes": [5]},
}
SIZES = {"embedding": 4, "convolutions": [[6, 3, True], [5, 3, False]], "dense": 8, "max_len": 64}


def byte_cnns(models: int) -> dict[str, Any]:
    """Return the config of a campaign of so many models."""
    campaign = {**QUICK, "axes": {"fold": list(range(models))}, "checkpoint": "weights/fold-{fold}.pth"}
    return {"campaigns": {"edge": campaign}}


def save_byte_cnn(path: Path, seed: int, **sizes: int) -> None:
    """Write a checkpoint with random weights."""
    family = load_family("bytecnn")
    torch.manual_seed(seed)
    state = family.reference({**family.hyperparameters, **SIZES, **sizes}).state_dict()
    state["output.weight"] *= 10
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({n.replace("classifier.", "fc1.").replace("output.", "fc2."): t for n, t in state.items()}, path)
