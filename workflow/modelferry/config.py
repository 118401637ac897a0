"""`config.yaml` → campaigns → models: typed, strict, and free of torch, since every Snakemake start reads it."""

from __future__ import annotations

import glob
import itertools
import re
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from modelferry.contract import DType
from modelferry.errors import ConfigError, did_you_mean
from modelferry.families import load_family
from modelferry.formats import format_names, load_format
from modelferry.records import Tolerance
from modelferry.tolerances import tolerance_of
from modelferry.transforms import resolve_approximations

DEMO = "demo"
RESERVED_CAMPAIGNS = {"templates", "demo", "runtimes"}
UNKNOWN_KEY = "unknown_key"
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

AxisValue = str | int | float
Axes = dict[str, AxisValue]


class Strict(BaseModel):
    """A section of the config: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    facts = {"key": str(key), "near": did_you_mean(str(key), cls.model_fields)}
                    raise PydanticCustomError(UNKNOWN_KEY, "unknown key '{key}'; {near}", facts)
        return data


class Export(Strict):
    """One entry of `formats`: a format's name alone, or with a layout and options."""

    format: str = Field(description="name of the format")
    layout: str | None = Field(default=None, description="input layout of the network; default: the family's first")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the format, e.g. {method: script}")
    transforms: Literal["all", "none"] | dict[str, bool] = Field(
        default="all", description="exact rewrites: all, none, or those to switch off, e.g. {fold_batch_norm: false}"
    )
    approximate: list[str] = Field(
        default_factory=list, description="rewrites to another function, e.g. [static_edges]: labelled, never exact"
    )
    name: str = Field(default="", description="folder of the artifact below the model's; default: from the above")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Let the schema allow a format's name alone."""
        return {"anyOf": [{"enum": list(format_names())}, handler.resolve_ref_schema(handler(core))]}

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"format": data}
        if isinstance(data, dict) and data.get("format") in format_names() and not data.get("name"):
            extras = [data.get("layout"), *(str(value) for value in (data.get("options") or {}).values())]
            extras += map(str, data.get("approximate") or [])
            data = {**data, "name": "-".join([data["format"], *(extra for extra in extras if extra)])}
        return data

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in format_names():
            raise ValueError(f"unknown format '{value}'; {did_you_mean(value, format_names())}")
        return value

    @model_validator(mode="after")
    def _known_options(self) -> Export:
        with _as_value_error():
            load_format(self.format).resolve_options(self.options)
        return self

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        return _safe(value, "name of an export")


class FormatTolerance(Strict):
    """Tolerances of one format."""

    rtol: float | None = Field(default=None, ge=0, description="relative tolerance")
    atol: float | None = Field(default=None, ge=0, description="absolute tolerance")


class Validation(Strict):
    """How artifacts are compared with the reference."""

    events: int = Field(default=1000, ge=1, description="how many events are compared, at least")
    rtol: float | None = Field(default=None, ge=0, description="relative tolerance instead of the table's")
    atol: float | None = Field(default=None, ge=0, description="absolute tolerance instead of the table's")
    tolerances: dict[str, FormatTolerance] = Field(default_factory=dict, description="the same for single formats")
    seed: int = Field(default=1, ge=0, description="seed of the synthetic events")
    max_score_shift: float = Field(default=0.1, ge=0, description="largest shift of a score by an approximation")
    max_delta_auc: float = Field(default=0.01, ge=0, description="largest change of an AUC by an approximation")

    @field_validator("tolerances")
    @classmethod
    def _known_formats(cls, tolerances: dict[str, FormatTolerance]) -> dict[str, FormatTolerance]:
        for name in tolerances:
            if name not in format_names():
                raise ValueError(f"unknown format '{name}'; {did_you_mean(name, format_names())}")
        return tolerances

    def tolerance(self, format_name: str, dtype: DType) -> Tolerance:
        """Return the tolerance of a format: as given for it, else as given for all, else as the table has it."""
        own, table = self.tolerances.get(format_name, FormatTolerance()), tolerance_of(format_name, dtype)
        rtol = next(value for value in (own.rtol, self.rtol, table.rtol) if value is not None)
        atol = next(value for value in (own.atol, self.atol, table.atol) if value is not None)
        return Tolerance(rtol=rtol, atol=atol)


class Benchmark(Strict):
    """How artifacts are timed."""

    threads: int = Field(default=1, ge=1, description="intra-op threads")
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 8, 128), description="events a call")
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(5, 10, 20), description="particles, or bytes, an event"
    )
    seconds: float = Field(default=0.2, gt=0, description="time spent on each format at each point")


