"""The charged-Higgs family with a smaller contract, its artifacts plain eager networks: fast, and easy to break."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from checkpoint_samples import formula_state
from modelferry.config.sections import Validation
from modelferry.core.contract import Arrays, Contract
from modelferry.core.tolerances import Tolerance
from modelferry.families.charged_higgs_particlenet.family import ChargedHiggsParticleNet
from modelferry.families.probes import make_probes
from modelferry.formats import Runner
from modelferry.formats.shared.runner import on_tensors
from modelferry.stages.validation.checks import CheckResults, check_artifact
from modelferry.stages.validation.perturbation import Examiner
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.reference import evaluate

HIDDEN = {"hidden": 16}
LARGEST = {"events": 8, "particles": 12, "nodes": 80, "edges": 320}


class Small(ChargedHiggsParticleNet):
    """Calls of up to 8 events, of up to 12 particles; 80 in all in the flat layout."""

    largest: ClassVar = LARGEST

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        whole = super().contract(hyperparameters, layout)
        dimensions = tuple(
            d.model_copy(update={"maximum": self.largest[d.name], "typical": min(d.typical, self.largest[d.name])})
            for d in whole.dimensions
        )
        return whole.model_copy(update={"dimensions": dimensions})


class Tiny(Small):
    """Calls of up to 3 events, of up to 7 particles."""

    largest = {"events": 3, "particles": 7, "nodes": 21, "edges": 84}


FAMILY = Small()
FLAT, DENSE = (FAMILY.contract(HIDDEN, layout) for layout in ("flat", "dense"))


def reference() -> torch.nn.Module:
    network = FAMILY.reference(HIDDEN).eval()
    network.load_state_dict(formula_state(16))
    return network


def record(network: torch.nn.Module, seed: int = 1, count: int = 100, family: Small = FAMILY) -> Recording:
    """Return what `record_reference` returns, of a network at hand."""
    flat, dense = (family.contract(HIDDEN, layout) for layout in ("flat", "dense"))
    probes = tuple(make_probes(family, flat, count, seed, [], "", [dense]))
    float32 = evaluate(network, family, flat, probes)
    single = copy.deepcopy(network)
    double = copy.deepcopy(network).double()
    float64 = evaluate(double, family, flat, probes, torch.float64)
    events = len(float32["logits"])
    classes = np.random.default_rng(seed).integers(-1, 4, events)
    examine = Examiner(family, flat, lambda: (single, double))
    return Recording(probes, float32, float64, classes, np.ones(events), "", examine=examine)


def deployable(layout: str) -> torch.nn.Module:
    network = FAMILY.deployable(HIDDEN, layout).eval()
    network.load_state_dict(formula_state(16))
    return network


def runner(network: torch.nn.Module, contract: Contract) -> Runner:
    return on_tensors(lambda tensors: network(*tensors), contract)


def unchecked(network: torch.nn.Module, contract: Contract) -> Runner:
    """Return a runner that looks at nothing, as a loaded file without modelferry is."""
    names = [tensor.name for tensor in contract.inputs]

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            return {"logits": network(*(torch.from_numpy(inputs[name]) for name in names)).numpy()}

    return run


def checked(run: Runner, contract: Contract, recording: Recording, exactness: Any = "exact") -> CheckResults:
    return check_artifact(run, FAMILY, contract, recording, Tolerance(), exactness, Validation())
