"""A campaign: a family, its axes, where its checkpoints lie, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelferry.config.axes import FOUND, written_axes
from modelferry.config.patterns import axes_named
from modelferry.config.sections import Benchmark, Destined, Embed, Events, Explore, Export, Override, Validation
from modelferry.config.strict import AxisValue, Elsewhere, Strict, Where, as_value_error
from modelferry.core.errors import did_you_mean
from modelferry.families import load_family
from modelferry.families.transforms import resolve_approximations

DEMO = "demo"


def _written_models(models: Any) -> Any:
    if models is None or isinstance(models, str):
        return models
    if not isinstance(models, list) or not all(isinstance(model, Mapping) for model in models):
        raise ValueError("models: give a list, such as [{fold: 0, checkpoint: a.pt}], or the path of a CSV")
    return [{str(name): value for name, value in model.items()} for model in models]


def _written_list(entries: Any) -> Any:
    if not isinstance(entries, list):
        raise ValueError(f"give a list of combinations, such as [{{fold: 3}}] (found: {entries!r})")
    return entries


WrittenAxes = dict[str, list[AxisValue] | Literal["found"]]
WRITTEN = BeforeValidator(written_axes, json_schema_input_type=WrittenAxes | Literal["found"])
LISTED, SEVERAL = BeforeValidator(_written_models), BeforeValidator(_written_list)


class Campaign(Strict):
    """A model family fanned out over its axes."""

    family: str = Field(description="name of a family, or `package.module:Class` of one's own")
    axes: Annotated[WrittenAxes, WRITTEN] = Field(
        default_factory=dict,
        description="the product of these is the campaign's models; `found`: values are read off the checkpoints",
    )
    models: Annotated[str | list[dict[str, Any]] | None, LISTED] = Field(
        default=None, description="instead of axes: models one by one, or the path of a CSV of them"
    )
    include: Annotated[list[Where], SEVERAL] = Field(default_factory=list, description="only models that one selects")
    exclude: Annotated[list[Where], SEVERAL] = Field(default_factory=list, description="no models that one selects")
    checkpoint: str = Field(default="", description="path pattern over the axes, glob allowed; or `demo`")
    checkpoint_gb: float = Field(default=20, gt=0, description="a larger checkpoint is refused, in 10⁹ bytes")
    formats: list[Export] = Field(default_factory=list, description="what to export to")
    destinations: list[Destined] = Field(default_factory=list, description="where to: exports, and what goes with them")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="what no checkpoint can tell")
    overrides: list[Override] = Field(default_factory=list)
    events: Events | None = Field(default=None, description="real events for validation")
    validation: Validation = Validation()
    benchmark: Benchmark = Benchmark()
    embed: Embed | None = Field(default=None, description="tables of embeddings of events")
    explore: Explore | None = Field(default=None, description="figures of these embeddings")

    @model_validator(mode="before")
    @classmethod
    def _all_found(cls, data: Any) -> Any:
        """Let `axes: found` stand for all axes that the pattern of the checkpoints names."""
        if isinstance(data, dict) and data.get("axes") == FOUND and isinstance(pattern := data.get("checkpoint"), str):
            return {**data, "axes": dict.fromkeys(axes_named(pattern), FOUND)}
        return data

    @model_validator(mode="after")
    def _models_told(self) -> Campaign:
        if self.models is not None and self.axes:
            raise ValueError("axes and models: both say which models there are; remove one")
        if self.models is None and not self.axes:
            raise ValueError("no axes; give at least one, e.g. {fold: [0]}, or list the models with `models`")
        if self.models is None and not self.checkpoint:
            raise Elsewhere("is missing; give the path pattern of the checkpoints, or demo").below("checkpoint")
        if self.checkpoint == DEMO and FOUND in self.axes.values():
            raise ValueError("axes are found by the paths of checkpoints, and a demo has none yet; list their values")
        return self

    @property
    def exports(self) -> list[Export]:
        """The formats, and what the destinations stand for."""
        layout = load_family(self.family).batched_layout if self.destinations else ""
        return [*self.formats, *(export for entry in self.destinations for export in entry.exports(layout))]

    @model_validator(mode="after")
    def _known_family(self) -> Campaign:
        with as_value_error():
            family = load_family(self.family)
            family.check_event_options(self.events.options if self.events else {})
            for export in self.exports:
                layout = family.layout(export.layout)
                resolve_approximations(export.approximate, family.approximations(layout))
        return self

    @model_validator(mode="after")
    def _exports_differ(self) -> Campaign:
        names = [export.name for export in self.exports]
        if not names:
            raise Elsewhere("no formats; give at least one, e.g. [torchscript]").below("formats")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise Elsewhere(f"two exports are called '{twice}'; give one of them another `name`").below("formats")
        return self

    @model_validator(mode="after")
    def _embeddings_fit(self) -> Campaign:
        if self.explore and not self.embed:
            raise ValueError("explore: there are no embeddings to look at; add `embed`")
        names = [export.name for export in self.exports]
        if self.embed and self.embed.export and self.embed.export not in names:
            raise ValueError(f"embed: no export '{self.embed.export}'; {did_you_mean(self.embed.export, names)}")
        if self.embed and DEMO in self.embed.patterns and self.checkpoint != DEMO:
            raise ValueError("embed: demo events are for `checkpoint: demo`; give paths of files")
        return self
