"""`config.yaml` → campaigns → models: typed, strict, and free of torch, since every Snakemake start reads it."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator

from modelferry.config.campaign import Campaign
from modelferry.config.models import Model, expand
from modelferry.config.strict import Strict, safe
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
        formats = {export.format for campaign in campaigns.values() for export in campaign.formats}
        by_name: dict[str, str] = {}
        for format_ in sorted(formats):
            if (other := by_name.setdefault(name := load_format(format_).name, format_)) != format_:
                raise ValueError(f"formats '{other}' and '{format_}' have the same name '{name}'; rename one of them")
        return campaigns

    def models(self) -> tuple[Model, ...]:
        """Return all models, in the order of the config; raise `ConfigError` if two have one id."""
        models = tuple(model for name, campaign in self.campaigns.items() for model in expand(name, campaign))
        seen: set[str] = set()
        for model in models:
            if model.id in seen:
                raise ConfigError(f"two models are called '{model.id}'", "remove the repeated value from its axes")
            seen.add(model.id)
        return models
