"""CMS NanoAOD, as events of the charged-Higgs analysis.

The objects are NanoAOD's own, with the cuts of `Selection`: not the calibrated ones of an analysis, but real ones.
Branches as in https://cms-nanoaod-integration.web.cern.ch/autoDoc/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from modelferry.core.events import EventSet, join
from modelferry.families.charged_higgs_particlenet.analysis_tree import Collections
from modelferry.families.charged_higgs_particlenet.edges import wrap
from modelferry.families.charged_higgs_particlenet.node_features import event_set
from modelferry.families.charged_higgs_particlenet.selection import Cuts, Selection
from modelferry.families.shared.root_file import opened_tree, require_branches

CHUNK = 50_000
"""Events read at a time."""
MOMENTUM = ("pt", "eta", "phi", "mass")
MARK = "Muon_pt"
WEIGHT = "genWeight"
LACKING = "name another in the options of `events`, or another file"


def is_nanoaod(path: Path | str) -> bool:
    """Return whether a file has NanoAOD's branches; raise `EventFileError` if it has no tree `Events`."""
    with opened_tree(path) as tree:
        return MARK in tree.keys()  # noqa: SIM118 - a tree is not a mapping


def check_branches(path: Path | str, selection: Selection) -> None:
    """Raise `EventFileError` if a file lacks a branch that a selection needs."""
    with opened_tree(path) as tree:
        require_branches(tree, path, branches(selection), LACKING)


def branches(selection: Selection) -> list[str]:
    """Return the names of all branches that a selection needs; the generator's weight is taken where it is."""
    return [
        *(f"Muon_{field}" for field in (*MOMENTUM, "charge", *selection.muons.at_least)),
        *(f"Electron_{field}" for field in (*MOMENTUM, "charge", *selection.electrons.at_least)),
        *(f"Jet_{field}" for field in (*MOMENTUM, selection.btag, *selection.jets.at_least)),
        *(f"{selection.met}_{field}" for field in ("pt", "phi")),
    ]


def read(path: Path | str, era: str, selection: Selection, limit: int, particles: int) -> EventSet:
    """Return the first `limit` selected events of a file with at most so many `particles`, without class.

    Raises
    ------
    EventFileError
        If the file is missing, truncated, or lacks the tree or a branch.
    ConfigError
        If no working point is known for the era's b-tag score.
    """
    cut = selection.cut_on_btag(era)
    sets: list[EventSet] = []
    with opened_tree(path) as tree:
        require_branches(tree, path, branches(selection), LACKING)
        for arrays in _chunks(tree, selection):
            part = event_set(_selected(arrays, selection, cut), era, str(path))
            part = part.take(np.array([len(event["x"]) <= particles for event in part.events], bool))
            sets.append(part.take(np.arange(min(len(part), limit - sum(map(len, sets))))))
            if sum(map(len, sets)) >= limit:
                break
    return join(sets)


def _chunks(tree: Any, selection: Selection) -> Iterator[Any]:
    names = [*branches(selection), *([WEIGHT] if WEIGHT in tree.keys() else [])]  # noqa: SIM118
    yield from tree.iterate(names, step_size=CHUNK, entry_stop=selection.scanned)


def _selected(arrays: Any, selection: Selection, btag_cut: float) -> Collections:
    """Return the selected objects of the selected events; jets have no charge."""
    muons = _objects(arrays, "Muon", ("charge",), selection.muons)
    electrons = _objects(arrays, "Electron", ("charge",), selection.electrons)
    jets = _objects(arrays, "Jet", (selection.btag,), selection.jets)
    jets = jets[_apart(jets, ak.concatenate([muons, electrons], axis=1), selection.distance)]
    jets["is_btagged"] = jets[selection.btag] >= btag_cut
    jets["charge"] = ak.zeros_like(jets.pt)
    chosen = (ak.num(muons) + ak.num(electrons) >= selection.leptons) & (ak.num(jets) >= selection.least_jets)
    if selection.opposite_sign_muons:
        chosen = chosen & ak.any(muons.charge > 0, axis=1) & ak.any(muons.charge < 0, axis=1)
    chosen = ak.to_numpy(chosen)
    ones = np.ones(int(chosen.sum()), np.float32)
    weight = ak.to_numpy(arrays[WEIGHT])[chosen] if WEIGHT in arrays.fields else ones
    return Collections(
        gen_weight=weight,
        pu_weight=ones,
        prefire_weight=ones,
        met_pt=ak.to_numpy(arrays[f"{selection.met}_pt"])[chosen],
        met_phi=ak.to_numpy(arrays[f"{selection.met}_phi"])[chosen],
        muons=muons[chosen],
        electrons=electrons[chosen],
        jets=jets[chosen],
    )


def _objects(arrays: Any, kind: str, fields: tuple[str, ...], cuts: Cuts) -> Any:
    wanted = dict.fromkeys((*MOMENTUM, *fields, *cuts.at_least))
    objects = ak.zip({field: arrays[f"{kind}_{field}"] for field in wanted})
    good = (objects.pt >= cuts.pt) & (abs(objects.eta) <= cuts.eta)
    for field, smallest in cuts.at_least.items():
        good = good & (objects[field] >= smallest)
    return objects[good][[*MOMENTUM, *fields]]


def _apart(jets: Any, leptons: Any, distance: float) -> Any:
    """Return which jets are at least `distance` in ΔR away from all leptons of their event."""
    pairs = ak.cartesian({"jet": jets[list(MOMENTUM)], "lepton": leptons[list(MOMENTUM)]}, nested=True)
    d_eta, d_phi = pairs.jet.eta - pairs.lepton.eta, wrap(pairs.jet.phi - pairs.lepton.phi)
    return ak.all(d_eta**2 + d_phi**2 >= distance**2, axis=-1)
