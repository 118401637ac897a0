"""NanoAOD files: the two real ones, compared with a plain loop over their branches, and small ones made here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from modelferry.core.errors import ConfigError, EventFileError
from modelferry.core.events import EventSet
from modelferry.families import load_family
from modelferry.families.charged_higgs_particlenet import nanoaod
from modelferry.families.charged_higgs_particlenet.edges import delta_r
from modelferry.families.charged_higgs_particlenet.selection import MEDIUM, Selection
from sheets import third_party

FAMILY = load_family("charged_higgs_particlenet")
REAL = ("nano_dimuon", "nano_dy")
Object = dict[str, float]

LEPTON = {"pt": 30.0, "eta": 0.1, "phi": 0.2, "mass": 0.1, "charge": 1}
MUONS = [LEPTON, LEPTON | {"pt": 20.0, "phi": 2.0, "charge": -1}]
JET = {"pt": 50.0, "eta": -1.0, "phi": -2.0, "mass": 8.0, "btagDeepFlavB": 0.0}


def event(muons: list[Object] = MUONS, electrons: list[Object] = (), jets: list[Object] = ()) -> dict[str, Any]:
    return {"Muon": list(muons), "Electron": list(electrons), "Jet": list(jets)}


def write(path: Path, events: list[dict[str, Any]], drop: tuple[str, ...] = (), **extra: np.ndarray) -> Path:
    """Write NanoAOD's branches, but for those in `drop`, and a weight a file of collision data would not have."""
    fields = {"Muon": LEPTON, "Electron": LEPTON, "Jet": JET}
    content: dict[str, Any] = {
        "MET_pt": np.arange(1, len(events) + 1, dtype=np.float32) * 10,
        "MET_phi": np.full(len(events), 0.5, np.float32),
        **extra,
    }
    for kind, names in fields.items():
        columns = {}
        for name in names:
            values = ak.Array([[thing[name] for thing in event[kind]] for event in events] + [[0.0]])[:-1]
            columns[name] = ak.values_astype(values, np.int32 if name == "charge" else np.float32)
        kept = {name: column for name, column in columns.items() if f"{kind}_{name}" not in drop}
        content[kind] = ak.zip(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        kinds = {name: getattr(value, "dtype", None) or value.type for name, value in content.items()}
        file.mktree("Events", kinds).extend(content)
    return path


def read(path: Path, limit: int = 1000, **options: Any) -> EventSet:
    return FAMILY.read_events([path], {}, limit, **{"era": "2018", **options})


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest) -> Path:
    return third_party(f"coffea/{request.param}.root")


def particle(o: Object, charge: float, *flags: float) -> list[float]:
    px, py, pz = o["pt"] * math.cos(o["phi"]), o["pt"] * math.sin(o["phi"]), o["pt"] * math.sinh(o["eta"])
    energy = math.sqrt(max(0.0, px**2 + py**2 + pz**2 + o["mass"] * abs(o["mass"])))
    return [energy, px, py, pz, charge, *flags]


def far(jet: Object, leptons: list[Object]) -> bool:
    turn = [(jet["phi"] - lepton["phi"] + math.pi) % (2 * math.pi) - math.pi for lepton in leptons]
    return all(math.hypot(jet["eta"] - o["eta"], phi) >= 0.4 for o, phi in zip(leptons, turn, strict=True))


def loop(path: Path) -> list[np.ndarray]:
    """Return the particles of the selected events of a file, by a plain loop, for the default selection in 2018."""
    with uproot.open(path) as file:
        tree = file["Events"]
        names = [f"{k}_{f}" for k in ("Muon", "Electron", "Jet") for f in ("pt", "eta", "phi", "mass")]
        names += ["Muon_charge", "Electron_charge", "Jet_btagDeepFlavB", "MET_pt", "MET_phi"]
        columns = {name: tree[name].array().tolist() for name in names}
    found = []
    for number in range(len(columns["MET_pt"])):

        def objects(kind: str, pt: float, eta: float, number: int = number) -> list[Object]:
            fields = {n.partition("_")[2]: c[number] for n, c in columns.items() if n.startswith(f"{kind}_")}
            things = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
            return [thing for thing in things if thing["pt"] >= pt and abs(thing["eta"]) <= eta]

        muons, electrons = objects("Muon", 10, 2.4), objects("Electron", 10, 2.5)
        leptons = muons + electrons
        jets = [jet for jet in objects("Jet", 20, 2.4) if far(jet, leptons)]
        if len(leptons) < 2:
            continue
        tagged = [jet["btagDeepFlavB"] >= MEDIUM["2018"] for jet in jets]
        met = {"pt": columns["MET_pt"][number], "phi": columns["MET_phi"][number], "eta": 0.0, "mass": 0.0}
        rows = [particle(o, o["charge"], 1, 0, 0, 0) for o in muons]
        rows += [particle(o, o["charge"], 0, 1, 0, 0) for o in electrons]
        rows += [particle(o, 0, 0, 0, 1, 0) for o, b in zip(jets, tagged, strict=True) if not b]
        rows += [particle(o, 0, 0, 0, 1, 1) for o, b in zip(jets, tagged, strict=True) if b]
        found.append(np.array([*rows, particle(met, 0, 0, 0, 0, 0)]))
    return found


