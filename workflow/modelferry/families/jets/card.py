"""Data cards: the YAML that says which variables a network takes, how they are computed, standardised and padded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from modelferry.core import contract
from modelferry.core.contract import Preparation, PreparedInput
from modelferry.core.errors import ConfigError, ModelferryError, did_you_mean
from modelferry.core.reading import read_yaml
from modelferry.families.jets.expressions import Expression, parse

CARDS = Path(__file__).parent / "cards"
TRUTH = re.compile(r"(aux|label|genpart|genjet|gen)_|jet_label$|truth_")
"""Names of columns that only simulation has: a network that is fed one reads off the answer."""
IGNORED = (
    "treename", "branch_magic", "file_magic", "test_time_selection", "weights", "observers", "monitor_variables",
)  # fmt: skip
"""Sections of weaver's cards that have no bearing on the inputs of a network."""
SIMPLE = "label_"
JET = "jet_"


class Section(BaseModel):
    """A part of a card: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))
    ignored: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        known = [*cls.model_fields, *cls.ignored]
        for key in data:
            if key not in known:
                raise ValueError(f"unknown key '{key}'; {did_you_mean(str(key), known)}")
        return {key: value for key, value in data.items() if key not in cls.ignored}


class Variable(Section):
    """One channel: ``clip((value − subtract) · multiply, low, high)``, or the value itself if `subtract` is None."""

    name: str
    subtract: float | None = None
    multiply: float = 1.0
    low: float = -5.0
    high: float = 5.0
    pad: float = 0.0

    @property
    def in_contract(self) -> contract.Variable:
        """The variable, for a contract."""
        return contract.Variable.model_validate(self.model_dump())

    @model_validator(mode="before")
    @classmethod
    def _spelt_as_a_list(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return data
        values = [data] if isinstance(data, str) else data
        if not isinstance(values, list) or not 1 <= len(values) <= len(cls.model_fields):
            raise ValueError("a variable is [name, subtract, multiply, low, high, pad], all but the name optional")
        given = dict(zip(cls.model_fields, values, strict=False))
        return {key: value for key, value in given.items() if value is not None}


class Input(Section):
    """One input of the network: variables of particles, (jets, variables, length), or of jets if there is no length."""

    vars: tuple[Variable, ...] = Field(min_length=1)
    length: int | None = Field(default=None, gt=0)
    pad_mode: Literal["wrap", "constant"] = "constant"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the channels, in order."""
        return tuple(variable.name for variable in self.vars)


class Standardisation(Section):
    """What weaver writes into ``….auto.yaml`` of a variable."""

    length: int | None = None
    pad_mode: str | None = None
    center: float | None = None
    scale: float = 1.0
    min: float = -5.0
    max: float = 5.0
    pad_value: float = 0.0


class Preprocess(Section):
    """How variables without numbers are standardised; `params` are the numbers that weaver found for ``auto``."""

    method: Literal["manual", "auto"] = "manual"
    data_fraction: float | None = None
    params: dict[str, Standardisation] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _numbers_are_here(self) -> Preprocess:
        if self.method == "auto" and not self.params:
            raise ValueError("the numbers of method 'auto' are missing; give the ….auto.yaml that weaver wrote")
        return self


