"""A campaign: a family, its axes, where its checkpoints lie, and what becomes of them."""

from __future__ import annotations

import string
from typing import Any

from pydantic import Field, field_validator, model_validator

from modelferry.config.sections import Benchmark, Embed, Events, Explore, Export, Override, Validation
from modelferry.config.strict import AxisValue, Strict, as_value_error, safe
from modelferry.core.errors import did_you_mean
from modelferry.families import load_family
from modelferry.families.transforms import resolve_approximations

DEMO = "demo"


class Campaign(Strict):
    """A model family fanned out over its axes."""

    family: str = Field(description="name of a family, or `package.module:Class` of one's own")
    axes: dict[str, list[AxisValue]] = Field(description="the product of these is the campaign's models")
    checkpoint: str = Field(description="path pattern over the axes, glob allowed; or `demo`")
    checkpoint_gb: float = Field(default=20, gt=0, description="a larger checkpoint is refused, in 10⁹ bytes")
    formats: list[Export] = Field(description="what to export to")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="what no checkpoint can tell")
    overrides: list[Override] = Field(default_factory=list)
    events: Events | None = Field(default=None, description="real events for validation")
    validation: Validation = Validation()
    benchmark: Benchmark = Benchmark()
    embed: Embed | None = Field(default=None, description="tables of embeddings of events")
    explore: Explore | None = Field(default=None, description="figures of these embeddings")

    @field_validator("axes")
    @classmethod
    def _axes_filled(cls, axes: dict[str, list[AxisValue]]) -> dict[str, list[AxisValue]]:
        if not axes:
            raise ValueError("no axes; give at least one, e.g. {fold: [0]}")
        for axis, values in axes.items():
            if not axis.isidentifier():
                raise ValueError(f"axis '{axis}' is not a plain name; use letters, digits and underscores")
            if not values:
                raise ValueError(f"axis '{axis}' is empty; give at least one value or remove the campaign")
            for value in values:
                safe(str(value), f"value of axis '{axis}'")
        return axes

    @field_validator("formats")
    @classmethod
    def _formats_differ(cls, formats: list[Export]) -> list[Export]:
        if not formats:
            raise ValueError("no formats; give at least one, e.g. [torchscript]")
        names = [export.name for export in formats]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two exports are called '{twice}'; give one of them another `name`")
        return formats

    @model_validator(mode="after")
    def _known_family(self) -> Campaign:
        with as_value_error():
            family = load_family(self.family)
            family.check_event_options(self.events.options if self.events else {})
            for export in self.formats:
                layout = family.layout(export.layout)
                resolve_approximations(export.approximate, family.approximations(layout))
        return self

    @model_validator(mode="after")
    def _embeddings_fit(self) -> Campaign:
        if self.explore and not self.embed:
            raise ValueError("explore: there are no embeddings to look at; add `embed`")
        names = [export.name for export in self.formats]
        if self.embed and self.embed.export and self.embed.export not in names:
            raise ValueError(f"embed: no export '{self.embed.export}'; {did_you_mean(self.embed.export, names)}")
        if self.embed and DEMO in self.embed.patterns and self.checkpoint != DEMO:
            raise ValueError("embed: demo events are for `checkpoint: demo`; give paths of files")
        return self

    @model_validator(mode="after")
    def _known_axes(self) -> Campaign:
        others = (self.events.files if self.events else "", *(self.embed.patterns if self.embed else ()))
        for pattern in (self.checkpoint, *others, *(item.checkpoint or "" for item in self.overrides)):
            for field, as_it_is in _fields(pattern):
                if field not in self.axes:
                    raise ValueError(f"'{pattern}': unknown axis '{field}'; {did_you_mean(field, self.axes)}")
                if not as_it_is:
                    raise ValueError(f"'{pattern}': write an axis in braces as it is, {{{field}}}")
        for override in self.overrides:
            for axis, value in override.where.items():
                if axis not in self.axes:
                    raise ValueError(f"overrides: unknown axis '{axis}'; {did_you_mean(axis, self.axes)}")
                if value not in self.axes[axis]:
                    known = did_you_mean(str(value), map(str, self.axes[axis]))
                    raise ValueError(f"overrides: axis '{axis}' has no value '{value}'; {known}")
        return self


def _fields(pattern: str) -> list[tuple[str, bool]]:
    """Return the axes that a pattern names, and whether as they are: a width would fill the memory."""
    try:
        parts = [part[1:] for part in string.Formatter().parse(pattern) if part[1] is not None]
        return [(str(field), not width and not conversion) for field, width, conversion in parts]
    except ValueError as error:
        raise ValueError(f"'{pattern}': {error}") from None
