from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelferry.comparison.difference import Examination
from modelferry.core.contract import Arrays
from modelferry.core.errors import ArtifactError
from modelferry.families.probes import Probe
from modelferry.stages.validation.recording import Recording


def recording(sizes: list[int], seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)

    def event(size: int) -> Arrays:
        return {
            "x": rng.normal(size=(size, 9)).astype(np.float32),
            "graph_input": rng.normal(size=4).astype(np.float32),
            "charge": rng.integers(-1, 2, size),
            "mask": rng.random(size) < 0.5,
            "wide": rng.normal(size=(3, size)),
            "number": np.array(rng.normal()),
        }

    events = [event(size) for size in sizes]
    numbers = rng.integers(0, len(events), len(events))
    drawn = [events[number] for number in numbers]
    probes = [
        Probe(f"probe {i}", "synthetic", tuple(drawn[i : i + 3]), {"events": len(drawn[i : i + 3])})
        for i in range(0, len(drawn), 3)
    ]
    return Recording(
        probes=tuple(probes),
        float32={"logits": rng.normal(size=(len(sizes), 4)).astype(np.float32)},
        float64={"logits": rng.normal(size=(len(sizes), 4))},
        classes=rng.integers(-1, 4, len(sizes)),
        weights=rng.random(len(sizes)),
        checkpoint_sha256="ab" * 32,
        examined={0: {"logits": Examination(*rng.normal(size=(2, 8, 1, 4)), rng.normal(size=(1, 4)))}},
    )


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and np.array_equal(first, second)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_recording_survives_its_file(sizes: list[int], seed: int, tmp_path: Path) -> None:
    before = recording(sizes, seed)
    path = tmp_path / "deep" / "reference.npz"
    before.write(path)
    after = Recording.read(path)
    assert [(p.label, p.source, len(p.events)) for p in after.probes] == [
        (p.label, p.source, len(p.events)) for p in before.probes
    ]
    for one, other in zip(before.probes, after.probes, strict=True):
        for event, read in zip(one.events, other.events, strict=True):
            assert event.keys() == read.keys()
            assert all(same(event[name], read[name]) for name in event)
    for name in ("float32", "float64"):
        assert all(same(getattr(before, name)[key], getattr(after, name)[key]) for key in ("logits",))
    assert before.examined.keys() == after.examined.keys()
    for kind in ("jumps", "short_jumps", "noise"):
        assert same(*(getattr(made.examined[0]["logits"], kind) for made in (before, after)))
    assert same(before.classes, after.classes)
    assert same(before.weights, after.weights)
    assert after.distinct.tolist() == before.distinct.tolist()
    assert [dict(probe.sizes) for probe in after.probes] == [dict(probe.sizes) for probe in before.probes]
    assert after.checkpoint_sha256 == before.checkpoint_sha256
    assert after.labels.tolist() == before.labels.tolist()
    assert len(after.labels) == len(after.sources) == len(sizes)
    assert [file.name for file in path.parent.iterdir()] == ["reference.npz"]


def test_missing_recording_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing; run `modelferry reference`"):
        Recording.read(tmp_path / "reference.npz")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_recording_is_named(share: float, tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    recording([3, 4, 5]).write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArtifactError, match=str(path)):
        Recording.read(path)


def test_archive_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    np.savez(path, other=np.ones(3))
    with pytest.raises(ArtifactError, match=str(path)):
        Recording.read(path)


def test_recording_is_read_without_pickles(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    np.savez(path, classes=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ArtifactError, match=str(path)):
        Recording.read(path)