class Labels(Section):
    """Classes: columns of which one is 1 (``simple``), or an expression that gives the number of the class."""

    type: Literal["simple", "custom"] = "simple"
    value: tuple[str, ...] | dict[str, str]
    classes: tuple[str, ...] = ()
    """Names of the classes; those of simple labels are the names of their columns."""

    @model_validator(mode="after")
    def _matches_its_type(self) -> Labels:
        if (self.type == "simple") != isinstance(self.value, tuple):
            raise ValueError("simple labels are a list of columns, custom ones are one name with an expression")
        if isinstance(self.value, dict) and len(self.value) != 1:
            raise ValueError(f"custom labels are one name with an expression, not {len(self.value)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, in order; none if the card does not tell."""
        if self.classes or not isinstance(self.value, tuple):
            return self.classes
        return tuple(name.removeprefix(SIMPLE) for name in self.value)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The columns, or the expression of the class."""
        return tuple(parse(source) for source in (self.value if isinstance(self.value, tuple) else self.value.values()))


class Card(Section):
    """A data card; `read_card` reads one from a file.

    Beside weaver's sections, `order_by` may name an expression: particles are put in rising order of it (for falling
    pt, ``-part_pt``) before the first `length` of them are taken. Columns called ``jet_…`` are numbers a jet, all
    others numbers a particle, but for those in `jet_columns`.
    """

    ignored = IGNORED
    selection: str | None = None
    new_variables: dict[str, str] = Field(default_factory=dict)
    preprocess: Preprocess = Preprocess()
    inputs: dict[str, Input] = Field(min_length=1)
    labels: Labels | None = None
    order_by: str | None = None
    jet_columns: tuple[str, ...] = ()

    @field_validator("new_variables", mode="before")
    @classmethod
    def _may_be_empty(cls, value: Any) -> Any:
        return {str(k): str(v) for k, v in value.items()} if isinstance(value, Mapping) else value or {}

    @model_validator(mode="after")
    def _is_sound(self) -> Card:
        try:
            truth = set(self.label_branches)
            for name in self.inputs:
                for branch in self.needed(variable.name for variable in self.inputs[name].vars):
                    if branch in truth or TRUTH.match(branch):
                        raise ConfigError(f"input {name} needs '{branch}', which only simulation knows", "leave it out")
            self.needed(self._free)
        except ModelferryError as error:
            raise ValueError(str(error)) from None
        return self

    @cached_property
    def definitions(self) -> dict[str, Expression]:
        """The new variables, each after those that it needs."""
        pending = {name: parse(source) for name, source in self.new_variables.items()}
        ordered: dict[str, Expression] = {}
        while pending:
            ready = [name for name, expression in pending.items() if not expression.names & pending.keys()]
            if not ready:
                raise ConfigError(f"new_variables define each other in a circle: {', '.join(pending)}", "break it")
            ordered |= {name: pending.pop(name) for name in ready}
        return ordered

    def needed(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the columns that variables are computed from, sorted."""
        needed, pending = set(), list(names)
        while pending:
            name = pending.pop()
            if name in needed:
                continue
            needed.add(name)
            if name in self.definitions:
                pending += self.definitions[name].names
        return tuple(sorted(needed - self.definitions.keys()))

    @property
    def _free(self) -> set[str]:
        return {name for source in (self.selection, self.order_by) if source for name in parse(source).names}

    @cached_property
    def input_branches(self) -> tuple[str, ...]:
        """The columns that the inputs of the network are computed from, sorted."""
        order = parse(self.order_by).names if self.order_by else frozenset()
        return self.needed([*order, *(variable.name for given in self.inputs.values() for variable in given.vars)])

    @property
    def jet_branches(self) -> tuple[str, ...]:
        """Those of `input_branches` that are a number a jet."""
        return tuple(n for n in self.input_branches if n.startswith(JET) or n in self.jet_columns)

    @property
    def particle_branches(self) -> tuple[str, ...]:
        """Those of `input_branches` that are a number a particle."""
        return tuple(n for n in self.input_branches if n not in self.jet_branches)

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """The columns that the inputs and the selection are computed from, sorted: what a reader must read."""
        return tuple(sorted({*self.input_branches, *self.needed(self._free)}))

    @cached_property
    def label_branches(self) -> tuple[str, ...]:
        """The columns that the classes are computed from, sorted."""
        expressions = self.labels.expressions if self.labels else ()
        return self.needed(name for expression in expressions for name in expression.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in order; none if the card does not tell."""
        return self.labels.names if self.labels else ()

    def preparation(self, mask: str) -> Preparation:
        """Return how inputs are made, for a contract; `mask` is the input that says which particles are real."""
        simple = self.labels is not None and isinstance(self.labels.value, tuple)
        return Preparation(
            inputs={
                name: PreparedInput(
                    variables=tuple(self.standardised(variable).in_contract for variable in given.vars),
                    length=given.length,
                    padding=given.pad_mode,
                )
                for name, given in self.inputs.items()
            },
            labels=tuple(self.labels.value) if simple and self.labels else self.classes,
            mask=mask,
            order_by=self.order_by or "",
        )

    def standardised(self, variable: Variable) -> Variable:
        """Return a variable with the numbers that weaver found for it, if there are any."""
        numbers = self.preprocess.params.get(variable.name)
        if numbers is None:
            return variable
        return Variable(
            name=variable.name,
            subtract=numbers.center,
            multiply=numbers.scale,
            low=numbers.min,
            high=numbers.max,
            pad=numbers.pad_value,
        )


@cache
def packaged_cards() -> dict[str, Path]:
    """Return the cards that come with modelferry, by name."""
    return {path.stem: path for path in sorted(CARDS.glob("*.yaml"))}


@cache
def read_card(path: Path | str) -> Card:
    """Return the card in a file, or the one of that name that comes with modelferry.

    Raises
    ------
    ConfigError
        With all that is wrong in it, on one line.
    """
    path = packaged_cards().get(str(path), Path(path))
    if not path.exists():
        known = ", ".join(packaged_cards())
        raise ConfigError(f"there is no data card {path}", f"name a file, or one that comes with modelferry: {known}")
    data = read_yaml(path, ConfigError)
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path} is not a data card", "it needs at least `inputs`")
    try:
        return Card.model_validate(data)
    except ValidationError as error:
        raise ConfigError("; ".join(_finding(path, item) for item in error.errors())) from None


def _finding(path: Path, item: Mapping[str, Any]) -> str:
    address = ".".join(str(part) for part in item["loc"])
    message = "is missing" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
    return f"{path}: {address}: {message}" if address else f"{path}: {message}"
