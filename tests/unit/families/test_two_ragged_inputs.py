"""Events that vary in two sizes, tracks and towers: probed by pairs, exported, validated and benchmarked."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from campaigns import validated
from modelferry.comparison.sizes import sizes_of
from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.errors import ConfigError
from modelferry.families import Family, load_family
from modelferry.families.probes import MIXED, make_probes
from modelferry.families.shape_points import points_beyond, points_within
from modelferry.plan import Plan
from modelferry.records.validation import Validation
from modelferry.stages.benchmark.stage import benchmark_model
from modelferry.testing import FamilyConformance
from two_ragged_family import TwoRagged

FORMATS = ("torchscript", "torch_export", "aotinductor", "onnx")
FAMILY = TwoRagged()
CONTRACT = FAMILY.contract({}, "padded")


class TestConformance(FamilyConformance):
    """The suite that every family is in."""

    family = "two_ragged_family:TwoRagged"


def test_sizes_of_a_call_are_typical_or_in_proportion_to_the_first() -> None:
    assert FAMILY.call_sizes(CONTRACT) == {"events": 8, "tracks": 10, "towers": 20}
    assert FAMILY.call_sizes(CONTRACT, batch=2, size=5) == {"events": 2, "tracks": 5, "towers": 10}
    assert FAMILY.call_sizes(CONTRACT, size=30) == {"events": 8, "tracks": 30, "towers": 50}
    assert FAMILY.call_sizes(CONTRACT, size=0)["towers"] == 1


def test_every_two_sizes_of_a_call_come_together() -> None:
    points = points_within(FAMILY, [CONTRACT])
    for first, second in combinations(FAMILY.sampled, 2):
        wanted = {(a, b) for a in sizes_of(CONTRACT.dimension(first)) for b in sizes_of(CONTRACT.dimension(second))}
        assert wanted == {(point[first], point[second]) for point in points}
    beyond = {name: CONTRACT.dimension(name).maximum + 1 for name in FAMILY.sampled}
    assert [dict(point) for point in points_beyond(FAMILY, [CONTRACT])] == [
        {"events": 1, "tracks": 1, "towers": 1, name: size} for name, size in beyond.items()
    ]


class Listed(TwoRagged):
    """Tracks and towers of all events in one list, whose length follows from the sizes of the events."""

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        padded = super().contract(hyperparameters, layout)
        objects = Dimension(name="objects", minimum=2, typical=240, maximum=32 * (30 + 50))
        listed = Tensor(name="objects", dtype="float32", shape=("objects", 3))
        return padded.model_copy(update={"inputs": (listed,), "dimensions": (*padded.dimensions, objects)})

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        return {"objects": np.concatenate([rows[:, :3] for event in events for rows in event.values()])}


def test_a_size_that_follows_from_several_is_brought_to_its_largest() -> None:
    contract = Listed().contract({}, "padded")
    points = points_within(Listed(), [contract])
    lengths = [point["events"] * (point["tracks"] + point["towers"]) for point in points]
    assert max(lengths) == contract.dimension("objects").maximum
    fewer = tuple(d.model_copy(update={"maximum": 512}) if d.name == "objects" else d for d in contract.dimensions)
    limited = contract.model_copy(update={"dimensions": fewer})
    lengths = [point["events"] * (point["tracks"] + point["towers"]) for point in points_within(Listed(), [limited])]
    assert 512 in lengths


def test_sizes_of_mixed_events_are_drawn_independently() -> None:
    probes = make_probes(FAMILY, CONTRACT, 1000, 1, [], "")
    events = [event for probe in probes if probe.label == MIXED for event in probe.events]
    drawn = {(len(event["tracks"]), len(event["towers"])) for event in events}
    assert {tracks for tracks, _ in drawn} == set(range(1, 21))
    assert {towers for _, towers in drawn} == set(range(1, 41))
    assert len(drawn) > 500


@pytest.mark.parametrize(("given", "wanted"), [("size", "tracks"), ("sizes", "tracks")])
def test_one_size_by_the_old_name_or_without_parentheses_is_an_error_with_the_remedy(
    given: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"from two_ragged_family import TwoRagged\nclass Mine(TwoRagged):\n    {given} = 'tracks'\n"
    (tmp_path / f"old_{given}_family.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf'write `sizes = \("{wanted}",\)`'):
        load_family(f"old_{given}_family:Mine")


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, dict[str, Validation]]]:
    folder = tmp_path_factory.mktemp("two_ragged")
    torch.manual_seed(1)
    torch.save(FAMILY.reference({}).state_dict(), folder / "fold0.pt")
    campaign = {
        "family": "two_ragged_family:TwoRagged",
        "checkpoint": str(folder / "fold0.pt"),
        "formats": list(FORMATS),
        "benchmark": {"seconds": 0.02, "batches": [1, 4], "sizes": [5, 30, 31]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield validated(campaign)


def test_it_validates_in_every_format(carried: tuple[Plan, dict[str, Validation]]) -> None:
    _, found = carried
    assert {name: (record.status, record.reason) for name, record in found.items()} == dict.fromkeys(
        FORMATS, ("passed", "")
    )
    for record in found.values():
        controls = {control.name for control in record.controls if control.detected}
        assert {"padding taken for tracks", "padding taken for towers"} <= controls
        assert all(control.detected for control in record.controls)
        assert {*FAMILY.sampled} == {name for point in record.shapes for name in point.sizes}
        assert [point.outcome for point in record.shapes if point.expected == "rejected"] == ["rejected"] * 3


def test_it_is_benchmarked_over_the_first_size(carried: tuple[Plan, dict[str, Validation]]) -> None:
    plan, _ = carried
    (planned,) = plan.runnable.values()
    family: Family = planned.family
    assert family.sizes == ("tracks", "towers")
    records = benchmark_model(planned, without=("cpp",))
    assert {record.format for record in records} == {*FORMATS}
    for record in records:
        assert [(row.batch, row.particles) for row in record.rows] == [(1, 5), (1, 30), (4, 30)]
        assert all(row.outputs_correct for row in record.rows)
