"""What right artifacts and defective networks compute, kept for `verdict.py`.

``python bench/verdict_outputs.py RESULTS [SETS [SUBJECT,…]]`` fills the templates of every family, layout, exact format
and runtime with weight sets, those of the demo networks trained below RESULTS and the same moved by up to 30 %, and
keeps what they compute beside the reference in float64 and float32. It goes on where it was stopped.

A defect is made in the network in float64. Its effect, the change of the float64 outputs, is what `verdict.py` adds to
the outputs of each right artifact of the same weights.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ContractError, ModelferryError
from modelferry.families import Family, load_family
from modelferry.families.probes import NOT_FINITE, Probe, evaluate, make_probes
from modelferry.families.transforms import resolve_transforms
from modelferry.families.weights import trained_weights
from modelferry.formats import Runner, format_names, load_format
from modelferry.runtimes import runtime_of

Weights = dict[str, torch.Tensor]
FOLDER = Path(".verdict")
EVENTS = 1000
LARGEST_CALL = 64
LADDER = tuple(10.0**-power for power in range(1, 6))


@dataclass(frozen=True)
class Subject:
    """An architecture, and where its trained weights are, if there are any."""

    name: str
    family: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    trained: str = ""
    """A glob below ``results/demo``."""
    compiled: bool = True
    """Whether AOTInductor is among its formats."""


DIGITS = {
    "class": "modelferry.demo.digits_training:DigitClassifier",
    "inputs": {"image": {"shape": ["images", 1, 8, 8], "values": [0, 1]}},
    "outputs": {"logits": ["images", 10]},
}
JETS = {
    "pair_activation": True,
    "embed": [32, 64, 32],
    "pair_embed": [8, 8],
    "heads": 4,
    "layers": 2,
    "class_layers": 1,
    "hidden": 64,
}
SUBJECTS = (
    Subject("charged_higgs", "charged_higgs_particlenet", {}, "charged_higgs_particlenet/**/model.pt"),
    Subject("particle_transformer", "particle_transformer", JETS, "particle_transformer/**/model.pt"),
    Subject("particlenet", "particlenet", {"widths": [[32, 32], [64, 64]], "dense": [32], "neighbours": 8}),
    Subject(
        "bytes",
        "bytecnn",
        {"embedding": 8, "convolutions": [[16, 3, True], [16, 3, True]], "dense": 24, "max_len": 256},
        "bytecnn/**/model.pt",
    ),
    Subject("digits", "lightning", DIGITS, "lightning/**/model.pt"),
    Subject("resnet", "image_classifier", {"stages": [[1, 8], [1, 16], [1, 32]], "size": [16, 16], "classes": 4}),
)


class Case:
    """A subject with its probes and templates."""

    def __init__(self, subject: Subject, results: Path) -> None:
        self.subject = subject
        family = load_family(subject.family)
        self.hyperparameters = family.resolve(subject.hyperparameters, {})
        self.family: Family = family.configured(self.hyperparameters)
        self.trained = sorted(map(str, (results / "demo").glob(subject.trained))) if subject.trained else []

    def contract(self, layout: str) -> Contract:
        """Return the contract in a layout."""
        return self.family.contract(self.hyperparameters, layout)

    def probes(self, seed: int) -> list[Probe]:
        """Return calls within the contracts of all layouts, none of them large, of finite numbers."""
        contracts = [self.contract(layout) for layout in self.family.layouts]
        own = self.contract(self.family.reference_layout)
        chosen = []
        for probe in make_probes(self.family, own, EVENTS, seed, (), "", contracts):
            if probe.source == NOT_FINITE or len(probe.events) > LARGEST_CALL:
                continue
            try:
                for contract in contracts:
                    contract.check(self.family.collate(probe.events, contract.layout))
            except ContractError:
                continue
            chosen.append(probe)
        return chosen

    def weights(self, number: int) -> Weights:
        """Return the `number`-th set: trained ones first, then moved ones, by up to 30 %."""
        generator = torch.Generator().manual_seed(number)
        if number < len(self.trained):
            return trained_weights(self.family, self.hyperparameters, self.trained[number])
        if self.trained:
            start = trained_weights(self.family, self.hyperparameters, self.trained[number % len(self.trained)])
        else:
            torch.manual_seed(number)
            start = dict(self.family.deployable(self.hyperparameters, self.family.reference_layout).state_dict())
            start = {name: _spread(name, tensor, generator) for name, tensor in start.items()}
        step = (0.02, 0.1, 0.3)[number % 3]
        return {name: _moved(tensor, step, generator) for name, tensor in start.items()}

    def reference(self, weights: Weights) -> nn.Module:
        """Return the network as trained."""
        network = self.family.reference(self.hyperparameters)
        network.load_state_dict(weights)
        return network.eval()

    def exports(self) -> Iterator[tuple[str, str, str]]:
        """Yield format, layout and transforms: exact ones that fit the family."""
        for name in format_names():
            target = load_format(name)
            if target.exactness != "exact" or (name == "aotinductor" and not self.subject.compiled):
                continue
            for layout in self.family.layouts:
                inputs = self.contract(layout).inputs
                if not target.general and (len(inputs) > 1 or inputs[0].dtype != "uint8"):
                    continue
                if (name == "aotinductor" and layout == "flat") or (self.subject.name, name, layout) == (
                    "particlenet",
                    "aotinductor",
                    "raw",
                ):
                    continue
                yield name, layout, "default"
                if name == "torchscript":
                    yield name, layout, "none"


def _spread(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Give normalisations statistics as training leaves them."""
    if not tensor.is_floating_point() or tensor.dim() != 1:
        return tensor
    noise = torch.rand(tensor.shape, generator=generator)
    return tensor + (noise if name.endswith("var") else 0.4 * (noise - 0.5))


