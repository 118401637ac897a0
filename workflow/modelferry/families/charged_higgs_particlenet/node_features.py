"""Node features of the charged-Higgs network, layout "separate b jets": events become arrays of particles."""

from __future__ import annotations

import awkward as ak
import numpy as np

from modelferry.core.errors import EventFileError, did_you_mean
from modelferry.core.events import UNKNOWN, EventSet
from modelferry.families.charged_higgs_particlenet.analysis_tree import Collections

ERAS = ("2016preVFP", "2016postVFP", "2017", "2018")

_NO_FLAGS = (0.0, 0.0, 0.0, 0.0)
_MUON = (1.0, 0.0, 0.0, 0.0)
_ELECTRON = (0.0, 1.0, 0.0, 0.0)
_JET = (0.0, 0.0, 1.0, 0.0)
_BJET = (0.0, 0.0, 1.0, 1.0)


def four_momentum(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return E, px, py, pz in GeV, shape (n, 4), float64.

    A negative mass stands for a negative m², as in ROOT: E = sqrt(p² − m²), or 0 if that is negative too.
    """
    pt, eta, phi, mass = (np.asarray(value, np.float64) for value in (pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy_squared = px**2 + py**2 + pz**2 + mass * np.abs(mass)
    return np.stack([np.sqrt(np.maximum(energy_squared, 0.0)), px, py, pz], axis=-1)


def node_features(collections: Collections) -> list[np.ndarray]:
    """Return the particles of each event, shape (n, 9), float32, momenta in GeV; columns as the family's `FEATURES`.

    Order: muons, electrons, jets, b jets, and last the missing transverse momentum as a massless particle at
    η = 0.
    """
    jets, tagged = collections.jets, collections.jets.is_btagged
    met = ak.zip(
        {"pt": collections.met_pt, "phi": collections.met_phi}
        | {name: np.zeros(len(collections), np.float32) for name in ("eta", "mass", "charge")}
    )[:, np.newaxis]
    kinds = (
        (collections.muons, _MUON),
        (collections.electrons, _ELECTRON),
        (jets[~tagged], _JET),
        (jets[tagged], _BJET),
        (met, _NO_FLAGS),
    )
    features = np.concatenate([_features(records, flags) for records, flags in kinds])
    counts = np.stack([ak.to_numpy(ak.num(records)) for records, _ in kinds])
    event = np.concatenate([np.repeat(np.arange(len(collections)), count) for count in counts])
    by_event = features[np.argsort(event, kind="stable")]
    return np.split(by_event, np.cumsum(counts.sum(axis=0))[:-1]) if len(collections) else []


def era_one_hot(era: str) -> np.ndarray:
    """Return the one-hot era, shape (4,), float32.

    Raises
    ------
    EventFileError
        If the era is none of `ERAS`.
    """
    if era not in ERAS:
        raise EventFileError(f"era '{era}' is unknown", did_you_mean(era, ERAS))
    return np.eye(len(ERAS), dtype=np.float32)[ERAS.index(era)]


def event_weights(collections: Collections) -> np.ndarray:
    """Return genWeight · puWeight · prefireWeight, shape (N,), float64."""
    return (
        collections.gen_weight.astype(np.float64)
        * collections.pu_weight.astype(np.float64)
        * collections.prefire_weight.astype(np.float64)
    )


def event_set(collections: Collections, era: str, source: str, label: int = UNKNOWN) -> EventSet:
    """Return the inputs of the network for each event of a file, all of one era and class."""
    graph_input = era_one_hot(era)
    events = [{"x": x, "graph_input": graph_input.copy()} for x in node_features(collections)]
    labels = np.full(len(events), label, np.int64)
    return EventSet(events, labels, event_weights(collections), source)


def _features(records: ak.Array, flags: tuple[float, ...]) -> np.ndarray:
    flat = {name: ak.to_numpy(ak.flatten(records[name])) for name in ("pt", "eta", "phi", "mass", "charge")}
    momentum = four_momentum(flat["pt"], flat["eta"], flat["phi"], flat["mass"])
    kind = np.broadcast_to(flags, (len(momentum), len(flags)))
    return np.column_stack([momentum, flat["charge"], kind]).astype(np.float32)
