"""A crude detector: from the partons of toy events to the collections of the analysis tree."""

from __future__ import annotations

from dataclasses import dataclass

import awkward as ak
import numpy as np

from modelferry.demo import kinematics as kin
from modelferry.families.charged_higgs_particlenet.analysis_tree import Collections
from modelferry.families.charged_higgs_particlenet.edges import wrap

M_LEPTON = {"electron": 0.000511, "muon": 0.10566}
RESOLUTION = {"electron": 0.02, "muon": 0.01, "jet": 0.15}
MET_NOISE = 15.0
BTAG_EFFICIENCY, BTAG_MISTAG, BTAG_MEDIUM = 0.75, 0.03, 0.3


@dataclass(frozen=True)
class Partons:
    """The final state of n events before the detector.

    `leptons` is (n, 3, 4): the extra lepton, then two muons of opposite charge; `charges` is (n, 3). `quarks`
    is (n, J, 4) with `is_b` (n, J). `invisible` is (n, 4), the sum of the neutrinos. `prompt` (3,) tells real
    from fake.
    """

    leptons: np.ndarray
    charges: np.ndarray
    quarks: np.ndarray
    is_b: np.ndarray
    invisible: np.ndarray
    prompt: tuple[bool, bool, bool] = (True, True, True)


def detect(rng: np.random.Generator, partons: Partons, extra: str) -> Collections:
    """Return the events that pass the selection, smeared, tagged and sorted by pt.

    Selected are leptons with pt > 10 GeV and |η| < 2.5, and two or more jets with pt > 20 GeV and |η| < 2.4
    that are ΔR > 0.4 away from prompt leptons. `extra` is the kind of the first lepton, "electron" or "muon".
    """
    n = len(partons.leptons)
    kinds = (extra, "muon", "muon")
    smear = np.stack([rng.normal(1, RESOLUTION[kind], n) for kind in kinds], axis=1)
    leptons = partons.leptons * smear[..., None]
    jets = partons.quarks * np.abs(rng.normal(1, RESOLUTION["jet"], partons.is_b.shape))[..., None]
    tagged = rng.random(jets.shape[:2]) < np.where(partons.is_b, BTAG_EFFICIENCY, BTAG_MISTAG)
    score = np.where(tagged, rng.uniform(BTAG_MEDIUM, 1, tagged.shape), rng.uniform(0, BTAG_MEDIUM, tagged.shape))
    met = partons.invisible[:, 1:3] + rng.normal(0, MET_NOISE, (n, 2))

    prompt = leptons[:, [i for i in range(3) if partons.prompt[i]]]
    good_jet = (kin.pt(jets) > 20) & (np.abs(kin.eta(jets)) < 2.4) & (_nearest(jets, prompt) > 0.4)
    good = np.all((kin.pt(leptons) > 10) & (np.abs(kin.eta(leptons)) < 2.5), axis=1) & (good_jet.sum(axis=1) >= 2)

    def lepton_records(kind: str) -> ak.Array:
        chosen = np.array([k == kind for k in kinds])
        fields = {
            "charge": partons.charges.astype(np.int32),
            "is_tight": np.where(partons.prompt, True, rng.random((n, 3)) < 0.5),
            "label": np.zeros((n, 3), bool),
        }
        masses = np.full((n, 3), M_LEPTON[kind])
        return _records(leptons, masses, fields, np.broadcast_to(chosen, (n, 3)))[good]

    fields = {
        "charge": np.zeros(tagged.shape, np.int32),
        "btag_score": score.astype(np.float32),
        "is_btagged": tagged,
        "label": np.zeros(tagged.shape, bool),
    }
    jet_masses = kin.pt(jets) * rng.uniform(0.06, 0.2, tagged.shape)
    return Collections(
        gen_weight=np.ones(good.sum(), np.float32),
        pu_weight=rng.normal(1, 0.1, n).clip(0.5, 1.5).astype(np.float32)[good],
        prefire_weight=rng.uniform(0.95, 1, n).astype(np.float32)[good],
        met_pt=np.hypot(*met.T).astype(np.float32)[good],
        met_phi=np.arctan2(met[:, 1], met[:, 0]).astype(np.float32)[good],
        muons=lepton_records("muon"),
        electrons=lepton_records("electron"),
        jets=_records(jets, jet_masses, fields, good_jet)[good],
    )


def _records(p: np.ndarray, masses: np.ndarray, fields: dict[str, np.ndarray], chosen: np.ndarray) -> ak.Array:
    """Return the `chosen` objects of each event, largest pt first."""
    values = {"pt": kin.pt(p), "eta": kin.eta(p), "phi": kin.phi(p), "mass": masses}
    regular = {name: value.astype(np.float32) for name, value in values.items()} | fields
    jagged = ak.zip({name: ak.from_regular(ak.Array(value)) for name, value in regular.items()})
    kept = jagged[ak.from_regular(ak.Array(chosen))]
    return kept[ak.argsort(kept.pt, ascending=False, stable=True)]


def _nearest(jets: np.ndarray, leptons: np.ndarray) -> np.ndarray:
    """Return the ΔR (n, J) of each jet to its nearest lepton."""
    d_eta = kin.eta(jets)[:, :, None] - kin.eta(leptons)[:, None]
    d_phi = kin.phi(jets)[:, :, None] - kin.phi(leptons)[:, None]
    return np.hypot(d_eta, wrap(d_phi)).min(axis=2)
