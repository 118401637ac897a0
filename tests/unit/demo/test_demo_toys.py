import awkward as ak
import numpy as np
import pytest

from modelferry.core.errors import ConfigError
from modelferry.demo import kinematics as kin
from modelferry.demo.charged_higgs_toys import BACKGROUNDS, CHANNELS, generate
from modelferry.families.charged_higgs_particlenet.analysis_tree import Collections
from modelferry.families.charged_higgs_particlenet.node_features import event_weights, four_momentum

SIGNAL = "TTToHcToWAToMuMu-MHc160_MA85"
SAMPLES = (SIGNAL, *BACKGROUNDS)
NONPROMPT, DIBOSON, TTZ = BACKGROUNDS
N = 1000

every_sample = pytest.mark.parametrize("sample", SAMPLES)
every_channel = pytest.mark.parametrize("channel", CHANNELS)


def dimuon_masses(collections: Collections) -> np.ndarray:
    """Masses of all opposite-sign muon pairs."""
    first, second = ak.unzip(ak.combinations(collections.muons, 2))
    opposite = first.charge != second.charge
    p = sum(
        four_momentum(*(ak.to_numpy(ak.flatten(side[opposite][field])) for field in ("pt", "eta", "phi", "mass")))
        for side in (first, second)
    )
    return kin.mass(p)


def share_near(masses: np.ndarray, peak: float) -> float:
    return float(np.mean(np.abs(masses - peak) < 5))


@every_channel
@every_sample
def test_selection_of_the_channel_holds_in_every_event(channel: str, sample: str) -> None:
    events = generate(channel, sample, 200, seed=1)
    assert len(events) == 200
    muons, electrons = (2, 1) if channel == "Run1E2Mu" else (3, 0)
    assert ak.all(ak.num(events.muons) == muons)
    assert ak.all(ak.num(events.electrons) == electrons)
    assert np.all(events.n_jets >= 2)
    assert ak.all(np.abs(ak.sum(events.muons.charge, axis=1)) < muons)
    assert ak.all(events.jets.pt > 20)
    assert ak.all(events.muons.pt > 10)
    assert np.all(event_weights(events) > 0)
    assert np.all(events.met_pt > 0)


@pytest.mark.parametrize(
    ("sample", "peak"),
    [(SIGNAL, 85.0), ("TTToHcToWAToMuMu-MHc130_MA30", 30.0), (DIBOSON, 91.2), (TTZ, 91.2)],
)
def test_muon_pair_peaks_at_the_mass_of_what_decays(sample: str, peak: float) -> None:
    masses = dimuon_masses(generate("Run1E2Mu", sample, N, seed=2))
    assert np.median(masses) == pytest.approx(peak, abs=0.5)
    assert share_near(masses, peak) > 0.8


def test_peak_of_the_signal_is_narrower_than_that_of_the_z() -> None:
    width = [np.subtract(*np.percentile(dimuon_masses(generate("Run1E2Mu", s, N, 2)), [84, 16])) for s in (SIGNAL, TTZ)]
    assert width[0] < 0.7 * width[1]


def test_nonprompt_muon_pairs_have_no_peak() -> None:
    masses = dimuon_masses(generate("Run1E2Mu", NONPROMPT, N, seed=2))
    assert max(share_near(masses, peak) for peak in np.arange(15, 150, 5)) < 0.2


def test_three_muons_hold_one_pair_from_the_resonance() -> None:
    masses = dimuon_masses(generate("Run3Mu", SIGNAL, N, seed=2)).reshape(N, 2)
    assert np.mean(np.min(np.abs(masses - 85), axis=1) < 5) > 0.8


def test_top_samples_have_b_jets_and_diboson_few() -> None:
    tagged = {s: ak.mean(ak.sum(generate("Run1E2Mu", s, N, 3).jets.is_btagged, axis=1)) for s in SAMPLES}
    assert tagged[DIBOSON] < 0.2
    assert min(tagged[SIGNAL], tagged[NONPROMPT], tagged[TTZ]) > 0.6


def test_ttz_has_the_most_jets() -> None:
    jets = {s: generate("Run1E2Mu", s, N, 3).n_jets.mean() for s in SAMPLES}
    assert max(jets, key=lambda s: jets[s]) == TTZ


def test_fake_muon_is_softer_and_nearer_to_b_jets_than_prompt_ones() -> None:
    def softest(sample: str) -> float:
        return float(ak.mean(ak.min(generate("Run1E2Mu", sample, N, 4).muons.pt, axis=1)))

    assert softest(NONPROMPT) < 0.8 * softest(TTZ)


def test_masses_of_the_signal_are_read_from_its_name() -> None:
    jets = [ak.mean(generate("Run1E2Mu", f"TTToHcToWAToMuMu-MHc{m}_MA15", N, 5).muons.pt) for m in (70, 160)]
    assert jets[0] < jets[1]


@every_sample
def test_same_seed_gives_the_same_events_and_another_seed_others(sample: str) -> None:
    first, again, other = (generate("Run3Mu", sample, 30, seed) for seed in (6, 6, 7))
    assert ak.to_list(first.muons) == ak.to_list(again.muons)
    assert ak.to_list(first.jets) == ak.to_list(again.jets)
    assert ak.to_list(first.muons) != ak.to_list(other.muons)


@pytest.mark.parametrize(
    ("channel", "sample", "message"),
    [
        ("Run2Mu", SIGNAL, "channel 'Run2Mu' has no toy events; did you mean"),
        ("Run3Mu", "Skim_TriLep_TTLL_Powheg", "did you mean 'Skim_TriLep_TTLL_powheg'"),
        ("Run3Mu", "TTToHcToWAToMuMu-MHc80_MA90", "cannot decay; give masses with"),
        ("Run3Mu", "TTToHcToWAToMuMu-MHc200_MA90", "cannot decay; give masses with"),
    ],
)
def test_what_cannot_be_generated_is_refused_with_a_remedy(channel: str, sample: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(channel, sample, 1, seed=0)
