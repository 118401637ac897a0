"""Toy jets: the layout is JetClass's, the kinematics close, and the classes differ in what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from modelferry.core.errors import EventFileError
from modelferry.demo import jet_toys
from modelferry.families.jets import Jagged

BRANCHES = 41
"""Of a JetClass file, according to the sheet."""


@pytest.fixture(scope="module")
def jets() -> dict[str, np.ndarray | Jagged]:
    return jet_toys.mixed(4000, 1)


def of(jets: dict, name: str, label: str) -> np.ndarray:
    return np.asarray(jets[name])[np.asarray(jets[f"label_{label}"]) == 1]


def sums(jets: dict, name: str) -> np.ndarray:
    column = jets[name]
    return np.bincount(np.repeat(np.arange(len(column.counts)), column.counts), weights=column.values)


def test_layout_is_jetclass(jets: dict, tmp_path: Path) -> None:
    jet_toys.write(tmp_path / "toys.root", jet_toys.mixed(20, 1))
    with uproot.open(tmp_path / "toys.root") as file:
        kinds = {name: branch.typename for name, branch in file["tree"].items()}
    del kinds["npart"]
    assert len(kinds) == BRANCHES
    assert kinds["part_px"] == "float[]"
    assert kinds["part_isPhoton"] == "int32_t[]"
    assert (kinds["label_QCD"], kinds["label_Hbb"], kinds["label_Tbl"]) == ("float", "bool", "int32_t")
    assert all(isinstance(column, Jagged) == name.startswith("part_") for name, column in jets.items())


def test_every_jet_has_one_label_and_all_classes_are_there(jets: dict) -> None:
    table = np.stack([np.asarray(jets[name]) for name in jet_toys.LABELS])
    assert (table.sum(axis=0) == 1).all()
    assert table.sum(axis=1).tolist() == [400] * 10


def test_particles_add_up_to_the_jet(jets: dict) -> None:
    px, py, pz, energy = (sums(jets, f"part_{name}") for name in ("px", "py", "pz", "energy"))
    np.testing.assert_allclose(np.hypot(px, py), jets["jet_pt"], rtol=1e-5)
    np.testing.assert_allclose(energy, jets["jet_energy"], rtol=1e-5)
    np.testing.assert_allclose(np.arcsinh(pz / np.hypot(px, py)), jets["jet_eta"], atol=1e-5)
    np.testing.assert_allclose(np.arctan2(py, px), jets["jet_phi"], atol=1e-4)


def test_places_of_particles_follow_from_their_momenta(jets: dict) -> None:
    counts = jets["part_px"].counts
    px, py, pz = (jets[f"part_{name}"].values.astype(np.float64) for name in ("px", "py", "pz"))
    eta, phi = np.arcsinh(pz / np.hypot(px, py)), np.arctan2(py, px)
    jet_eta, jet_phi = (np.repeat(np.asarray(jets[name], np.float64), counts) for name in ("jet_eta", "jet_phi"))
    np.testing.assert_allclose(jets["part_deta"].values, np.where(jet_eta >= 0, 1, -1) * (eta - jet_eta), atol=2e-5)
    np.testing.assert_allclose(jets["part_dphi"].values, (phi - jet_phi + np.pi) % (2 * np.pi) - np.pi, atol=2e-5)


def test_particles_are_in_falling_pt_and_of_one_kind_each(jets: dict) -> None:
    pt = np.hypot(jets["part_px"].values, jets["part_py"].values)
    counts = jets["part_px"].counts
    first = np.zeros(len(pt), bool)
    first[np.cumsum(counts)[:-1]] = True
    assert ((np.diff(pt) <= 1e-3) | first[1:]).all()
    assert (sum(jets[name].values for name in jet_toys.FLAGS) == 1).all()
    neutral = (jets["part_isNeutralHadron"].values + jets["part_isPhoton"].values) == 1
    assert ((jets["part_charge"].values == 0) == neutral).all()
    assert (jets["part_d0val"].values[neutral] == 0).all()
    assert counts.min() >= 2


@pytest.mark.parametrize(("name", "mass"), [("Wqq", 80.4), ("Zqq", 91.2), ("Hbb", 125.0), ("Tbqq", 172.5)])
def test_jets_have_the_mass_of_what_decays(jets: dict, name: str, mass: float) -> None:
    assert np.median(of(jets, "jet_sdmass", name)) == pytest.approx(mass, rel=0.06)


def test_prongs_show_in_subjettiness(jets: dict) -> None:
    ratio = {n: np.asarray(jets[f"jet_tau{n + 1}"]) / np.asarray(jets[f"jet_tau{n}"]) for n in (1, 2, 3)}
    label = {name: np.asarray(jets[f"label_{name}"]) == 1 for name in jet_toys.CLASSES}
    assert np.median(ratio[1][label["Wqq"]]) < 0.5 < np.median(ratio[1][label["QCD"]])
    assert np.median(ratio[2][label["Tbqq"]]) < np.median(ratio[2][label["Zqq"]]) - 0.2
    assert np.median(ratio[3][label["H4q"]]) < np.median(ratio[3][label["Tbqq"]]) - 0.2


def test_lifetimes_show_in_impact_parameters(jets: dict) -> None:
    d0 = Jagged(np.abs(jets["part_d0val"].values) > 0.2, jets["part_d0val"].counts)
    displaced = sums({"d0": d0}, "d0")
    mean = {name: displaced[np.asarray(jets[f"label_{name}"]) == 1].mean() for name in jet_toys.CLASSES}
    assert mean["Hbb"] > 1.5 * mean["Hcc"] > 3 * mean["Hgg"]


def test_leptons_show(jets: dict) -> None:
    leptons = sums(jets, "part_isElectron") + sums(jets, "part_isMuon")
    for name in ("Hqql", "Tbl"):
        assert (leptons[np.asarray(jets[f"label_{name}"]) == 1] >= 1).all()
    assert (leptons[np.asarray(jets["label_QCD"]) == 1] >= 1).mean() < 0.5


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        jet_toys.write(tmp_path / f"{name}.parquet", jet_toys.mixed(50, seed))
    a, b, c = ((tmp_path / f"{name}.parquet").read_bytes() for name in "abc")
    assert a == b != c


def test_other_files_are_refused_and_nothing_half_written_stays(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match=r"written as .root or .parquet"):
        jet_toys.write(tmp_path / "toys.csv", jet_toys.mixed(20, 1))
    assert list(tmp_path.iterdir()) == []
