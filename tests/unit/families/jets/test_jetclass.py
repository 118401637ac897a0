"""JetClass files: real ones of both kinds, and toy ones with one thing wrong in each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from modelferry.core.cutflow import (  # fmt: skip
    CUT,
    DIFFERENT_LENGTHS,
    EMPTY,
    NOT_FINITE,
    SEVERAL_LABELS,
    UNLABELLED,
    Counts,
)
from modelferry.core.errors import EventFileError
from modelferry.demo import jet_toys
from modelferry.families.jets import Jagged, jetclass, prepare, read_card
from sheets import third_party

CARD = read_card("JetClass_full")
Columns = dict[str, np.ndarray | Jagged]
N = 40
REAL = {"root": "sophon/JetClassII_example_100_as_JetClass.root", "parquet": "sophon/JetClassII_example.parquet"}


def read(path: Path, chunk: int = 7, **options: int) -> tuple[Columns, np.ndarray, Counts]:
    """Read a file in small chunks and put these together."""
    total, parts = Counts(), []
    for jets in jetclass.read_chunks(path, CARD.branches, CARD.label_branches, jetclass.KINEMATICS, 128, chunk):
        assert jets.counts.read <= chunk
        total.add(jets.counts)
        parts.append(jets)
    joined: Columns = {}
    for name in parts[0].columns:
        columns = [part.columns[name] for part in parts]
        if isinstance(columns[0], Jagged):
            joined[name] = Jagged(*(np.concatenate([getattr(c, f) for c in columns]) for f in ("values", "counts")))
        else:
            joined[name] = np.concatenate(columns)
    return joined, np.concatenate([part.entries for part in parts]), total


def same(first: Columns, second: Columns) -> bool:
    assert first.keys() == second.keys()
    for name in first:
        a, b = first[name], second[name]
        pairs = [(a.values, b.values), (a.counts, b.counts)] if isinstance(a, Jagged) else [(a, b)]
        if not all(np.array_equal(x, y) for x, y in pairs):
            return False
    return True


@pytest.fixture(params=(".root", ".parquet"))
def suffix(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def with_lists(columns: Columns, name: str, jet: int, values: list[float]) -> None:
    """Give a jet other values in one column of particles, or in all of them."""
    for key in [name] if name else [key for key in columns if key.startswith("part_")]:
        column = columns[key]
        assert isinstance(column, Jagged)
        lists = np.split(column.values, np.cumsum(column.counts)[:-1])
        lists[jet] = np.array(values, np.float32)
        columns[key] = Jagged(np.concatenate(lists), np.array([len(one) for one in lists]))


def put(columns: Columns, name: str, jet: int, value: float) -> None:
    column = columns[name]
    assert isinstance(column, np.ndarray)
    column[jet] = value


SPOILT: dict[str, tuple[str, Callable[[Columns, int], None]]] = {
    "no particle": (EMPTY, lambda c, jet: with_lists(c, "", jet, [])),
    "NaN of a particle": (NOT_FINITE, lambda c, jet: put_first(c, "part_d0err", jet, np.nan)),
    "infinite momentum": (NOT_FINITE, lambda c, jet: put_first(c, "part_px", jet, np.inf)),
    "NaN of a jet": (NOT_FINITE, lambda c, jet: put(c, "jet_sdmass", jet, np.nan)),
    "two labels": (
        SEVERAL_LABELS,
        lambda c, jet: [put(c, name, jet, 1) for name in ("label_Zqq", "label_Tbl")] and None,
    ),
    "a label of 2": (
        SEVERAL_LABELS,
        lambda c, jet: [put(c, name, jet, 2.0 * (name == "label_Zqq")) for name in jet_toys.LABELS] and None,
    ),
}


def put_first(columns: Columns, name: str, jet: int, value: float) -> None:
    column = columns[name]
    assert isinstance(column, Jagged)
    column.values[column.counts[:jet].sum()] = value


def test_what_was_written_is_read(suffix: str, tmp_path: Path) -> None:
    made = jet_toys.mixed(N, 3)
    jet_toys.write(tmp_path / f"toys{suffix}", made)
    found, entries, counts = read(tmp_path / f"toys{suffix}")
    assert same(found, {name: made[name] for name in found})
    assert {"part_charge", "part_isMuon", "label_Hbb", "jet_pt"} <= found.keys()
    assert all(getattr(c, "values", c).dtype == np.float32 for c in found.values())
    assert entries.tolist() == list(range(N))
    assert (counts.read, counts.kept, counts.noted) == (N, N, {})


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_jet_is_left_out_and_counted(what: str, suffix: str, tmp_path: Path) -> None:
    reason, spoil = SPOILT[what]
    columns = jet_toys.mixed(N, 4)
    sound = {name: columns[name] for name in columns}
    for jet in (0, 11, N - 1):
        spoil(columns, jet)
    jet_toys.write(tmp_path / f"toys{suffix}", columns)
    found, entries, counts = read(tmp_path / f"toys{suffix}")
    assert counts.left_out == {reason: 3}
    assert (counts.read, counts.kept) == (N, N - 3)
    assert entries.tolist() == [jet for jet in range(N) if jet not in (0, 11, N - 1)]
    assert np.array_equal(found["jet_pt"], np.asarray(sound["jet_pt"])[entries])
    assert found["part_px"].counts.tolist() == columns["part_px"].counts[entries].tolist()
    assert f"3 left out: {reason}" in str(counts)


def test_lists_of_different_lengths_are_counted(tmp_path: Path) -> None:
    columns = jet_toys.mixed(N, 5)
    with_lists(columns, "part_dphi", 8, [0.0])
    jet_toys.write(tmp_path / "toys.parquet", columns)
    _, entries, counts = read(tmp_path / "toys.parquet")
    assert counts.left_out == {DIFFERENT_LENGTHS: 1}
    assert 8 not in entries


def test_missing_numbers_of_parquet_count_as_not_finite_and_missing_lists_as_empty(tmp_path: Path) -> None:
    columns = jet_toys.mixed(N, 6)
    jet_toys.write(tmp_path / "toys.parquet", columns)
    table = pq.read_table(tmp_path / "toys.parquet")
    rows = table.to_pylist()
    rows[2]["part_pz"][0] = None
    rows[3] |= {name: None for name in rows[3] if name.startswith("part_")}
    rows[4]["jet_eta"] = None
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "holes.parquet")
    _, entries, counts = read(tmp_path / "holes.parquet")
    assert counts.left_out == {NOT_FINITE: 2, EMPTY: 1}
    assert not {2, 3, 4} & set(entries.tolist())


def test_one_particle_and_more_than_the_network_takes_are_kept(suffix: str, tmp_path: Path) -> None:
    columns = jet_toys.mixed(N, 7)
    with_lists(columns, "", 1, [1.5])
    with_lists(columns, "", 2, list(np.linspace(2, 1, 200)))
    with_lists(columns, "", 3, list(np.linspace(2, 1, 128)))
    jet_toys.write(tmp_path / f"toys{suffix}", columns)
    found, entries, counts = read(tmp_path / f"toys{suffix}")
    assert len(entries) == N
    assert counts.noted == {CUT: 1}
    assert found["part_px"].counts[[1, 2, 3]].tolist() == [1, 200, 128]
    prepared = prepare(CARD, found)
    assert prepared.inputs["pf_mask"].sum(axis=(1, 2))[[1, 2, 3]].tolist() == [1, 128, 128]


def test_jets_without_any_label_are_kept_and_noted(suffix: str, tmp_path: Path) -> None:
    columns = jet_toys.mixed(N, 8)
    for name in jet_toys.LABELS:
        put(columns, name, 5, 0)
    jet_toys.write(tmp_path / f"toys{suffix}", columns)
    found, _, counts = read(tmp_path / f"toys{suffix}")
    assert counts.noted == {UNLABELLED: 1}
    assert prepare(CARD, found).labels[5] == -1


def test_data_without_label_columns_are_unlabelled_but_some_of_them_are_an_error(suffix: str, tmp_path: Path) -> None:
    columns = jet_toys.mixed(N, 9)
    none = {name: column for name, column in columns.items() if not name.startswith("label_")}
    jet_toys.write(tmp_path / f"data{suffix}", none)
    assert read(tmp_path / f"data{suffix}")[2].noted == {UNLABELLED: N}
    jet_toys.write(tmp_path / f"some{suffix}", {k: c for k, c in columns.items() if k != "label_Hbb"})
    with pytest.raises(EventFileError, match=r"some.*lacks \w+ label_Hbb"):
        read(tmp_path / f"some{suffix}")


def one_line(path: Path, inputs: tuple[str, ...] = CARD.branches) -> str:
    with pytest.raises(EventFileError) as caught:
        list(jetclass.read_chunks(path, inputs))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mistakes_are_one_line_that_names_the_file(suffix: str, tmp_path: Path) -> None:
    columns = jet_toys.mixed(N, 10)
    lacking = {k: c for k, c in columns.items() if k not in ("part_energy", "part_d0val")}
    jet_toys.write(tmp_path / f"lacking{suffix}", lacking)
    said = one_line(tmp_path / f"lacking{suffix}")
    assert "part_d0val" in said
    assert "part_energy" in said
    jet_toys.write(tmp_path / f"whole{suffix}", columns)
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"half{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / f"nothing{suffix}").write_bytes(b"")
    for name in ("half", "nothing"):
        assert f"{name}{suffix}: not a whole" in one_line(tmp_path / f"{name}{suffix}")
    jet_toys.write(tmp_path / f"empty{suffix}", jet_toys.generate(np.empty(0, np.int64), 1))
    assert "no jets in it" in one_line(tmp_path / f"empty{suffix}")
    assert "no such file" in one_line(tmp_path / f"absent{suffix}")


def test_a_file_without_the_tree_says_which_trees_it_has(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("Events", {"jet_pt": np.float32}).extend({"jet_pt": np.ones(3, np.float32)})
    assert "no tree 'tree'; trees there: Events" in one_line(tmp_path / "other.root")


@pytest.mark.parametrize("name", ["aux_genpart_pt", "label_Hbb", "jet_label", "genpart_px", "aux_truth_match"])
def test_truth_is_refused_as_an_input(name: str, tmp_path: Path) -> None:
    jet_toys.write(tmp_path / "toys.parquet", jet_toys.mixed(N, 11))
    said = one_line(tmp_path / "toys.parquet", (*CARD.branches, name))
    assert f"'{name}' is truth" in said


@pytest.mark.parametrize("kind", REAL)
def test_real_jets(kind: str) -> None:
    found, entries, counts = read(third_party(REAL[kind]), 30)
    assert (counts.read, counts.kept, len(entries)) == (100, 100, 100)
    assert counts.noted == {UNLABELLED: 76 if kind == "root" else 100}
    assert found["part_px"].counts[[5, 60, 82]].tolist() == [2, 82, 8]


def test_real_jets_are_the_same_in_both_files() -> None:
    columns = [read(third_party(name))[0] for name in REAL.values()]
    assert same(*({k: c for k, c in found.items() if not k.startswith("label_")} for found in columns))


def test_mass_of_a_jet() -> None:
    columns: Columns = {"jet_pt": np.array([3.0, 3.0]), "jet_eta": np.zeros(2), "jet_energy": np.array([5.0, 2.9])}
    assert jetclass.mass(columns).tolist() == [4.0, 0.0]


@settings(max_examples=15, deadline=None)
@given(chunks=st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_chunks_do_not_matter(chunks: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "chunks.root"
    if not path.exists():
        columns = jet_toys.mixed(N, 12)
        with_lists(columns, "", 9, [])
        jet_toys.write(path, columns)
    (first, places, a), (second, others, b) = (read(path, chunk) for chunk in chunks)
    assert same(first, second)
    assert places.tolist() == others.tolist()
    assert a == b


def test_no_more_than_a_chunk_is_read_before_the_first_is_given(tmp_path: Path) -> None:
    jet_toys.write(tmp_path / "toys.parquet", jet_toys.mixed(N, 13))
    first = list(itertools.islice(jetclass.read_chunks(tmp_path / "toys.parquet", CARD.branches, chunk=5), 1))
    assert len(first[0]) == 5