def test_real_file_gives_the_features_of_a_plain_loop(real: Path) -> None:
    found, expected = read(real), loop(real)
    assert len(found) == len(expected) > 5
    for event, wanted in zip(found.events, expected, strict=True):
        assert event["x"].dtype == np.float32
        np.testing.assert_allclose(event["x"], wanted, rtol=3e-6, atol=1e-5)
        assert event["graph_input"].tolist() == [0, 0, 0, 1]
    assert set(found.labels.tolist()) == {-1}


def test_real_events_have_the_edges_of_the_sheet_and_are_within_the_contract(real: Path) -> None:
    found = read(real)
    inputs = FAMILY.collate(found.events, "flat")
    FAMILY.contract({}, "flat").check(inputs)
    FAMILY.contract({}, "dense").check(FAMILY.collate(found.events, "dense"))
    start = 0
    for event in found.events:
        n = len(event["x"])
        distance = delta_r(event["x"])
        mine = inputs["batch"][inputs["edge_index"][0]] == inputs["batch"][start]
        centre, neighbour = inputs["edge_index"][:, mine] - start
        assert np.bincount(centre, minlength=n).tolist() == [min(4, n - 1)] * n
        for i in range(n):
            others = np.sort(np.delete(distance[i], i))
            np.testing.assert_allclose(np.sort(distance[i, neighbour[centre == i]]), others[: min(4, n - 1)])
        start += n


def test_simulated_file_has_its_generator_weights_and_collisions_have_one(real: Path) -> None:
    weights = read(real).weights
    assert (weights == 1).all() == (real.name == "nano_dimuon.root")


def test_chunks_do_not_matter(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(real)
    monkeypatch.setattr(nanoaod, "CHUNK", 7)
    pieces = read(real)
    assert len(pieces) == len(whole)
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(whole.events, pieces.events, strict=True))


