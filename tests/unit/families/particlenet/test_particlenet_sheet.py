"""The JetClass ParticleNet with its public weights against the outputs of weaver, on 100 jets.

The format `aotinductor` compiles for a minute: `bench/jets.py` holds it against the same outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jet_samples import jets_of
from modelferry.checkpoints.reader import fit, load_state_dict
from modelferry.checkpoints.shapes import read_shapes
from modelferry.core.contract import Arrays
from modelferry.families import load_family
from modelferry.families.hyperparameters import infer_hyperparameters
from modelferry.families.jets import prepare
from modelferry.families.jets.base import PREPARED, RAW, JetFamily
from modelferry.families.transforms import NONE
from modelferry.formats import load_format
from sheets import expected_figures, third_party

SOFTMAX = 1e-5
"""What must hold; rounding alone gives 1.3e-6."""


@dataclass(frozen=True)
class Public:
    family: JetFamily
    hyperparameters: dict[str, Any]
    weights: dict[str, torch.Tensor]
    reference: torch.nn.Module
    jets: list[Arrays]
    softmax: np.ndarray

    def eager(self, network: torch.nn.Module, layout: str = PREPARED) -> Callable[[Arrays], np.ndarray]:
        names = [tensor.name for tensor in self.family.contract(self.hyperparameters, layout).inputs]

        def run(inputs: Arrays) -> np.ndarray:
            with torch.inference_mode():
                return network(*(torch.from_numpy(inputs[name]) for name in names)).numpy()

        return run

    def apart(self, run: Callable[[Arrays], np.ndarray], layout: str = PREPARED) -> float:
        """Return the largest difference from the sheet, in calls of 50 jets and of the smallest jets alone."""
        calls = [range(50), range(50, 100), *([jet] for jet in (5, 47, 53, 82, 90))]
        rows = [run(self.family.collate([self.jets[jet] for jet in jets], layout)) for jets in calls]
        truth = np.concatenate([self.softmax[list(jets)] for jets in calls])
        return float(np.abs(torch.from_numpy(np.concatenate(rows)).softmax(1).numpy() - truth).max())


@pytest.fixture(scope="module", params=["full", "kin"])
def public(request: pytest.FixtureRequest) -> Public:
    path = third_party(f"particle_transformer/ParticleNet_{request.param}.pt")
    softmax = np.array(expected_figures("particlenet")[request.param]["softmax"])
    family = load_family("particlenet")
    hyperparameters = family.resolve({}, infer_hyperparameters(family, read_shapes(path)))
    bound = load_family("particlenet").configured(hyperparameters)
    assert isinstance(bound, JetFamily)
    reference = bound.reference(hyperparameters).eval()
    weights = fit(load_state_dict(path), reference, path)
    reference.load_state_dict(weights)
    return Public(bound, hyperparameters, weights, reference, jets_of(bound), softmax)


def test_checkpoint_tells_everything_but_k(public: Public) -> None:
    features = {"JetClass_full": (17, 370_156), "JetClass_kin": (7, 368_216)}
    size = sum(parameter.numel() for parameter in public.reference.parameters())
    assert features[public.hyperparameters["card"]] == (public.hyperparameters["features"], size)
    assert public.family.contract(public.hyperparameters, RAW).classes[:2] == ("QCD", "Hbb")


def test_reference_gives_the_outputs_of_weaver(public: Public) -> None:
    assert public.apart(public.eager(public.reference)) < SOFTMAX


def test_reference_gives_them_on_inputs_as_weaver_prepares_them(public: Public) -> None:
    """128 positions, particles repeated, logarithms as NumPy has them in float32."""
    inputs = prepare(public.family.card, public.family.columns_of(public.jets)).inputs
    found = torch.from_numpy(public.eager(public.reference)(inputs)).softmax(1).numpy()
    assert np.abs(found - public.softmax).max() < SOFTMAX


@pytest.mark.parametrize("layout", [PREPARED, RAW])
@pytest.mark.parametrize("rewritten", [False, True])
def test_deployable_gives_them_with_and_without_transforms(public: Public, layout: str, rewritten: bool) -> None:
    transforms = frozenset(public.family.transforms(layout)) if rewritten else NONE
    network = public.family.deployable(public.hyperparameters, layout, transforms).eval()
    weights = public.family.convert(public.weights, public.hyperparameters, layout, transforms)
    network.load_state_dict(dict(weights), strict=True)
    assert public.apart(public.eager(network, layout), layout) < SOFTMAX


@pytest.mark.parametrize(
    ("name", "layout"), [("torchscript", PREPARED), ("torch_export", RAW), ("onnx", PREPARED), ("onnx", RAW)]
)
def test_artifacts_give_them(public: Public, name: str, layout: str, tmp_path: Path) -> None:
    if public.hyperparameters["features"] == 7 and (name, layout) != ("onnx", RAW):
        pytest.skip("one format is enough for the second checkpoint")
    target, transforms = load_format(name), frozenset(public.family.transforms(layout))
    contract = public.family.contract(public.hyperparameters, layout)
    network = public.family.deployable(public.hyperparameters, layout, transforms).eval()
    example = public.family.collate(public.family.sample({"jets": 3, "particles": 20}, 0), layout)
    template, out = (tmp_path / f"{stem}.{target.extension}" for stem in ("template", "model"))
    target.build_template(network, contract, example, target.resolve_options({}), template)
    weights = public.family.convert(public.weights, public.hyperparameters, layout, transforms)
    target.fill(template, weights, {}, out)
    run = target.load(out, 1)
    assert public.apart(lambda inputs: run(inputs)["logits"], layout) < SOFTMAX


def test_mistakes_cost_what_the_sheet_says(public: Public) -> None:
    """Each broken network is the mistake that its name says, and the outputs are compared with something."""
    if public.hyperparameters["features"] != 17:
        pytest.skip("the sheet has them for 17 features")
    costs = expected_figures("particlenet")["mistakes"]
    for name, spoil in public.family.broken_networks().items():
        network = public.family.reference(public.hyperparameters)
        network.load_state_dict(public.weights)
        found = public.apart(public.eager(spoil(network.eval())))
        assert abs(found - costs[name]) < 0.005 if name in costs else found > 0.1, name
