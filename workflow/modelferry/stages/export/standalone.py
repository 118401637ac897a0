"""Export of a single checkpoint with no config: file in, files out, each checked before it is called done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.checkpoints.reader import fit
from modelferry.core.errors import ArtifactError, ConfigError, ContractError
from modelferry.core.files import replacing
from modelferry.core.reading import parse_yaml
from modelferry.core.tolerances import tolerance_of
from modelferry.families import Family, load_family
from modelferry.families.hyperparameters import read_hyperparameters
from modelferry.families.transforms import resolve_transforms
from modelferry.formats import load_format

if TYPE_CHECKING:
    import torch

    from modelferry.core.contract import Arrays
    from modelferry.families.probes import Probe

CHECKED = 64
"""Events that a written file is tried on, at least."""
UNDECIDED = 1e-2
"""Scores that differ by less over all these events separate nothing."""


@dataclass(frozen=True)
class Written:
    """A file, and its largest difference from the float32 network as trained."""

    path: Path
    bytes: int
    max_abs_diff: float
    events: int


@dataclass(frozen=True)
class StandaloneModel:
    """A checkpoint as a network: what it is called, and its weights under the reference's names."""

    path: Path
    family: Family
    hyperparameters: Mapping[str, Any]
    assumed: tuple[str, ...]
    """Hyperparameters that neither the file nor the caller gives, and that have their defaults."""
    facts: Mapping[str, str]
    """Name, version and accuracy, as far as they are known."""
    weights: Mapping[str, torch.Tensor]


def read_model(path: Path, family_name: str, given: Mapping[str, Any], facts: Mapping[str, str]) -> StandaloneModel:
    """Return the network of a checkpoint; `given` are hyperparameters, and `facts` come before those of the file.

    Raises
    ------
    CheckpointError
        If the file is not a checkpoint of this family; a byte CNN shows what is there and what is needed.
    ConfigError
        If a hyperparameter is unknown, or is another in the file.
    """
    family = load_family(family_name)
    family.own_names(family.read_tensors(path), str(path))  # says best what is wrong with a file
    told = read_hyperparameters(family, path)
    beside = family.read_facts(path)
    told |= {name: value for name, value in beside.items() if name in family.hyperparameters and name not in told}
    hyperparameters = family.resolve(given, told)
    family = family.configured(hyperparameters)
    trained = family.deployable(hyperparameters, family.reference_layout)
    known = {name: str(beside[name]) for name in ("name", "version", "accuracy") if beside.get(name) is not None}
    return StandaloneModel(
        path=path,
        family=family,
        hyperparameters=hyperparameters,
        assumed=tuple(name for name in family.hyperparameters if name not in {**told, **given}),
        facts={"name": path.stem, "version": "1.0.0", **known, **facts},
        weights=fit(family.load_weights(path, hyperparameters), trained, path),
    )


def export_file(model: StandaloneModel, truth: Truth, formats: Sequence[str], folder: Path) -> Iterator[Written]:
    """Write the model to each format, compare it with `truth`, and yield what was written.

    Raises
    ------
    ArtifactError
        If a written file does not compute the network as trained; it is then not left behind.
    """
    family, hyperparameters = model.family, model.hyperparameters
    layout = family.layouts[0]
    contract = family.contract(hyperparameters, layout)
    transforms = resolve_transforms({}, family.transforms(layout))
    deployable = family.rewritten(hyperparameters, layout, transforms).eval()
    weights = family.rewritten_weights(model.weights, hyperparameters, layout, transforms)
    for name in formats:
        target = load_format(name)
        out = folder / target.file_name(model.path.stem)
        if out.exists() and out.samefile(model.path):
            raise ConfigError(f"{out} would replace the checkpoint", "give another --output-dir")
        with replacing(*target.files(out)) as temporary:
            example = family.collate(truth.probes[0].events, layout)
            options = target.resolve_options({})
            target.export(deployable, contract, example, options, weights, model.facts, temporary)
            difference = truth.difference(temporary, name, out)
        yield Written(out, sum(file.stat().st_size for file in target.files(out)), difference, len(truth.labels))


