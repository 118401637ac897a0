"""Artifacts for CMSSW, and jets as CMSSW has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmssw_reader import Columns
from modelferry.families import Family
from modelferry.families.jets.base import JetFamily
from modelferry.formats import load_format

CMSSW = load_format("modelferry.formats.destinations.cmssw:ForCmssw")


def made(family: Family, hyperparameters: Mapping[str, Any], weights: Any, layout: str, folder: Path) -> Path:
    """Return an artifact for CMSSW."""
    own = family.contract(hyperparameters, layout)
    contract, transforms = CMSSW.contract(own), frozenset(family.transforms(layout))
    network = CMSSW.delivered(family.rewritten(hyperparameters, layout, transforms).eval(), own)
    example = family.inputs_of(family.sample(family.call_sizes(contract), 20), contract)
    CMSSW.build_template(network, contract, example, {}, folder / "template.onnx")
    converted = family.rewritten_weights(weights, hyperparameters, layout, transforms)
    CMSSW.fill(folder / "template.onnx", converted, {"model": "campaign/fold-3"}, folder / "model.onnx")
    return folder / "model.onnx"


def columns_of(family: JetFamily, events: Sequence[Mapping[str, np.ndarray]]) -> list[Columns]:
    """Return raw columns of each jet by name."""
    names, of_jets = family.card.particle_branches, family.card.jet_branches
    return [
        {
            **{name: event["particles"][:, index] for index, name in enumerate(names)},
            **{name: event["jet"][index] for index, name in enumerate(of_jets)},
        }
        for event in events
    ]
