"""Inputs of jet taggers in both layouts, `prepared` and `raw`: what they are, and mistakes in preparing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modelferry.core.contract import Arrays, Contract, Tensor
from modelferry.core.errors import ConfigError
from modelferry.families.jets import Card

Mistake = Callable[[Arrays, Contract], Arrays]

RAW_NOTE = (
    "columns go in as they are in the files, in GeV and mm, for the preparation is inside; mask is True where there is "
    "a particle, and what stands elsewhere counts for nothing"
)
PREPARED_NOTE = (
    "pf_mask is 1 where there is a particle and 0 elsewhere, where the other inputs may hold anything finite; the data "
    "card in the hyperparameters says how to prepare them"
)


def prepared_input(card: Card, name: str) -> Tensor:
    """Return what an input of the layout `prepared` is."""
    given = card.inputs[name]
    names = ", ".join(given.names)
    return Tensor(name=name, dtype="float32", shape=("jets", len(given.vars), "particles"), description=names)


def raw_inputs(card: Card) -> tuple[Tensor, ...]:
    """Return what the inputs of the layout `raw` are: columns of particles, which are real, and columns of jets."""
    particles, jets = card.particle_branches, card.jet_branches
    if not jets:
        raise ConfigError("the data card takes no column of the jet, and the layout raw needs one", "use prepared")
    return (
        Tensor(name="particles", dtype="float32", shape=("jets", "particles", len(particles)), features=particles),
        Tensor(name="mask", dtype="bool", shape=("jets", "particles"), description="where there is a particle"),
        Tensor(name="jet", dtype="float32", shape=("jets", len(jets)), features=jets),
    )


def padded(events: Sequence[Arrays]) -> Arrays:
    """Return the inputs of the layout `raw` for events, as long as the longest."""
    lengths = np.array([len(event["particles"]) for event in events])
    mask = np.arange(max(1, lengths.max())) < lengths[:, None]
    particles = np.zeros((*mask.shape, events[0]["particles"].shape[1]), np.float32)
    particles[mask] = np.concatenate([event["particles"] for event in events])
    return {"particles": particles, "mask": mask, "jet": np.stack([event["jet"] for event in events])}


def _rolled(x: np.ndarray) -> np.ndarray:
    return np.roll(x, 1, axis=-1)


def _swapped(features: np.ndarray) -> np.ndarray:
    order = np.arange(features.shape[1])
    order[[0, 1]] = 1, 0
    return np.ascontiguousarray(features[:, order])


RAW_MISTAKES: Mapping[str, Mistake] = {
    "columns exchanged": lambda inputs, _: {**inputs, "particles": _rolled(inputs["particles"])},
    "jet_pt and jet_energy exchanged": lambda inputs, _: {**inputs, "jet": inputs["jet"][:, ::-1].copy()},
    "mask ignored": lambda inputs, _: {**inputs, "mask": np.ones_like(inputs["mask"])},
}
PREPARED_MISTAKES: Mapping[str, Mistake] = {
    "first two features swapped": lambda inputs, _: {**inputs, "pf_features": _swapped(inputs["pf_features"])},
    "features not standardised": lambda inputs, _: {**inputs, "pf_features": inputs["pf_features"] / 0.7},
    "mask ignored": lambda inputs, _: {**inputs, "pf_mask": np.ones_like(inputs["pf_mask"])},
}
