"""ROOT files of the charged-Higgs analysis: tree `Events`, one file per channel, sample and era.

Branches as in `ChargedHiggsAnalysisV3`: scalars, and the collections `Muon…Coll`, `Electron…Coll` and
`Jet…Coll` with their counters `nMuons`, `nElectrons`, `nJets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from modelferry.core.files import replacing
from modelferry.families.shared.root_file import TREE, opened_tree, require_branches

SCALARS = {
    "gen_weight": "genWeight",
    "pu_weight": "puWeight",
    "prefire_weight": "prefireWeight",
    "met_pt": "METvPt",
    "met_phi": "METvPhi",
}
"""Attribute → branch, one float per event; pt in GeV, phi in radians."""

_MOMENTUM = {"pt": "PtColl", "eta": "EtaColl", "phi": "PhiColl", "mass": "MassColl", "charge": "ChargeColl"}
_LEPTON = _MOMENTUM | {"is_tight": "IsTightColl", "label": "LabelColl"}
_JET = _MOMENTUM | {"btag_score": "BtagScoreColl", "is_btagged": "IsBtaggedColl", "label": "LabelColl"}

OBJECTS = {"muons": ("Muon", _LEPTON), "electrons": ("Electron", _LEPTON), "jets": ("Jet", _JET)}
"""Attribute → prefix of its branches, and field → rest of the branch name."""

DTYPES = {"charge": np.int32, "is_tight": np.bool_, "is_btagged": np.bool_, "label": np.bool_}
"""Type of the fields that are not float32."""


@dataclass(frozen=True)
class Collections:
    """The content of one file of N events.

    Attributes
    ----------
    gen_weight, pu_weight, prefire_weight
        Factors of the event weight, shape (N,), float32.
    met_pt, met_phi
        Missing transverse momentum in GeV and its azimuth in radians, shape (N,), float32.
    muons, electrons
        Jagged records (N, var): `pt`, `mass` (GeV), `eta`, `phi` (radians), `charge`, `is_tight`, `label`.
    jets
        Jagged records (N, var): `pt`, `mass`, `eta`, `phi`, `charge` (0), `btag_score`, `is_btagged`,
        `label`.
    """

    gen_weight: np.ndarray
    pu_weight: np.ndarray
    prefire_weight: np.ndarray
    met_pt: np.ndarray
    met_phi: np.ndarray
    muons: ak.Array
    electrons: ak.Array
    jets: ak.Array

    def __len__(self) -> int:
        return len(self.met_pt)

    @property
    def n_jets(self) -> np.ndarray:
        """Number of jets of each event, shape (N,)."""
        return ak.to_numpy(ak.num(self.jets))


def branches() -> list[str]:
    """Return the names of all branches, counters included."""
    names = list(SCALARS.values())
    for prefix, fields in OBJECTS.values():
        names += [f"n{prefix}s", *(prefix + suffix for suffix in fields.values())]
    return names


def read(path: Path | str, max_events: int | None = None) -> Collections:
    """Read the first `max_events` events of a file, or all.

    Raises
    ------
    EventFileError
        If the file is missing, truncated, or lacks the tree or a branch.
    """
    with opened_tree(path) as tree:
        require_branches(tree, path, branches(), "produce the file with them")
        return _collections(tree.arrays(branches(), entry_stop=max_events, how=dict))


def write(path: Path | str, collections: Collections) -> None:
    """Write a file that `read` reads back unchanged; atomically.

    uproot writes counters as signed 32-bit integers where the analysis has unsigned ones.
    """
    content: dict[str, Any] = {
        branch: np.asarray(getattr(collections, name), np.float32) for name, branch in SCALARS.items()
    }
    for name, (prefix, fields) in OBJECTS.items():
        records = getattr(collections, name)
        content[prefix] = ak.zip(
            {suffix: ak.values_astype(records[field], _dtype(field)) for field, suffix in fields.items()}
        )
    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        tree = file.mktree(
            TREE,
            {name: getattr(array, "dtype", None) or array.type for name, array in content.items()},
            counter_name=lambda counted: f"n{counted}s",
            field_name=lambda outer, inner: outer + inner,
        )
        tree.extend(content)


def _collections(arrays: dict[str, Any]) -> Collections:
    scalars = {name: ak.to_numpy(arrays[branch]) for name, branch in SCALARS.items()}
    objects = {
        name: ak.zip({field: arrays[prefix + suffix] for field, suffix in fields.items()})
        for name, (prefix, fields) in OBJECTS.items()
    }
    return Collections(**scalars, **objects)


def _dtype(field: str) -> Any:
    return DTYPES.get(field, np.float32)
