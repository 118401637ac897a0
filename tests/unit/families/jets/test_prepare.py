"""What a card makes of columns, against the same written jet by jet."""

import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import yaml

from modelferry.core.errors import ConfigError, EventFileError
from modelferry.families.jets import Card, Jagged, prepare, read_card
from modelferry.families.jets.columns import Value
from modelferry.families.jets.expressions import parse
from modelferry.families.jets.sample import sample_jets

F = np.float32
FEATURES = {
    "part_pt_log": (1.7, 0.7),
    "part_e_log": (2.0, 0.7),
    "part_logptrel": (-4.7, 0.7),
    "part_logerel": (-4.7, 0.7),
    "part_deltaR": (0.2, 4.0),
}


def jets(*sizes: int, seed: int = 0) -> dict[str, Any]:
    """Return the columns of jets of these sizes, as awkward arrays."""
    rng = np.random.default_rng(seed)
    each = [sample_jets(rng, 1, size) for size in sizes]

    def joined(name: str) -> Any:
        if isinstance(each[0][name], Jagged):
            return ak.Array([jet[name].values for jet in each])
        return np.concatenate([jet[name] for jet in each])

    return {name: joined(name) for name in each[0]}


def by_hand(columns: dict[str, Any], jet: int) -> np.ndarray:
    """Return the kinematic features of one jet, particle by particle, (7, particles): the sheet's table."""
    get = {name: np.asarray(columns[name][jet], F) for name in columns}
    rows = []
    for i in range(len(get["part_px"])):
        px, py, energy, deta, dphi = (F(get[f"part_{n}"][i]) for n in ("px", "py", "energy", "deta", "dphi"))
        pt = np.hypot(px, py)
        values = {
            "part_pt_log": np.log(pt),
            "part_e_log": np.log(energy),
            "part_logptrel": np.log(pt / get["jet_pt"]),
            "part_logerel": np.log(energy / get["jet_energy"]),
            "part_deltaR": np.hypot(deta, dphi),
        }
        clipped = [np.clip((values[n] - F(s)) * F(m), F(-5), F(5)) for n, (s, m) in FEATURES.items()]
        rows.append([*clipped, deta, dphi])
    return np.array(rows, F).reshape(-1, 7).T


def test_features_are_those_computed_particle_by_particle() -> None:
    sizes = (1, 2, 17, 127, 128, 129, 200)
    columns = jets(*sizes)
    found = prepare(read_card("JetClass_kin"), columns)
    for jet, size in enumerate(sizes):
        kept = min(size, 128)
        truth = by_hand(columns, jet)[:, :kept]
        assert np.abs(found.inputs["pf_features"][jet, :, :kept] - truth).max() < 5e-7
        wrapped = np.arange(128) % kept
        assert np.array_equal(found.inputs["pf_features"][jet], found.inputs["pf_features"][jet][:, wrapped])
        assert np.array_equal(found.inputs["pf_vectors"][jet, 2], np.asarray(columns["part_pz"][jet], F)[wrapped])
        assert np.array_equal(found.inputs["pf_mask"][jet, 0], np.arange(128) < kept)
    assert found.particles.tolist() == list(sizes)
    assert all(array.dtype == F for array in found.inputs.values())


def test_a_jet_without_particles_is_padding_only() -> None:
    columns = jets(3, 2)
    empty = {n: ak.Array([[], *c[1:]]) if n.startswith("part_") else c for n, c in columns.items()}
    found = prepare(read_card("JetClass_full"), empty)
    assert all(not array[0].any() for array in found.inputs.values())
    assert found.inputs["pf_mask"][1].sum() == 2
    alone = prepare(read_card("JetClass_full"), {n: c[:1] for n, c in empty.items()}, trim=True)
    assert alone.inputs["pf_features"].shape == (1, 17, 1)


def test_no_jets_give_no_rows() -> None:
    columns = {name: column[:0] for name, column in jets(3).items()}
    found = prepare(read_card("JetClass_full"), columns)
    assert found.inputs["pf_features"].shape == (0, 17, 128)
    assert found.kept.shape == (0,)


def test_trimmed_inputs_are_the_start_of_the_whole_ones() -> None:
    columns = jets(5, 9, 30)
    whole = prepare(read_card("JetClass_full"), columns).inputs
    short = prepare(read_card("JetClass_full"), columns, trim=True).inputs
    assert all(np.array_equal(short[name], whole[name][:, :, :30]) for name in whole)


def test_not_a_number_becomes_zero_and_spoils_no_other_particle() -> None:
    columns = jets(6)
    sound = prepare(read_card("JetClass_full"), columns).inputs["pf_features"]
    spoilt = np.array(columns["part_dphi"][0])
    spoilt[2] = np.nan
    found = prepare(read_card("JetClass_full"), {**columns, "part_dphi": ak.Array([spoilt])}).inputs["pf_features"]
    assert found[0, 16, 2] == 0
    assert np.isfinite(found).all()
    assert set(zip(*np.nonzero(found != sound), strict=True)) == {(0, c, p) for c in (4, 16) for p in range(2, 128, 6)}


def test_a_particle_without_energy_is_clipped() -> None:
    columns = jets(3)
    columns["part_energy"] = ak.Array([[10.0, 0.0, -1.0]])
    found = prepare(read_card("JetClass_kin"), columns).inputs["pf_features"][0, 1, :3]
    assert found[1] == -5
    assert found[2] == 0