def test_limit_takes_the_first_and_scanned_reads_no_further(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", [event()] * 9)
    assert [e["x"][-1, 0] for e in read(path, limit=3).events] == [10, 20, 30]
    assert len(read(path, scanned=5)) == 5


def test_several_files_share_the_limit_and_a_short_one_leaves_its_share(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.root", [event()] * n) for i, n in enumerate((1, 20, 20))]
    found = FAMILY.read_events(paths, {}, 11, era="2017")
    assert len(found) == 11
    assert found.source == ", ".join(map(str, paths))


def test_jets_at_the_working_point_are_b_jets_and_come_after_the_others(tmp_path: Path) -> None:
    cut = np.float32(MEDIUM["2018"])
    scores = [float(np.nextafter(cut, np.float32(1))), float(np.nextafter(cut, np.float32(0))), 0.9]
    jets = [JET | {"btagDeepFlavB": score, "phi": -2.0 + 0.5 * i} for i, score in enumerate(scores)]
    path = write(tmp_path / "a.root", [event(jets=jets)])
    x = read(path).events[0]["x"]
    assert x[:, 7].tolist() == [0, 0, 1, 1, 1, 0]
    assert x[:, 8].tolist() == [0, 0, 0, 1, 1, 0]
    assert read(path, working_point=0.95).events[0]["x"][:, 8].sum() == 0
    assert FAMILY.read_events([path], {}, 9, era="2017").events[0]["x"][:, 8].sum() == 1


def test_cuts_are_those_that_were_asked_for(tmp_path: Path) -> None:
    soft, forward = LEPTON | {"pt": 9.0, "phi": -1.0}, LEPTON | {"eta": 2.45, "phi": -1.0}
    overlapping = JET | {"eta": LEPTON["eta"], "phi": LEPTON["phi"] + 0.39}
    across = JET | {"eta": 0.0, "phi": -3.1}
    at_seam = LEPTON | {"eta": 0.0, "phi": 3.1}
    path = write(
        tmp_path / "a.root",
        [event([*MUONS, soft, forward], [forward], [overlapping]), event([*MUONS, at_seam], [], [across])],
    )
    assert [len(e["x"]) for e in read(path).events] == [4, 4]
    assert [len(e["x"]) for e in read(path, muons={"pt": 5}).events] == [5, 4]
    assert [len(e["x"]) for e in read(path, muons={"eta": 2.5}).events] == [5, 4]
    assert [len(e["x"]) for e in read(path, distance=0.05).events] == [5, 5]
    assert len(read(path, leptons=3, opposite_sign_muons=True)) == 2
    assert len(read(path, least_jets=1, distance=0)) == 2


def test_events_too_large_for_the_contract_are_left_out(tmp_path: Path) -> None:
    many = [JET | {"phi": -3 + 0.05 * i} for i in range(38)]
    path = write(tmp_path / "a.root", [event(jets=many), event(jets=many[:37])])
    assert [len(e["x"]) for e in read(path).events] == [40]


def test_further_branches_can_be_cut_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", [event(), event()])
    assert len(read(path, muons={"at_least": {"charge": 0}}, leptons=1)) == 2
    assert all(len(e["x"]) == 2 for e in read(path, muons={"at_least": {"charge": 0}}, leptons=1).events)


def test_era_is_in_the_path_or_among_the_options(tmp_path: Path) -> None:
    path = write(tmp_path / "2016postVFP" / "a.root", [event()])
    assert FAMILY.read_events([path], {}, 9).events[0]["graph_input"].tolist() == [0, 1, 0, 0]
    assert FAMILY.read_events([path], {}, 9, era="2017").events[0]["graph_input"].tolist() == [0, 0, 1, 0]
    lost = write(tmp_path / "run3" / "a.root", [event()])
    with pytest.raises(EventFileError, match=r"a\.root: no era in its path.*`era` among the options"):
        FAMILY.read_events([lost], {}, 9)


@pytest.mark.parametrize("branch", ["Muon_charge", "Electron_eta", "Jet_btagDeepFlavB"])
def test_missing_branch_is_named_with_its_file(tmp_path: Path, branch: str) -> None:
    path = write(tmp_path / "a.root", [event(electrons=[LEPTON], jets=[JET])], drop=(branch,))
    with pytest.raises(EventFileError, match=rf"a\.root: tree 'Events' lacks branch {branch}.*options of `events`"):
        read(path)


def test_other_branches_than_usual_are_read_and_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", [event()], PuppiMET_pt=np.array([77], "f4"), PuppiMET_phi=np.array([0], "f4"))
    assert read(path, met="PuppiMET").events[0]["x"][-1, 0] == 77
    with pytest.raises(EventFileError, match=r"lacks branches RawMET_pt.*RawMET_phi"):
        read(path, met="RawMET")
    with pytest.raises(EventFileError, match="lacks branch Jet_btagPNetB"):
        read(path, btag="btagPNetB", working_point=0.2)


def test_tagger_without_a_known_working_point_asks_for_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", [event()])
    with pytest.raises(EventFileError, match="lacks branch Jet_btagPNetB"):  # the file comes before its meaning
        read(path, btag="btagPNetB")
    tagged = write(tmp_path / "b.root", [event()], Jet_btagPNetB=np.zeros(1, np.float32))
    with pytest.raises(ConfigError, match="give `working_point`"):
        read(tagged, btag="btagPNetB")


def test_file_of_neither_kind_and_a_truncated_one_are_named(tmp_path: Path) -> None:
    other = tmp_path / "a.root"
    with uproot.recreate(other) as file:
        file.mktree("Events", {"pt": np.float32}).extend({"pt": np.ones(2, np.float32)})
    with pytest.raises(EventFileError, match=r"a\.root: tree 'Events' lacks"):
        read(other)
    path = write(tmp_path / "b.root", [event()] * 50)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(EventFileError, match=r"b\.root"):
        read(path)


def test_selection_that_leaves_nothing_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", [event()])
    with pytest.raises(EventFileError, match=r"no event of .*a\.root is selected; loosen"):
        read(path, leptons=5)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"lepton": 2}, "did you mean 'leptons'"),
        ({"muons": {"pT": 3}}, "option 'muons.pT' of events"),
        ({"leptons": "many"}, "option 'leptons' of events"),
        ({"muons": 10}, "option 'muons' of events"),
    ],
)
def test_options_that_make_no_sense_are_named(options: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        FAMILY.check_event_options(options)


def test_partial_cuts_keep_the_others() -> None:
    assert Selection.of({"jets": {"pt": 30}}).jets.eta == Selection().jets.eta
    assert Selection.of({"era": 2018}).era == "2018"
