import dataclasses
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from modelferry.core.errors import EventFileError
from modelferry.families.charged_higgs_particlenet.analysis_tree import (
    DTYPES,
    OBJECTS,
    SCALARS,
    Collections,
    branches,
    read,
    write,
)

floats = st.floats(-1e6, 1e6, width=32)
VALUES = {
    "charge": st.integers(-1, 1),
    "is_tight": st.booleans(),
    "is_btagged": st.booleans(),
    "label": st.booleans(),
}


def jagged(fields: list[str], events: list[list[dict]]) -> ak.Array:
    counts = [len(event) for event in events]
    flat = [particle for event in events for particle in event]
    columns = {f: np.array([p[f] for p in flat], DTYPES.get(f, np.float32)) for f in fields}
    return ak.unflatten(ak.zip(columns), counts)


@st.composite
def collections(draw: st.DrawFn) -> Collections:
    n = draw(st.integers(1, 4))
    scalars = {s: np.array(draw(st.lists(floats, min_size=n, max_size=n)), np.float32) for s in SCALARS}
    objects = {}
    for name, (_, fields) in OBJECTS.items():
        particle = st.fixed_dictionaries({f: VALUES.get(f, floats) for f in fields})
        events = draw(st.lists(st.lists(particle, max_size=3), min_size=n, max_size=n))
        objects[name] = jagged(list(fields), events)
    return Collections(**scalars, **objects)


def simple(n: int = 3) -> Collections:
    scalars = {s: np.arange(n, dtype=np.float32) for s in SCALARS}
    particle = {
        "pt": 30.0,
        "eta": 1.0,
        "phi": 2.0,
        "mass": 0.1,
        "charge": -1,
        "is_tight": True,
        "label": False,
    }
    particle |= {"btag_score": 0.5, "is_btagged": True}
    return Collections(
        **scalars,
        **{name: jagged(list(fields), [[particle] * i for i in range(n)]) for name, (_, fields) in OBJECTS.items()},
    )


def write_tree(path: Path, name: str, without: tuple[str, ...] = ()) -> Path:
    with uproot.recreate(path) as file:
        tree = file.mktree(name, {b: np.float32 for b in branches() if b not in without})
        tree.extend({b: np.zeros(1, np.float32) for b in branches() if b not in without})
    return path


@settings(max_examples=15, deadline=None)
@given(collections())
def test_what_is_written_is_read_back_unchanged(tmp_path_factory: pytest.TempPathFactory, given: Collections) -> None:
    path = tmp_path_factory.mktemp("trip") / "2018.root"
    write(path, given)
    found = read(path)
    for field in dataclasses.fields(Collections):
        expected, value = getattr(given, field.name), getattr(found, field.name)
        assert ak.to_list(value) == ak.to_list(expected), field.name


def test_file_has_the_branches_counters_and_types_of_the_analysis(tmp_path: Path) -> None:
    write(tmp_path / "2018.root", simple())
    with uproot.open(tmp_path / "2018.root") as file:
        tree = file["Events"]
        assert sorted(tree.keys()) == sorted(branches())
        assert tree["nJets"].array().tolist() == [0, 1, 2]
        assert tree["MuonPtColl"].typename == "float[]"
        assert tree["MuonChargeColl"].typename == "int32_t[]"
        assert tree["JetIsBtaggedColl"].typename == "bool[]"
        assert tree["JetPtColl"].member("fLeaves")[0].member("fLeafCount").member("fName") == "nJets"


def test_max_events_reads_the_first_ones_only(tmp_path: Path) -> None:
    write(tmp_path / "a.root", simple(5))
    found = read(tmp_path / "a.root", max_events=2)
    assert len(found) == 2
    assert found.met_pt.tolist() == [0, 1]
    assert found.n_jets.tolist() == [0, 1]


def test_writing_leaves_no_other_file_behind(tmp_path: Path) -> None:
    write(tmp_path / "a.root", simple())
    assert [path.name for path in tmp_path.iterdir()] == ["a.root"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match=r"none\.root: no such file; check the path"):
        read(tmp_path / "none.root")


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.7, 0.99])
def test_truncated_file_is_refused_in_one_line(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.root"
    write(path, simple())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(EventFileError, match=r"a\.root: not a whole ROOT file") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.root").write_text("pt,eta,phi\n" * 100)
    with pytest.raises(EventFileError, match="not a whole ROOT file"):
        read(tmp_path / "a.root")


def test_missing_tree_is_refused_with_the_trees_that_exist(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", "Event")
    with pytest.raises(EventFileError, match=r"no tree 'Events'; trees there: Event; did you mean 'Event'\?"):
        read(path)


def test_all_missing_branches_are_named_at_once(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", "Events", without=("puWeight", "JetPtColl"))
    with pytest.raises(EventFileError, match=r"puWeight.*JetPtColl"):
        read(path)