class Events(Strict):
    """Real events: a path pattern alone, or with options of the family's reader."""

    files: str = Field(description="path pattern over the axes, glob allowed")
    options: dict[str, Any] = Field(default_factory=dict, description="of the family's reader, e.g. {era: '2018'}")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Let the schema allow a pattern alone."""
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core))]}

    @model_validator(mode="before")
    @classmethod
    def _from_pattern(cls, data: Any) -> Any:
        return {"files": data} if isinstance(data, str) else data


class Embed(Strict):
    """Tables of embeddings: which jets, through which artifact."""

    files: str | tuple[str, ...] = Field(
        description="path patterns over the axes, glob allowed; or `demo`: its test jets"
    )
    export: str = Field(default="", description="name of the export that computes them; default: the first")
    against: str = Field(default="QCD", description="the class that others are set against")
    classes: tuple[str, ...] = Field(default=(), description="classes set against it; default: all others")
    batch: int = Field(default=32, ge=1, description="jets a call")

    @field_validator("files")
    @classmethod
    def _some_files(cls, files: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not files:
            raise ValueError("no files; give at least one pattern, or demo")
        return files

    @property
    def patterns(self) -> tuple[str, ...]:
        """All path patterns."""
        return (self.files,) if isinstance(self.files, str) else self.files


class Explore(Strict):
    """Figures of embeddings."""

    jets: int = Field(default=1000, ge=20, description="jets of each class, at most")
    drawn: int = Field(default=150, ge=5, description="jets of each class in projections, at most")
    seed: int = Field(default=1, ge=0, description="seed of samples, splits and t-SNE")


class Override(Strict):
    """Settings of the models that `where` selects."""

    where: dict[str, AxisValue] = Field(description="axis values that select the models")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="merged over the campaign's")
    checkpoint: str | None = Field(default=None, description="instead of the campaign's pattern")


class Campaign(Strict):
    """A model family fanned out over its axes."""

    family: str = Field(description="name of a family, or `package.module:Class` of one's own")
    axes: dict[str, list[AxisValue]] = Field(description="the product of these is the campaign's models")
    checkpoint: str = Field(description="path pattern over the axes, glob allowed; or `demo`")
    formats: list[Export] = Field(description="what to export to")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="what no checkpoint can tell")
    overrides: list[Override] = Field(default_factory=list)
    events: Events | None = Field(default=None, description="real events for validation")
    validation: Validation = Validation()
    benchmark: Benchmark = Benchmark()
    embed: Embed | None = Field(default=None, description="tables of embeddings of jets")
    explore: Explore | None = Field(default=None, description="figures of these embeddings")

    @field_validator("axes")
    @classmethod
    def _axes_filled(cls, axes: dict[str, list[AxisValue]]) -> dict[str, list[AxisValue]]:
        if not axes:
            raise ValueError("no axes; give at least one, e.g. {fold: [0]}")
        for axis, values in axes.items():
            if not axis.isidentifier():
                raise ValueError(f"axis '{axis}' is no plain name; use letters, digits and underscores")
            if not values:
                raise ValueError(f"axis '{axis}' is empty; give at least one value or remove the campaign")
            for value in values:
                _safe(str(value), f"value of axis '{axis}'")
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
        with _as_value_error():
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
            raise ValueError("embed: demo jets are for `checkpoint: demo`; give paths of files")
        return self

    @model_validator(mode="after")
    def _known_axes(self) -> Campaign:
        others = (self.events.files if self.events else "", *(self.embed.patterns if self.embed else ()))
        for pattern in (self.checkpoint, *others, *(item.checkpoint or "" for item in self.overrides)):
            for field in _fields(pattern):
                if field not in self.axes:
                    raise ValueError(f"'{pattern}': unknown axis '{field}'; {did_you_mean(field, self.axes)}")
            try:
                pattern.format(**dict.fromkeys(self.axes, ""))
            except (ValueError, LookupError, AttributeError) as error:
                raise ValueError(f"'{pattern}': {error}; write an axis in braces as it is, {{fold}}") from None
        for override in self.overrides:
            for axis, value in override.where.items():
                if axis not in self.axes:
                    raise ValueError(f"overrides: unknown axis '{axis}'; {did_you_mean(axis, self.axes)}")
                if value not in self.axes[axis]:
                    known = did_you_mean(str(value), map(str, self.axes[axis]))
                    raise ValueError(f"overrides: axis '{axis}' has no value '{value}'; {known}")
        return self


class Config(Strict):
    """The whole of `config.yaml`."""

    model_config = ConfigDict(
        title="modelferry config",
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema", "additionalProperties": False},
    )

    campaigns: dict[str, Campaign] = Field(description="what to export")

    @field_validator("campaigns")
    @classmethod
    def _campaigns_named(cls, campaigns: dict[str, Campaign]) -> dict[str, Campaign]:
        if not campaigns:
            raise ValueError("no campaigns; give at least one")
        for name in campaigns:
            _safe(name, "name of a campaign")
            if name in RESERVED_CAMPAIGNS:
                raise ValueError(f"a campaign cannot be called '{name}': results/{name} is taken; choose another")
        return campaigns

    def models(self) -> tuple[Model, ...]:
        """Return all models, in the order of the config; raise `ConfigError` if two have one id."""
        models = tuple(model for name, campaign in self.campaigns.items() for model in _expand(name, campaign))
        seen: set[str] = set()
        for model in models:
            if model.id in seen:
                raise ConfigError(f"two models are called '{model.id}'", "remove the repeated value from its axes")
            seen.add(model.id)
        return models


@dataclass(frozen=True)
class Model:
    """One point of a campaign.

    Attributes
    ----------
    checkpoint
        Path of the trained weights; empty if there is none, and then `missing` says why.
    hyperparameters
        As configured; what is read off the checkpoint is not in here.
    """

    id: str
    campaign: str
    family: str
    axes: Axes
    checkpoint: str
    demo: bool
    missing: str
    hyperparameters: dict[str, Any]
    exports: tuple[Export, ...]
    events: tuple[str, ...]
    event_options: dict[str, Any]
    validation: Validation
    benchmark: Benchmark
    embed: Embed | None = None
    jets: tuple[str, ...] = ()
    """Files whose jets are embedded; those of the demo are for the plan to name."""
    explore: Explore | None = None

    def export(self, name: str) -> Export:
        """Return the export called `name`; raise `ConfigError` if the campaign has none."""
        names = [export.name for export in self.exports]
        if name not in names:
            raise ConfigError(f"{self.id} is not exported to '{name}'", did_you_mean(name, names))
        return self.exports[names.index(name)]


def _expand(name: str, campaign: Campaign) -> Iterator[Model]:
    for values in itertools.product(*campaign.axes.values()):
        axes: Axes = dict(zip(campaign.axes, values, strict=True))
        hyperparameters, pattern = dict(campaign.hyperparameters), campaign.checkpoint
        for override in campaign.overrides:
            if override.where.items() <= axes.items():
                hyperparameters |= override.hyperparameters
                pattern = override.checkpoint or pattern
        model_id = "/".join([name, *(path_segment(axis, value) for axis, value in axes.items())])
        demo = pattern == DEMO
        path, missing = (demo_checkpoint(campaign.family, model_id), "") if demo else _resolve(pattern, axes)
        yield Model(
            id=model_id,
            campaign=name,
            family=campaign.family,
            axes=axes,
            checkpoint=path,
            demo=demo,
            missing=missing,
            hyperparameters=hyperparameters,
            exports=tuple(campaign.formats),
            events=tuple(_matches(campaign.events.files, axes)) if campaign.events else (),
            event_options=campaign.events.options if campaign.events else {},
            validation=campaign.validation,
            benchmark=campaign.benchmark,
            embed=campaign.embed,
            jets=tuple(_jets(campaign.embed, axes)) if campaign.embed else (),
            explore=campaign.explore,
        )


def _jets(embed: Embed, axes: Axes) -> Iterator[str]:
    """Yield the files; a pattern that matches none stands for itself, so that its jobs say that it is missing."""
    for pattern in embed.patterns:
        if pattern != DEMO:
            yield from _matches(pattern, axes) or [pattern.format(**axes)]


def path_segment(axis: str, value: AxisValue) -> str:
    """Return a model id's segment: a word stands for itself, a number needs its axis (``fold-3``)."""
    return value if isinstance(value, str) else f"{axis}-{value}"


def demo_checkpoint(family: str, model_id: str) -> str:
    """Return where the demo checkpoint of a model is made."""
    return f"results/demo/{family}/checkpoints/{model_id}/model.pt"


def _fields(pattern: str) -> list[str]:
    try:
        return [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
    except ValueError as error:
        raise ValueError(f"'{pattern}': {error}") from None


def _matches(pattern: str, axes: Axes) -> list[str]:
    escaped = {axis: glob.escape(str(value)) for axis, value in axes.items()}
    return sorted(glob.glob(str(Path(pattern.format(**escaped)).expanduser()), recursive=True))  # noqa: PTH207


def _resolve(pattern: str, axes: Axes) -> tuple[str, str]:
    found = _matches(pattern, axes)
    wanted = pattern.format(**axes)
    if len(found) == 1:
        return found[0], ""
    if not found:
        return "", f"no checkpoint at {wanted}; put it there or mend the pattern in the config"
    return "", f"{len(found)} checkpoints match {wanted}; narrow the pattern to one"


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Let pydantic say where in the config something else found a mistake."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _safe(value: str, what: str) -> str:
    if not SAFE.fullmatch(value):
        raise ValueError(f"{what} '{value}' cannot be part of a path; use letters, digits and . _ + -")
    return value
