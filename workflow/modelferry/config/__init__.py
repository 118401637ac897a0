"""`config.yaml` → campaigns → models: typed, strict, and free of torch, since every Snakemake start reads it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from modelferry.config.campaign import Campaign
from modelferry.config.combinations import Combination, combinations
from modelferry.config.models import Model, expand
from modelferry.config.seen import Seen
from modelferry.config.strict import Elsewhere, Strict, safe
from modelferry.core.errors import ConfigError
from modelferry.formats import load_format

RESERVED_CAMPAIGNS = {"templates", "demo", "runtimes"}


class Config(Strict):
    """The whole of `config.yaml`."""

    model_config = ConfigDict(
        title="modelferry config",
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema", "additionalProperties": False},
    )

    campaigns: dict[str, Campaign] = Field(description="what to export")
    trusted_classes: tuple[str, ...] = Field(
        default=(), description="classes that checkpoints may hold beside tensors, as package.module:Class"
    )

    @field_validator("campaigns")
    @classmethod
    def _campaigns_named(cls, campaigns: dict[str, Campaign]) -> dict[str, Campaign]:
        if not campaigns:
            raise ValueError("no campaigns; give at least one")
        for name in campaigns:
            safe(name, "name of a campaign")
            if name in RESERVED_CAMPAIGNS:
                raise ValueError(f"a campaign cannot be called '{name}': results/{name} is taken; choose another")
        return campaigns

    @field_validator("campaigns")
    @classmethod
    def _formats_named_apart(cls, campaigns: dict[str, Campaign]) -> dict[str, Campaign]:
        formats = {export.format for campaign in campaigns.values() for export in campaign.exports}
        by_name: dict[str, str] = {}
        for format_ in sorted(formats):
            if (other := by_name.setdefault(name := load_format(format_).name, format_)) != format_:
                raise ValueError(f"formats '{other}' and '{format_}' have the same name '{name}'; rename one of them")
        return campaigns

    _seen: Seen = PrivateAttr()
    _combinations: dict[str, list[Combination]] = PrivateAttr()
    _models: tuple[Model, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _models_known(self, info: ValidationInfo) -> Config:
        self._seen = info.context if isinstance(info.context, Seen) else Seen()
        self._combinations = {}
        for name, campaign in self.campaigns.items():
            try:
                self._combinations[name] = combinations(campaign, self._seen)
            except Elsewhere as mistake:
                raise mistake.below("campaigns", name) from None
        return self

    def models(self) -> tuple[Model, ...]:
        """Return all models, in the order of the config; raise `ConfigError` if two have one id."""
        if self._models:
            return self._models
        models = tuple(
            model
            for name, campaign in self.campaigns.items()
            for model in expand(name, campaign, self._combinations[name], self._seen)
        )
        seen: set[str] = set()
        for model in models:
            if model.id in seen:
                raise ConfigError(f"two models are called '{model.id}'", "remove the repeated value from its axes")
            seen.add(model.id)
        self._models = models
        return models

    @property
    def axes(self) -> list[str]:
        """The names of the axes of all campaigns."""
        names: Iterable[str] = (axis for points in self._combinations.values() for axis in points[0].axes)
        return list(dict.fromkeys(names))

    def seen(self) -> Seen:
        """Return what the patterns and tables of all models show now, for others to read the same config with."""
        self.models()
        return self._seen
