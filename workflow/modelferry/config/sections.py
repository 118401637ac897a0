"""The sections of a campaign: exports, validation, benchmark, events, embeddings, overrides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from modelferry.config.strict import Strict, Where, as_value_error, safe
from modelferry.core.contract import DType
from modelferry.core.tolerances import Tolerance, tolerance_of
from modelferry.formats import format_names, load_format
from modelferry.formats.destinations import destination_names, load_destination
from modelferry.runtimes import paths_of


class Export(Strict):
    """One entry of `formats`: a format's name alone, or with a layout and options."""

    format: str = Field(description="name of the format, `name@version`, or `package.module:Class` of one's own")
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
        """Let the schema allow a format's name or import path alone."""
        own = {"type": "string", "pattern": "^([^:]+:[^:]+|[a-z0-9_]+@[0-9.]+)$"}
        return {"anyOf": [{"enum": list(format_names())}, own, handler.resolve_ref_schema(handler(core))]}

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"format": data}
        if isinstance(data, dict) and isinstance(data.get("format"), str) and not data.get("name"):
            with as_value_error():
                name = load_format(data["format"]).name.replace("@", "-")
            extras = [data.get("layout"), *(str(value) for value in (data.get("options") or {}).values())]
            extras += map(str, data.get("approximate") or [])
            data = {**data, "name": "-".join([name, *(extra for extra in extras if extra)])}
        return data

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        with as_value_error():
            paths_of(value)
        return value

    @model_validator(mode="after")
    def _known_options(self) -> Export:
        with as_value_error():
            load_format(self.format).resolve_options(self.options)
        return self

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        return safe(value, "name of an export")


class Destined(Strict):
    """One entry of `destinations`: its name alone, or with settings, ``{onnxruntime: {version: 1.17.1}}``."""

    name: str = Field(description="name of the destination")
    settings: dict[str, str | list[str]] = Field(default_factory=dict, description="what it asks for")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Let the schema know names alone, and names with settings."""
        names = list(destination_names())
        settings = {
            "type": "object",
            "additionalProperties": {"type": ["string", "array"], "items": {"type": "string"}},
        }
        one = {"type": "object", "propertyNames": {"enum": names}, "additionalProperties": settings}
        return {"anyOf": [{"enum": names}, {**one, "minProperties": 1, "maxProperties": 1}]}

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"name": data}
        if isinstance(data, dict) and len(data) == 1:
            ((name, settings),) = data.items()
            return {"name": name, "settings": settings or {}}
        raise ValueError(f"give a name, or a name with settings, e.g. {{onnxruntime: {{version: 1.17.1}}}} ({data!r})")

    @model_validator(mode="after")
    def _known(self) -> Destined:
        with as_value_error():
            load_destination(self.name).exports(self.settings)
        return self

    def exports(self, layout: str) -> list[Export]:
        """Return the exports that it stands for."""
        entries = load_destination(self.name).exports(self.settings)
        return [Export.model_validate({**entry, "layout": layout}) for entry in entries]


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
    thorough: bool = Field(default=False, description="prove everything for each model, and inherit nothing")

    @field_validator("tolerances")
    @classmethod
    def _known_formats(cls, tolerances: dict[str, FormatTolerance]) -> dict[str, FormatTolerance]:
        for name in tolerances:
            with as_value_error():
                load_format(name)
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
    every_model: bool = Field(default=False, description="every size for each model, not for one of each architecture")


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
    """Tables of embeddings: which events, through which artifact."""

    files: str | tuple[str, ...] = Field(
        description="path patterns over the axes, glob allowed; or `demo`: its test events"
    )
    export: str = Field(default="", description="name of the export that computes them; default: the first")
    against: str = Field(default="QCD", description="the class that others are set against")
    classes: tuple[str, ...] = Field(default=(), description="classes set against it; default: all others")
    batch: int = Field(default=32, ge=1, description="events a call")

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

    jets: int = Field(default=1000, ge=20, description="events of each class, at most")
    drawn: int = Field(default=150, ge=5, description="events of each class in projections, at most")
    seed: int = Field(default=1, ge=0, description="seed of samples, splits and t-SNE")


class Override(Strict):
    """Settings of the models that `where` selects."""

    where: Where = Field(description="axis values that select the models; of an axis one, or a list")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="merged over the campaign's")
    checkpoint: str | None = Field(default=None, description="instead of the campaign's pattern")
