"""The 100 jets of `jet-universe/sophon`, and the formula weights of the sheet of the Particle Transformer."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch
import uproot

from modelferry.core.contract import Arrays
from modelferry.families.jets.base import JetFamily
from sheets import third_party

JETS = "sophon/JetClassII_example_100_as_JetClass.root"


def jets_of(family: JetFamily) -> list[Arrays]:
    """Return the 100 jets as events of a family; skip the test where the file is absent."""
    with uproot.open(third_party(JETS)) as file:
        return family.events_of({name: file["tree"][name].array() for name in family.card.input_branches})


def formula_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Return the weights of section 9 of the sheet of the Particle Transformer, for names without ``mod.``."""
    return {name: _formula(f"mod.{name}", shape) for name, shape in shapes.items()}


def _formula(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    u = np.random.RandomState(zlib.crc32(key.encode())).uniform(-1, 1, shape)
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if last in ("running_var", "c_attn"):
        value = 1 + 0.5 * u
    elif last in ("running_mean", "bias"):
        value = 0.2 * u
    elif last == "cls_token":
        value = u
    elif len(shape) == 1:
        value = 1 + 0.3 * u
    else:
        value = u * np.sqrt(3 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, np.float32))
