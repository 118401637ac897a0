import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.core.errors import EventFileError
from modelferry.core.events import UNKNOWN
from modelferry.families.charged_higgs_particlenet.analysis_tree import Collections
from modelferry.families.charged_higgs_particlenet.family import FEATURES
from modelferry.families.charged_higgs_particlenet.node_features import (
    ERAS,
    era_one_hot,
    event_set,
    event_weights,
    four_momentum,
    node_features,
)


def lepton(pt: float, charge: int) -> dict:
    common = {"eta": 0.5, "phi": 1.0, "mass": 0.1, "is_tight": True, "label": False}
    return {"pt": pt, "charge": charge} | common


def jet(pt: float, tagged: bool, mass: float = 5.0) -> dict:
    common = {"eta": -1.0, "phi": -2.0, "charge": 0, "btag_score": 0.5, "label": False}
    return {"pt": pt, "mass": mass, "is_btagged": tagged} | common


def two_events() -> Collections:
    def numbers(*values: float) -> np.ndarray:
        return np.array(values, np.float32)

    return Collections(
        gen_weight=numbers(2, -1),
        pu_weight=numbers(0.5, 1.25),
        prefire_weight=numbers(1, 0.5),
        met_pt=numbers(40, 7),
        met_phi=numbers(np.pi / 2, 0),
        muons=ak.Array([[lepton(30, 1), lepton(20, -1)], [lepton(11, 1), lepton(12, -1), lepton(13, 1)]]),
        electrons=ak.Array([[lepton(25, -1)], [lepton(1, 1)]])[ak.Array([[True], [False]])],
        jets=ak.Array([[jet(100, True), jet(90, False), jet(80, True)], [jet(70, False), jet(60, False)]]),
    )


def test_order_is_muons_electrons_jets_b_jets_and_missing_energy_last() -> None:
    first, second = node_features(two_events())
    transverse = [np.hypot(x[:, 1], x[:, 2]) for x in (first, second)]
    assert transverse[0] == pytest.approx([30, 20, 25, 90, 100, 80, 40], rel=1e-6)
    assert transverse[1] == pytest.approx([11, 12, 13, 70, 60, 7], rel=1e-6)
    assert first.dtype == np.float32


def test_charges_and_flags_say_what_each_particle_is() -> None:
    first, second = node_features(two_events())
    muon, electron, light, tagged, missing = [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0] * 4
    assert FEATURES[4:] == ("Charge", "IsMuon", "IsElectron", "IsJet", "IsBjet"), "what the contract calls the columns"
    assert first[:, 5:].tolist() == [muon, muon, electron, light, tagged, tagged, missing]
    assert second[:, 5:].tolist() == [muon, muon, muon, light, light, missing]
    assert first[:, 4].tolist() == [1, -1, -1, 0, 0, 0, 0]


def test_missing_energy_is_massless_and_transverse() -> None:
    first, _ = node_features(two_events())
    assert first[-1, :4] == pytest.approx([40, 0, 40, 0], abs=1e-5)


@given(st.floats(0.1, 500), st.floats(-4, 4), st.floats(-3.14, 3.14), st.floats(0, 100))
def test_four_momentum_has_the_given_pt_direction_and_mass(pt: float, eta: float, phi: float, mass: float) -> None:
    energy, px, py, pz = four_momentum(*map(np.float64, (pt, eta, phi, mass)))
    p2 = px**2 + py**2 + pz**2
    assert np.hypot(px, py) == pytest.approx(pt)
    assert np.arctan2(py, px) == pytest.approx(phi, abs=1e-9)
    assert np.arctanh(pz / np.sqrt(p2)) == pytest.approx(eta, rel=1e-6, abs=1e-6)
    assert energy**2 - p2 == pytest.approx(mass**2, abs=1e-9 * p2)


def test_negative_mass_is_a_negative_mass_squared() -> None:
    spacelike = four_momentum(*map(np.array, ([50.0], [0.0], [0.0], [-30.0])))
    assert spacelike[0] == pytest.approx([40, 50, 0, 0])
    too_much = four_momentum(*map(np.array, ([10.0], [0.0], [0.0], [-30.0])))
    assert too_much[0, 0] == 0


def test_weight_is_the_product_of_generator_pileup_and_prefire() -> None:
    weights = event_weights(two_events())
    assert weights.dtype == np.float64
    assert weights.tolist() == [1.0, -0.625]


@pytest.mark.parametrize("position", range(4))
def test_eras_are_one_hot_in_order_of_data_taking(position: int) -> None:
    era = ("2016preVFP", "2016postVFP", "2017", "2018")[position]
    assert ERAS[position] == era
    assert era_one_hot(era).tolist() == [float(i == position) for i in range(4)]


def test_unknown_era_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(EventFileError, match=r"'2016prevfp' is unknown; did you mean '2016preVFP'\?"):
        era_one_hot("2016prevfp")


def test_event_set_has_inputs_labels_and_weights_of_every_event() -> None:
    events = event_set(two_events(), "2017", "a.root")
    assert len(events) == 2
    assert events.labels.tolist() == [UNKNOWN, UNKNOWN]
    assert [event["x"].shape for event in events.events] == [(7, 9), (6, 9)]
    assert all(event["graph_input"].tolist() == [0, 0, 1, 0] for event in events.events)
    assert event_set(two_events(), "2017", "a.root", label=3).labels.tolist() == [3, 3]