@dataclass(frozen=True)
class Truth:
    """What the network as trained gives on some probes, (events, values)."""

    model: StandaloneModel
    probes: tuple[Probe, ...]
    labels: np.ndarray
    float32: Arrays
    float64: Arrays

    @classmethod
    def of(cls, model: StandaloneModel) -> Truth:
        """Evaluate the reference on events of all sizes; raise `NetworkError` if it does not repeat its outputs."""
        import torch

        from modelferry.families.probes import evaluate, evaluate_repeatably, make_probes

        family = model.family
        contract = family.contract(model.hyperparameters, family.reference_layout)
        probes = [probe for probe in make_probes(family, contract, CHECKED, 1, (), "") if _allowed(probe, model)]
        # The first one is the example that a template is made with: several events, of several sizes.
        probes.sort(key=lambda probe: len(probe.events) != contract.dimension(family.batch).typical)
        network = family.reference(model.hyperparameters)
        network.load_state_dict(model.weights)
        float32 = evaluate_repeatably(network.eval(), family, contract, probes)
        float64 = evaluate(family.double(network), family, contract, probes, torch.float64)
        labels = np.repeat([probe.label for probe in probes], [len(probe.events) for probe in probes])
        return cls(model, tuple(probes), labels, float32, float64)

    @property
    def undecided(self) -> bool:
        """Whether all events have nearly the same outputs, as from a network that was not trained, or is broken."""
        return all(np.ptp(values, axis=0).max() < UNDECIDED for values in self.float64.values())

    def difference(self, path: Path, format_name: str, called: Path) -> float:
        """Return the largest difference of an artifact; raise `ArtifactError` if it is another function.

        `called` is what the error calls it: `path` may have a temporary name.
        """
        from modelferry.comparison.determinism import ARTIFACT_IS_RANDOM, repeats
        from modelferry.comparison.difference import Outputs, by_event
        from modelferry.comparison.judge import judge

        family = self.model.family
        contract = family.contract(self.model.hyperparameters, family.layouts[0])
        run = load_format(format_name).load(path, threads=1)
        calls = [family.collate(probe.events, contract.layout) for probe in self.probes]
        rows = [run(inputs) for inputs in calls]
        if not repeats(rows[0], run(calls[0])):
            raise ArtifactError(f"{called} is not the network as trained: {ARTIFACT_IS_RANDOM}")
        largest = 0.0
        for tensor in contract.outputs:
            name = tensor.name
            artifact = by_event(np.concatenate([row[name] for row in rows]))
            outputs = Outputs(self.float64[name], self.float32[name], artifact)
            tolerance = tolerance_of(format_name, tensor.dtype)
            judgement = judge(outputs, self.labels, tolerance, family.special(0))
            if not judgement.verdict.passed:
                raise ArtifactError(f"{called} is not the network as trained: {judgement.verdict.reason}")
            largest = max(largest, judgement.regular.max_abs)
        return largest


def _allowed(probe: Probe, model: StandaloneModel) -> bool:
    """Return whether a probe is within the contract and finite; all else is for the workflow's validation."""
    contract = model.family.contract(model.hyperparameters, model.family.layouts[0])
    try:
        inputs = model.family.collate(probe.events, contract.layout)
        contract.check(inputs)
    except ContractError:
        return False
    return all(np.isfinite(array).all() for array in inputs.values())


def parse_hyperparameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of ``name=value``, read as YAML."""
    hyperparameters = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"'{text}' sets nothing", "write --set NAME=VALUE, for instance max_len=256")
        try:
            hyperparameters[name] = parse_yaml(value, ConfigError, "it")
        except ConfigError:
            raise ConfigError(f"'{value}' is not a value", "write --set NAME=VALUE, for instance max_len=256") from None
    return hyperparameters
