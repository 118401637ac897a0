"""Weights of the charged-Higgs network that a formula defines (last section of its sheet)."""

import zlib
from pathlib import Path

import numpy as np
import torch

from modelferry.families.charged_higgs_particlenet.flat import FlatParticleNet


def formula(key: str, shape: tuple[int, ...], salt: str = "") -> torch.Tensor:
    u = np.random.RandomState(zlib.crc32((key + salt).encode())).uniform(-1, 1, shape)
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if last == "running_var":
        value = 1 + 0.5 * u
    elif last in ("running_mean", "bias"):
        value = 0.2 * u
    elif last == "mean_scale" or len(shape) == 1:
        value = 1 + 0.3 * u
    else:
        value = u * np.sqrt(3 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def formula_state(hidden: int = 128, salt: str = "") -> dict[str, torch.Tensor]:
    """Return the sheet's weights for a width; another `salt` gives another network of the same kind."""
    blank = FlatParticleNet(hidden).state_dict()
    return {key: formula(key, tuple(value.shape), salt) for key, value in blank.items()}


def save_checkpoint(path: Path, hidden: int = 16, salt: str = "") -> Path:
    """Write a checkpoint with the structure of the analysis's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state_dict": formula_state(hidden, salt), "val_loss": 0.5, "best_loss": 0.5, "epoch": 0}, path)
    return path