def test_selection_chooses_jets_and_can_be_left_out() -> None:
    columns = jets(4, 5, 6)
    columns["jet_pt"], columns["jet_sdmass"] = np.array([100.0, 500, 600]), np.array([50.0, 50, 900])
    card = read_card("JetClassII_full")
    found = prepare(card, columns)
    assert found.kept.tolist() == [False, True, False]
    assert found.particles.tolist() == [5]
    assert np.array_equal(found.inputs["pf_features"], prepare(card, columns, select=False).inputs["pf_features"][1:2])


def test_labels_need_exactly_one_class() -> None:
    card = read_card("JetClass_kin")
    table = np.zeros((4, 10))
    table[0, 3] = table[1, 0] = table[3, 1] = table[3, 2] = 1
    columns = {**jets(1, 1, 1, 1), **{name: table[:, i] for i, name in enumerate(card.labels.value)}}  # type: ignore[union-attr, arg-type]
    assert prepare(card, columns).labels.tolist() == [3, 0, -1, -1]
    assert prepare(card, jets(1)).labels.tolist() == [-1]
    numbers = {**jets(1, 1), "jet_label": np.array([187, np.nan])}
    assert prepare(read_card("JetClassII_full"), numbers, select=False).labels.tolist() == [187, -1]


def card_of(tmp_path: Path, **content: Any) -> Card:
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(content))
    read_card.cache_clear()
    return read_card(path)


def test_order_puts_particles_in_place_before_the_first_are_taken(tmp_path: Path) -> None:
    card = card_of(
        tmp_path,
        new_variables={"pt": "hypot(part_px, part_py)"},
        inputs={"x": {"length": 3, "vars": ["pt"]}, "jet": {"vars": ["jet_pt"]}},
        order_by="-pt",
    )
    columns = {
        "part_px": ak.Array([[1.0, 5, 3, 4], [], [2.0]]),
        "part_py": ak.Array([[0.0, 0, 0, 0], [], [0.0]]),
        "jet_pt": np.array([7.0, 8, 9]),
    }
    found = prepare(card, columns).inputs
    assert found["x"][:, 0].tolist() == [[5, 4, 3], [0, 0, 0], [2, 0, 0]]
    assert found["jet"].tolist() == [[7], [8], [9]]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("ak.sum(part_px, axis=1)", [6, 0, 4]),
        ("ak.num(part_px)", [3, 0, 1]),
        ("ak.sum(part_px > 1)", [2, 0, 1]),
        ("ak.max(part_px > 5)", [False, False, False]),
        ("ak.min(part_px > 1)", [False, True, True]),
        ("ak.max(part_px)", [3, -np.inf, 4]),
        ("np.where(jet_pt > 15, 1, 0)", [0, 1, 1]),
        ("ak.any(part_px > 3.5) | (jet_pt == 10)", [True, False, True]),
        ("~ak.all(part_px < 3)", [True, False, True]),
        ("5 < jet_pt < 25", [True, True, False]),
        ("-jet_pt ** 2 % 7 + np.pi * 0", [-100 % 7, -400 % 7, -900 % 7]),
    ],
)
def test_expressions_mean_what_numpy_means(source: str, wanted: list[float]) -> None:
    columns: dict[str, Value] = {
        "part_px": Jagged(np.array([1, 2, 3, 4], F), np.array([3, 0, 1])),
        "jet_pt": np.array([10, 20, 30], F),
    }
    assert np.allclose(np.asarray(parse(source).evaluate(columns), float), wanted)


def test_a_jets_number_is_that_of_each_of_its_particles() -> None:
    columns: dict[str, Value] = {
        "part_px": Jagged(np.array([1, 2, 3, 4], F), np.array([3, 0, 1])),
        "jet_pt": np.array([10, 20, 30], F),
    }
    found = parse("part_px / jet_pt").evaluate(columns)
    assert isinstance(found, Jagged)
    assert found.values.dtype == F
    assert np.array_equal(found.values, np.array([1 / 10, 2 / 10, 3 / 10, 4 / 30], F))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"part_px": None}, "no column part_px"),
        ({"jet_pt": np.ones(1)}, "different numbers of jets"),
        ({"part_py": ak.Array([[1.0], [1.0, 2.0]])}, "1 particles in jet 0"),
        ({"jet_energy": ak.Array(["a", "b"])}, "column jet_energy"),
        ({"part_px": ak.Array([[1.0, None], [2.0]])}, "column part_px"),
    ],
)
def test_columns_that_do_not_agree_are_named(change: dict[str, Any], wanted: str) -> None:
    columns = {**jets(2, 2), **change}
    with pytest.raises(EventFileError, match=wanted) as caught:
        prepare(read_card("JetClass_kin"), {name: column for name, column in columns.items() if column is not None})
    assert "\n" not in str(caught.value)


def test_particles_where_jets_are_needed_are_refused() -> None:
    with pytest.raises(ConfigError, match="selection is a number a particle"):
        prepare(Card(selection="part_px > 1", inputs={"x": {"length": 1, "vars": ["part_px"]}}), jets(2))  # type: ignore[dict-item]


def test_twenty_thousand_jets_a_second() -> None:
    """Claimed in docs/jets.md: here with a wide margin, in `make bench` as it is."""
    columns = sample_jets(np.random.default_rng(0), 4000, 45)
    card = read_card("JetClass_full")
    prepare(card, columns)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        prepare(card, columns)
        seconds.append(time.process_time() - start)
    assert 4000 / min(seconds) > 10_000