def _moved(tensor: torch.Tensor, step: float, generator: torch.Generator) -> torch.Tensor:
    if not tensor.is_floating_point() or not tensor.numel():
        return tensor
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).clamp(-3, 3)
    return (tensor.double() * (1 + step * noise)).to(tensor.dtype)


def rows_of(family: Family, contract: Contract, run: Callable[[Arrays], Arrays], probes: list[Probe]) -> np.ndarray:
    """Return all outputs of an artifact side by side, (events, values)."""
    calls = [run(family.collate(probe.events, contract.layout)) for probe in probes]
    return side_by_side(contract, calls)


def side_by_side(contract: Contract, calls: list[Arrays]) -> np.ndarray:
    """Return all outputs of some calls, (events, values)."""
    joined = [
        np.concatenate([call[tensor.name].reshape(len(call[tensor.name]), -1) for call in calls])
        for tensor in contract.outputs
    ]
    return np.concatenate(joined, axis=1)


class Templates:
    """Templates of a case, built when first asked for."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder

    def run(self, name: str, layout: str, rewrites: str, weights: Weights, runtime: str) -> Runner:
        """Return an artifact, loaded."""
        case, target = self.case, load_format(name)
        family, hyperparameters = case.family, case.hyperparameters
        known = family.transforms(layout)
        transforms = resolve_transforms({}, known) if rewrites == "default" else frozenset()
        template = self.folder / f"{case.subject.name}-{name}-{layout}-{rewrites}.{target.extension}"
        if not template.exists():
            started = time.perf_counter()
            deployable = family.rewritten(hyperparameters, layout, transforms).eval()
            example = family.collate(family.sample(family.call_sizes(case.contract(layout)), 20), layout)
            part = template.with_name(f"part-{template.name}")
            target.build_template(deployable, case.contract(layout), example, target.resolve_options({}), part)
            part.rename(template)
            print(f"  template {template.name}: {time.perf_counter() - started:.0f} s", flush=True)
        own = family.rewritten_weights(weights, hyperparameters, layout, transforms)
        out = self.folder / f"filled-{case.subject.name}.{target.extension}"
        target.fill(template, own, {}, out)
        return runtime_of(name, runtime).load(target, out, 1)


def with_hook(network: nn.Module, number: int, change: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """Round what the `number`-th of the modules without children gives."""
    leaves = [module for module in network.modules() if not list(module.children()) and list(module.parameters())]
    chosen = leaves[number % len(leaves)]
    chosen.register_forward_hook(lambda _, __, value: change(value) if isinstance(value, torch.Tensor) else value)
    return network


def rounded(dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what rounds to a type of fewer digits."""
    return lambda value: value.to(dtype).to(value.dtype) if value.is_floating_point() else value


def tf32(value: torch.Tensor) -> torch.Tensor:
    """Round to the ten bits of fraction that reduced-precision products keep."""
    bits = value.float().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32).to(value.dtype)


