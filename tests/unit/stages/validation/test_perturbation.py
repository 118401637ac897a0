"""Shaking lists events at a tie, and no event whose outputs are steep but smooth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from modelferry.comparison.difference import Outputs, decided_by_rounding, unstable
from modelferry.comparison.eager import run_eagerly
from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.families.probes import Probe
from modelferry.stages.validation.perturbation import evaluate_perturbed

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


class Tie(Smooth):
    """The same, and more by 0.01 where the first number is the larger one."""

    def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
        return super().forward(x, larger) + 0.01 * (x[:, :1] > x[:, 1:])


class TieInCollate(Smooth):
    """The same, decided before the network."""

    def forward(self, x: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
        return super().forward(x, larger) + 0.01 * larger.unsqueeze(1)


def outputs(network: torch.nn.Module, apart: float) -> Outputs:
    """Return what is known of events whose two numbers differ by a part `apart`."""
    family = Two() if isinstance(network, TieInCollate) else OfNetworks()
    contract = family.contract({}, "only")
    x = np.random.default_rng(0).uniform(0.5, 2, (EVENTS, 1)) * [1, 1 + apart]
    probes = [Probe("", "", tuple({"x": row} for row in x.astype(np.float32)))]
    inputs = [family.collate(probes[0].events, "only")]
    float32, float64 = (run_eagerly(network, contract, inputs, dtype) for dtype in (torch.float32, torch.float64))
    perturbed, less = evaluate_perturbed(network, family, contract, probes, float32)
    return Outputs(float64["y"], float32["y"], float32["y"], perturbed["y"], less["y"])


def listed(network: torch.nn.Module, apart: float) -> np.ndarray:
    """Return which of them are listed."""
    return unstable(outputs(network, apart), Tolerance())


def counted(network: torch.nn.Module, apart: float) -> np.ndarray:
    """Return which of them count as decided by rounding."""
    return decided_by_rounding(outputs(network, apart), Tolerance())


def test_steep_functions_move_far_and_are_not_listed() -> None:
    x = torch.tensor([[1.0, 1.0], [1.0, 1 + 1e-6]], dtype=torch.float64)
    moved = Smooth()(x, x[:, 0]).diff(dim=0).abs()
    assert moved > 1000 * Tolerance().atol  # a move that the old rule took for a tie
    assert not listed(Smooth(), 0.0).any()
    assert not listed(Smooth(), 1e-3).any()
    assert not counted(Smooth(), 0.0).any()


@pytest.mark.parametrize("network", [Tie(), TieInCollate()], ids=lambda network: type(network).__name__)
def test_ties_are_listed_at_them_and_close_to_them_and_nowhere_else(network: torch.nn.Module) -> None:
    assert listed(network, 0.0).mean() > 0.9  # each of four directions crosses it or not
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
    probes = [Probe("", "", tuple({"x": row} for row in x))]
    still = {"y": np.zeros((EVENTS, 1), np.float32)}
    perturbed, _ = evaluate_perturbed(Marked(), family, contract, probes, still)
    assert (np.abs(perturbed["y"]).max(axis=0) > 0.009).mean() > 0.8
