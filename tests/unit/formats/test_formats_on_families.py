"""Every family and layout in every exact format, and every option of those that compile nothing.

Compiling takes a minute for each, so `aotinductor` is tried on a network of the conformance suite, on the dense layout
in the end-to-end test, and on each shipped artifact by the workflow.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from family_samples import SMALL
from made_once import made_once
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError
from modelferry.families import Family, family_names
from modelferry.formats import Format, Runner, format_names, load_format


@dataclass(frozen=True)
class Case:
    family: Family
    hyperparameters: dict[str, Any]
    layout: str
    target: Format
    options: dict[str, Any]
    template: Path

    @property
    def contract(self) -> Contract:
        return self.family.contract(self.hyperparameters, self.layout)

    def network(self, seed: int) -> torch.nn.Module:
        """Return an eager deployable with weights and statistics that follow from the seed, every one of them."""
        torch.manual_seed(seed)
        network = self.family.deployable(self.hyperparameters, self.layout).eval()
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and (tensor.dim() == 1 or not tensor.any()):
                noise = torch.rand(tensor.shape, generator=generator) - 0.5
                tensor.add_(noise.abs() if name.endswith("var") else 0.4 * noise)
        return network

    def fill(self, network: torch.nn.Module, out: Path) -> Path:
        self.target.fill(self.template, network.state_dict(), {"model": "a/b"}, out)
        return out

    def inputs(self, events: int, size: int, seed: int = 0) -> Arrays:
        sizes = self.family.call_sizes(self.contract, events, size)
        return self.family.collate(self.family.sample(sizes, seed), self.layout)

    def eager(self, network: torch.nn.Module, inputs: Arrays) -> np.ndarray:
        with torch.inference_mode():
            found = network(*(torch.from_numpy(inputs[tensor.name]) for tensor in self.contract.inputs))
        return (found[0] if isinstance(found, tuple) else found).numpy()


LARGEST = {"particlenet": ("raw",), "particle_transformer": ("raw",)}
"""Layouts of families in which one is the network of the others with something before it."""

TEMPLATE_OF = {"ort": "onnx"}
"""Formats whose template is that of another, built by the very same function."""


def combinations() -> Iterator[tuple[str, str, str, tuple[Any, ...]]]:
    exact = [name for name in format_names() if load_format(name).exactness == "exact" and name != "aotinductor"]
    for family, name in product(family_names(), exact):
        for layout in LARGEST.get(family, SMALL[family].layouts):
            inputs = SMALL[family].contract(SMALL[family].hyperparameters, layout).inputs
            if not load_format(name).general and (len(inputs) > 1 or inputs[0].dtype != "uint8"):
                continue
            options = load_format(name).options.items()  # `strict` is for outputs that these networks do not have
            for values in product(*(known[:1] if option == "strict" else known for option, known in options)):
                yield family, layout, name, values


@pytest.fixture(scope="module", params=list(combinations()), ids=lambda case: "-".join([*case[:3], *map(str, case[3])]))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    family, layout, name, values = request.param
    target = load_format(name)
    options = dict(zip(target.options, values, strict=True))
    made = Case(SMALL[family], dict(SMALL[family].hyperparameters), layout, target, options, Path())
    return replace(made, template=built(made, 0, tmp_path_factory) / "template")


def built(case: Case, seed: int, factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a template, and what building it changed in the network: made once for all processes."""

    def make(folder: Path) -> None:
        network = case.network(seed)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        case.target.build_template(network, case.contract, case.inputs(4, 9), case.options, folder / "template")
        changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]
        (folder / "changed.json").write_text(json.dumps(changed))

    name = TEMPLATE_OF.get(case.target.name, case.target.name)
    assert type(load_format(name)).build_template is type(case.target).build_template
    parts = [case.family.name, case.layout, name, *map(str, case.options.values()), f"weights{seed}"]
    return made_once(factory, "-".join(parts), make)


def tolerance(case: Case) -> float:
    return 0.0 if case.target.is_bitwise(case.options) else 1e-5


SIZES = [(1, 1), (1, 2), (1, 4), (1, 5), (3, 7), (1, 20), (6, 9), (2, 40)]