def reduced_products(network: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """Round the inputs and weights of all products."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            module.weight.data = change(module.weight.data)
            module.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))
    return network


def defects(case: Case, weights: Weights, number: int) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Yield networks with one defect each, in float64, and what the defect is."""
    rng = np.random.default_rng(number)

    def changed(name: str, index: int, factor: float, offset: float = 0.0) -> nn.Module:
        tensor = weights[name].clone()
        flat = tensor.view(-1)
        flat[index] = flat[index] * (1 + factor) + offset
        return case.family.double(case.reference({**weights, name: tensor}))

    matrices = [name for name, tensor in weights.items() if tensor.dim() >= 2 and tensor.is_floating_point()]
    biases = [name for name, tensor in weights.items() if tensor.dim() == 1 and name.endswith("bias")]
    means = [name for name in weights if name.endswith("running_mean")]
    variances = [name for name in weights if name.endswith("running_var")]
    for kind, names in (("weight", matrices), ("bias", biases), ("variance", variances)):
        if not names:
            continue
        for step in LADDER:
            name = names[rng.integers(len(names))]
            order = weights[name].reshape(-1).abs().argsort(descending=True)
            index = int(order[rng.integers(max(1, len(order) // 4))])
            yield f"{kind} x (1 + {step:g})", lambda name=name, index=index, step=step: changed(name, index, step)
    if means:
        for step in LADDER:
            name = means[rng.integers(len(means))]
            index = int(rng.integers(len(weights[name])))
            offset = step * float(weights[name.replace("mean", "var")].view(-1)[index]) ** 0.5
            yield f"mean + {step:g} sigma", lambda name=name, i=index, by=offset: changed(name, i, 0.0, by)

    def double() -> nn.Module:
        return case.family.double(case.reference(weights))

    for label, dtype in (("float16 inside", torch.float16), ("bfloat16 inside", torch.bfloat16)):
        place = int(rng.integers(1000))
        yield label, lambda dtype=dtype, place=place: with_hook(double(), place, rounded(dtype))
    yield "bfloat16 products", lambda: reduced_products(double(), rounded(torch.bfloat16))
    yield "tf32 products", lambda: reduced_products(double(), tf32)
    for label, broken in case.family.broken_networks().items():
        yield label, lambda broken=broken: broken(double())


def one_edge(case: Case, probes: list[Probe], number: int) -> list[Probe]:
    """Return the probes with one edge of one event moved, where events have edges."""
    rng = np.random.default_rng(number)
    changed = list(probes)
    while True:
        index = int(rng.integers(len(changed)))
        events = list(changed[index].events)
        place = int(rng.integers(len(events)))
        edges = events[place].get("edge_index")
        if edges is None:
            return []
        if edges.shape[1] and edges.max() > 1:
            moved = edges.copy()
            column = int(rng.integers(edges.shape[1]))
            moved[0, column] = (moved[0, column] + 1) % (edges.max() + 1)
            events[place] = {**events[place], "edge_index": moved}
            changed[index] = Probe(changed[index].label, changed[index].source, tuple(events))
            return changed


def collect_one(case: Case, number: int, templates: Templates, with_defects: bool) -> dict[str, np.ndarray]:
    """Return outputs by name: the reference's, each artifact's, each defective network's."""
    family, own = case.family, case.contract(case.family.reference_layout)
    probes, weights = case.probes(number), case.weights(number)
    distinct: dict[int, int] = {}
    events = [id(event) for probe in probes for event in probe.events]
    arrays: dict[str, np.ndarray] = {
        "distinct": np.array([distinct.setdefault(event, len(distinct)) for event in events], np.int64),
        "label": np.repeat([probe.label for probe in probes], [len(probe.events) for probe in probes]),
    }

    def eagerly(network: nn.Module, dtype: torch.dtype, of: list[Probe] = probes) -> np.ndarray:
        return side_by_side(own, [evaluate(network, family, own, of, dtype)])

    arrays["float32"] = eagerly(case.reference(weights), torch.float32)
    double = family.double(case.reference(weights))
    arrays["float64"] = eagerly(double, torch.float64)
    for name, layout, rewrites in case.exports():
        for runtime in load_format(name).runtimes:
            try:
                run = templates.run(name, layout, rewrites, weights, runtime)
                outputs = rows_of(family, case.contract(layout), run, probes)
            except ModelferryError as error:
                print(f"  {name} {layout} {runtime}: {error}", flush=True)
                continue
            arrays[f"artifact/{name}/{layout}/{rewrites}/{runtime}"] = outputs
    if with_defects:
        for label, make in defects(case, weights, number):
            arrays[f"defect/{label}"] = eagerly(make(), torch.float64)
        if moved := one_edge(case, probes, number):
            arrays["defect/one edge"] = eagerly(double, torch.float64, moved)
    return arrays


def collect(results: Path, sets: int, only: str = "") -> None:
    """Fill `FOLDER` with one file for each subject and weight set."""
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    cases = {s.name: Case(s, results) for s in SUBJECTS if not only or s.name in only.split(",")}
    for number in range(sets):
        for name, case in cases.items():
            path = FOLDER / f"{name}-{number}.npz"
            if path.exists():
                continue
            started = time.perf_counter()
            arrays = collect_one(case, number, Templates(case, FOLDER), with_defects=number % 4 == 0)
            part = path.with_name(f"part-{path.name}")
            np.savez_compressed(part, **arrays)
            part.rename(path)
            count = sum(key.startswith("artifact/") for key in arrays)
            print(f"{name} {number}: {count} artifacts, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    collect(Path(given[0]), int(given[1]) if len(given) > 1 else 40, given[2] if len(given) > 2 else "")
