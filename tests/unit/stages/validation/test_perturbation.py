"""Shaking lists events at a tie, and no event whose outputs are steep but smooth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from modelferry.comparison.difference import ILL_CONDITIONED, Examination
from modelferry.comparison.eager import run_eagerly
from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.stages.validation.perturbation import Examiner

EVENTS = 40
STEEP = 1e4


class Two(Family):
    """Events of two numbers; `larger`, which `collate` adds in integers, says which of them is larger."""

    name = "two"

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        return Contract(
            layout=layout,
            inputs=(
                Tensor(name="x", dtype="float32", shape=("events", 2)),
                Tensor(name="larger", dtype="int64", shape=("events",)),
            ),
            outputs=(Tensor(name="y", dtype="float32", shape=("events", 1)),),
            dimensions=(Dimension(name="events", minimum=1, typical=8, maximum=64),),
        )

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        x = np.stack([event["x"] for event in events])
        return {"x": x, "larger": (x[:, 0] > x[:, 1]).astype(np.int64)}

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module: ...  # type: ignore[empty-body]
    def deployable(self, *arguments: Any) -> torch.nn.Module: ...  # type: ignore[override, empty-body]
    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]: ...  # type: ignore[empty-body]


class OfNetworks(Two):
    """Leaves all decisions to the network."""

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        inputs = super().collate(events, layout)
        return {**inputs, "larger": np.zeros_like(inputs["larger"])}


class Smooth(torch.nn.Module):
    """Steep, curved, and near 0 where the two numbers are equal; without rounding that would be steep as well."""

    def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
        return STEEP * ((x[:, :1] - x[:, 1:]) * (x[:, :1] + x[:, 1:])).sinh()


class OfOne(torch.nn.Module):
    """Of the size 1, in a few operations."""

    def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
        return (x[:, :1] / x[:, 1:]).exp().log() + x[:, 1:] * 0


class Tie(Smooth):
    """The same, and more by 0.01 where the first number is the larger one."""

    def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
        return super().forward(x, larger) + 0.01 * (x[:, :1] > x[:, 1:])


class TieInCollate(Smooth):
    """The same, decided before the network."""

    def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
        return super().forward(x, larger) + 0.01 * larger.unsqueeze(1)


def examined(network: torch.nn.Module, apart: float) -> tuple[Examination, np.ndarray]:
    """Return what is found of events whose two numbers differ by a part `apart`, and jumps that make a tie of them."""
    family = Two() if isinstance(network, TieInCollate) else OfNetworks()
    contract = family.contract({}, "only")
    x = np.random.default_rng(0).uniform(0.5, 2, (EVENTS, 1)) * [1, 1 + apart]
    events = [{"x": row} for row in x.astype(np.float32)]
    float64 = run_eagerly(network, contract, [family.collate(events, "only")], torch.float64)["y"]
    found = Examiner(family, contract, lambda: (network, network))(events)["y"]
    return found, ILL_CONDITIONED * Tolerance().allowed(float64)


def listed(network: torch.nn.Module, apart: float) -> np.ndarray:
    """Return which of them are listed."""
    found, limit = examined(network, apart)
    return np.any(found.jumps > limit, axis=(0, 2))


def counted(network: torch.nn.Module, apart: float) -> np.ndarray:
    """Return which of them count as decided by rounding."""
    found, limit = examined(network, apart)
    return np.any(found.short_jumps > limit, axis=(0, 2))


def test_steep_functions_move_far_and_are_not_listed() -> None:
    x = torch.tensor([[1.0, 1.0], [1.0, 1 + 1e-6]], dtype=torch.float64)
    moved = Smooth()(x, x[:, 0]).diff(dim=0).abs()
    assert moved > 1000 * Tolerance().atol  # a move that the old rule took for a tie
    assert not listed(Smooth(), 0.0).any()
    assert not listed(Smooth(), 1e-3).any()
    assert not counted(Smooth(), 0.0).any()


@pytest.mark.parametrize("network", [Tie(), TieInCollate()], ids=lambda network: type(network).__name__)
def test_ties_are_listed_at_them_and_close_to_them_and_nowhere_else(network: torch.nn.Module) -> None:
    assert listed(network, 0.0).mean() > 0.9  # each of the directions crosses it or not
    assert listed(network, 3e-7).mean() > 0.7
    assert not listed(network, 1e-4).any()


@pytest.mark.parametrize("network", [Tie(), TieInCollate()], ids=lambda network: type(network).__name__)
def test_only_ties_that_the_short_move_crosses_count_as_decided_by_rounding(network: torch.nn.Module) -> None:
    assert counted(network, 0.0).mean() > 0.9
    if isinstance(network, TieInCollate):
        assert np.array_equal(counted(network, 1e-6), listed(network, 1e-6))  # a family may have decided with less
    else:
        assert not counted(network, 1e-6).any()
        assert listed(network, 1e-6).any()


def test_a_change_of_shape_counts_as_it_is() -> None:
    class Longer(Two):
        def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
            whole = super().contract(hyperparameters, layout)
            larger = Tensor(name="larger", dtype="int64", shape=("found",))
            return whole.model_copy(update={"inputs": (whole.inputs[0], larger)})

        def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
            inputs = super().collate(events, layout)
            return {**inputs, "larger": np.flatnonzero(inputs["larger"])}

    class Marked(torch.nn.Module):
        def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
            return 0.01 * torch.isin(torch.arange(len(x)), larger).to(x.dtype).unsqueeze(1)

    family = Longer()
    contract = family.contract({}, "only")
    x = np.repeat(np.random.default_rng(0).uniform(0.5, 2, (EVENTS, 1)), 2, axis=1).astype(np.float32)
    found = Examiner(family, contract, lambda: (Marked(), Marked()))([{"x": row} for row in x])["y"]
    assert (found.jumps.max(axis=0) > 0.009).mean() > 0.8


def test_noise_is_that_of_float32_near_the_event() -> None:
    found, _ = examined(OfOne(), 0.0)
    assert found.noise.shape == (EVENTS, 1)
    assert 2.0**-26 < np.median(found.noise) < 2.0**-22  # a few roundings of numbers about 1


def test_each_event_is_examined_once_and_what_is_known_never() -> None:
    family, network = OfNetworks(), Smooth()
    contract, calls = family.contract({}, "only"), []

    def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
        calls.append(1)
        return network, network

    events = [{"x": row} for row in np.random.default_rng(0).uniform(0.5, 2, (3, 2)).astype(np.float32)]
    examiner = Examiner(family, contract, networks)
    first = examiner([events[0], events[1], events[0]])["y"]
    assert len(calls) == 1
    assert np.array_equal(first.noise[0], first.noise[2])
    examiner(events[:2])
    assert len(calls) == 1
    known = Examiner(family, contract, networks, [(events[0], {"y": first.take([0])})])
    assert np.array_equal(known([events[0]])["y"].jumps, first.jumps[:, :1])
    assert len(calls) == 1