@pytest.fixture(scope="module")
def runners(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Runner]:
    """Return artifacts with the weights of two seeds, loaded."""
    folder = tmp_path_factory.mktemp("filled")
    paths = {seed: case.fill(case.network(seed), folder / f"{seed}.{case.target.extension}") for seed in (1, 2)}
    return {seed: case.target.load(path, 1) for seed, path in paths.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_refilled_template_equals_reference(case: Case, runners: dict[int, Runner], seed: int) -> None:
    network, run = case.network(seed), runners[seed]
    for events, size in SIZES:
        inputs = case.inputs(events, size, seed)
        truth = case.eager(network, inputs)
        found = run(inputs)[case.contract.outputs[0].name]
        assert found.shape == truth.shape
        assert found.dtype == (case.target.output_dtype or truth.dtype)
        assert np.abs(found - truth).max() <= tolerance(case), (events, size)


def test_two_fillings_are_two_functions(case: Case, runners: dict[int, Runner]) -> None:
    first, second = (run(case.inputs(3, 7))[case.contract.outputs[0].name] for run in runners.values())
    assert np.abs(first - second).max() > 1e-3


def test_every_kind_of_weight_is_refilled(case: Case, tmp_path: Path) -> None:
    """One of a kind alone; all at once, bit for bit, in `test_template_holds_no_weights`."""
    base = case.network(1)
    inputs = case.inputs(6, 9)
    before = case.eager(base, inputs)
    path = tmp_path / f"model.{case.target.extension}"
    floating = {name: tensor for name, tensor in base.state_dict().items() if tensor.is_floating_point()}
    kinds = {(name.rpartition(".")[2], tensor.dim()): name for name, tensor in floating.items()}
    for name in kinds.values():
        tensor = floating[name]
        kept = tensor.clone()
        tensor.mul_(1.5).add_(0.1)
        truth = case.eager(base, inputs)
        found = case.target.load(case.fill(base, path), 1)(inputs)[case.contract.outputs[0].name]
        tensor.copy_(kept)
        assert np.abs(found - truth).max() <= tolerance(case), name
        assert np.abs(truth - before).max() > 0, name


@pytest.fixture(scope="module")
def rebuilt(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a second template, of a network with other weights."""
    return built(case, 5, tmp_path_factory)


def test_template_holds_no_weights(case: Case, runners: dict[int, Runner], rebuilt: Path, tmp_path: Path) -> None:
    """A constant that the compiler baked in, whichever weight it comes from, would differ between the two templates."""
    states = [case.network(seed).state_dict() for seed in (0, 5)]
    for name, tensor in states[0].items():
        assert not tensor.is_floating_point() or not (tensor == states[1][name]).any(), name
    out = tmp_path / f"model.{case.target.extension}"
    case.target.fill(rebuilt / "template", case.network(1).state_dict(), {}, out)
    inputs, output = case.inputs(3, 7), case.contract.outputs[0].name
    assert np.array_equal(case.target.load(out, 1)(inputs)[output], runners[1](inputs)[output])


def test_building_and_filling_leave_the_network_alone(case: Case, rebuilt: Path, tmp_path: Path) -> None:
    network = case.network(5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    case.fill(network, tmp_path / f"model.{case.target.extension}")
    changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]
    changed += json.loads((rebuilt / "changed.json").read_text())
    assert not changed, f"{len(changed)} tensors of the caller's network were changed, {changed[0]} among them"


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype"])
def test_weights_that_do_not_fit_the_template_are_refused(case: Case, change: str, tmp_path: Path) -> None:
    weights = dict(case.network(1).state_dict())
    name = next(name for name, tensor in weights.items() if tensor.dim() == 2)
    if change == "missing":
        del weights[name]
    elif change == "extra":
        weights["extra"] = torch.ones(2)
    else:
        weights[name] = weights[name].double() if change == "dtype" else weights[name][:-1]
    with pytest.raises(ArtifactError):
        case.target.fill(case.template, weights, {}, tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_file_that_is_no_artifact_is_named(case: Case, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / f"model.{case.target.extension}"
    if content is None:
        case.fill(case.network(1), path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=str(path)) as caught:
        case.target.load(path, 1)
    assert "\n" not in str(caught.value)


def test_contract_travels_inside_torchscript(case: Case, tmp_path: Path) -> None:
    if case.target.name != "torchscript":
        pytest.skip("other formats keep it elsewhere")
    extra = {"contract.json": "", "model": ""}
    torch.jit.load(str(case.fill(case.network(1), tmp_path / "model.pt")), _extra_files=extra)
    assert Contract.model_validate_json(extra["contract.json"]) == case.contract
    assert extra["model"] in ("a/b", b"a/b")
