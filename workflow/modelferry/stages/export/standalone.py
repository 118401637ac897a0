"""Export of a single checkpoint with no config: file in, files out, each checked before it is called done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.comparison.agreement import compare_sides
from modelferry.comparison.asking import Question
from modelferry.comparison.output_agreement import Rule
from modelferry.comparison.result import Comparison
from modelferry.comparison.side import Function, Side, declared, remembering
from modelferry.config.sections import Validation
from modelferry.core.contract import Contract
from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.core.files import replacing
from modelferry.core.tolerances import loosest
from modelferry.families.questions import Asked, of_family
from modelferry.families.trained import TrainedModel
from modelferry.families.transforms import resolve_transforms
from modelferry.formats import Format, load_format

CHECKED = 64
"""Ordinary events that a written file is tried on, beside those at every size."""
UNDECIDED = 1e-2
"""Scores that differ by less over all these events separate nothing."""
EXAMPLE_SEED = 20


@dataclass(frozen=True)
class Written:
    """A file, and how it was compared with the network as trained."""

    path: Path
    bytes: int
    comparison: Comparison
    exact: bool

    @property
    def max_abs_diff(self) -> float:
        """Largest difference from the float32 network as trained."""
        return max(output.max_abs for output in self.comparison.outputs)

    @property
    def events(self) -> int:
        """How many events it was compared on."""
        return max(output.events for output in self.comparison.outputs)


@dataclass(frozen=True)
class Wanted:
    """A format to write, with its options."""

    target: Format
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StandaloneExport:
    """A model in one layout, and what files of it are compared with.

    Attributes
    ----------
    layout
        Of the family; its first one by default.
    transforms
        Those to apply.
    """

    model: TrainedModel
    layout: str
    transforms: frozenset[str]

    @classmethod
    def of(
        cls, model: TrainedModel, layout: str | None = None, transforms: Mapping[str, bool] | None = None
    ) -> StandaloneExport:
        """Return an export; raise `ConfigError` for a layout or transform that is not known."""
        chosen = model.family.layout(layout)
        return cls(model, chosen, resolve_transforms(transforms or {}, model.family.transforms(chosen)))

    @cached_property
    def contract(self) -> Contract:
        """What the files take."""
        return self.model.family.contract(self.model.hyperparameters, self.layout)

    @cached_property
    def reference(self) -> Side:
        """The network as trained, which is asked each question once."""
        return remembering(self.model.side())

    @cached_property
    def questions(self) -> list[Question]:
        """The events that all files are tried on."""
        model, names = self.model, {tensor.name: tensor.name for tensor in self.model.contract.inputs}
        first = Asked(model.contract, names, self.reference)
        second = Asked(self.contract, {tensor.name: tensor.name for tensor in self.contract.inputs}, self.file(""))
        return list(of_family(model.family, first, second, (), "synthetic", CHECKED))

    def file(self, called: str, call: Function = dict) -> Side:
        """Return a file as a side, or what stands for one."""
        return Side(called, call, declared(self.contract), contract=self.contract)

    @property
    def undecided(self) -> bool:
        """Whether all events have nearly the same outputs, as from a network that was not trained, or is broken."""
        answers = [self.reference.call(question.reference) for question in self.questions]
        name = self.model.contract.outputs[0].name
        rows = np.concatenate([answer[name].reshape(len(answer[name]), -1) for answer in answers])
        return bool(np.ptp(rows, axis=0).max(initial=0) < UNDECIDED)

    def write(self, wanted: Sequence[Wanted], folder: Path) -> Iterator[Written]:
        """Write the model in each format, compare it with the network as trained, and yield what was written.

        Raises
        ------
        ArtifactError
            If a written file does not compute the network as trained; it is then not left behind.
        """
        family, hyperparameters = self.model.family, self.model.hyperparameters
        deployable = family.rewritten(hyperparameters, self.layout, self.transforms).eval()
        weights = family.rewritten_weights(self.model.weights, hyperparameters, self.layout, self.transforms)
        example = family.collate(family.sample(family.call_sizes(self.contract), EXAMPLE_SEED), self.layout)
        for entry in wanted:
            target = entry.target
            out = folder / target.file_name(self.model.path.stem)
            if out.exists() and out.samefile(self.model.path):
                raise ConfigError(f"{out} would replace the checkpoint", "give another --output-dir")
            with replacing(*target.files(out)) as temporary:
                options = target.resolve_options(entry.options)
                target.export(deployable, self.contract, example, options, weights, self.model.facts, temporary)
                comparison = self.compared(target, temporary, out)
            size = sum(file.stat().st_size for file in target.files(out))
            yield Written(out, size, comparison, target.exactness == "exact")

    def compared(self, target: Format, path: Path, called: Path) -> Comparison:
        """Compare a file with the network as trained; raise `ArtifactError` if it is another function.

        An approximation is one if its scores shift by more than the workflow's default limit. `called` is what the
        error calls the file: `path` may have a temporary name.
        """
        family = self.model.family
        rule = Rule(
            usual=partial(loosest, (target.name,)),
            special=tuple(family.special(0)),
            damage=None if target.exactness == "exact" else Validation().max_score_shift,
            scores=self.contract.scores,
        )
        run = target.load(path, threads=1)
        found = compare_sides(self.reference, self.file(str(called), run), self.questions, rule)
        if not found:
            raise ArtifactError(f"{called} is not the network as trained: {found.reason}")
        return found


def wanted_formats(names: Sequence[str], options: Mapping[str, Any]) -> list[Wanted]:
    """Return formats by name, with those of the `options` that each knows; raise `ConfigError` for one that none does.

    An option is of all formats that know it, ``isa``, or of one, ``aotinductor.isa``.
    """
    targets = [load_format(name) for name in dict.fromkeys(names)]
    used: set[str] = set()
    wanted = []
    for target in targets:
        given = {}
        for key, value in options.items():
            name, _, option = key.rpartition(".")
            if (not name and option in target.options) or name == target.name:
                given[option] = value
                used.add(key)
        wanted.append(Wanted(target, given))
    if unknown := [key for key in options if key not in used]:
        known = sorted({option for target in targets for option in target.options})
        remedy = f"known: {', '.join(known) or 'none'}"
        raise ConfigError(
            f"none of {', '.join(target.name for target in targets)} has an option '{unknown[0]}'", remedy
        )
    return wanted
