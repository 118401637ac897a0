"""Families whose events are counted by a dimension of another name, or of which no input has an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modelferry
from modelferry import Contract, Dimension, Family, Tensor
from modelferry.core.contract import Arrays
from modelferry.core.errors import ContractError
from modelferry.families.probes import make_probes
from modelferry.families.trained import load_checkpoint
from modelferry.stages.export.standalone import StandaloneExport, wanted_formats


class Sums(torch.nn.Module):
    """A linear layer on each particle, summed over those of each event; the list ends with one more for each event."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        ones = (batch[:, None] == torch.arange(64)[None]).to(x.dtype)
        return (ones.T @ self.layer(x)).index_select(0, torch.unique(batch))


class Flat(Family):
    """All particles in one list: only the output has an axis of events, and it is called otherwise."""

    name = "flat_sums"
    layouts = ("list",)
    reference_layout = "list"
    batch = "collisions"
    sizes = ("particles",)

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        return Contract(
            layout=layout,
            inputs=(
                Tensor(name="x", dtype="float32", shape=("all", 3)),
                Tensor(name="batch", dtype="int64", shape=("all",), below="collisions"),
            ),
            outputs=(Tensor(name="sums", dtype="float32", shape=("collisions", 2)),),
            dimensions=(
                Dimension(name="collisions", minimum=1, typical=4, maximum=16),
                Dimension(name="particles", minimum=1, typical=4, maximum=8),
                Dimension(name="all", minimum=1, typical=16, maximum=128),
            ),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        return Sums()

    def deployable(self, hyperparameters: Mapping[str, Any], layout: str, *_: Any) -> torch.nn.Module:
        return Sums()

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        rng = np.random.default_rng(seed)
        return [
            {"x": rng.normal(size=(dims["particles"], 3)).astype(np.float32)} for _ in range(dims["collisions"])
        ]  # fmt: skip

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        lengths = [len(event["x"]) for event in events]
        x = np.concatenate([event["x"] for event in events])
        return {"x": x, "batch": np.repeat(np.arange(len(events)), lengths)}


def test_events_that_no_input_counts_are_bounded_by_the_largest_number(tmp_path: Path) -> None:
    contract = Flat().contract({}, "list")
    inputs = Flat().collate(Flat().sample({"collisions": 16, "particles": 2}, 1), "list")
    contract.check(inputs)
    one_more = Flat().collate(Flat().sample({"collisions": 17, "particles": 2}, 1), "list")
    with pytest.raises(ContractError, match="input 'batch' holds 16; allowed: 0 to 15"):
        contract.check(one_more)


def test_family_with_other_names_is_exported_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Sums().state_dict(), "sums.pt")
    name = f"{__name__}:Flat"
    model = load_checkpoint("sums.pt", family=name)
    (written,) = StandaloneExport.of(model).write(wanted_formats(["torchscript"], {"method": "script"}), tmp_path / "o")
    assert written.events > 64
    assert modelferry.compare("sums.pt", written.path, family=name, events=50)


class Forgetful(Flat):
    batch = "events"


def test_batch_that_is_no_dimension_is_named_with_the_remedy() -> None:
    with pytest.raises(ContractError, match="has no dimension 'events'; it has collisions, particles, all; a family"):
        list(make_probes(Forgetful(), Flat().contract({}, "list"), 3, 1, (), ""))


def test_size_that_is_no_dimension_is_named_with_the_remedy() -> None:
    tensor = Tensor(name="x", dtype="float32", shape=("events", 3))
    with pytest.raises(ContractError, match="'x' has a size 'events', which is no dimension; declare Dimension"):
        Contract(layout="a", inputs=(tensor,), outputs=(), dimensions=())
