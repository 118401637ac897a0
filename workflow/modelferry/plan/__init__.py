"""What the workflow has to do: models with their templates, and the files that its rules name.

Pure functions on the config and on the shapes of checkpoints that exist; read by Snakemake at every start, so free of
torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from modelferry.config import Config
from modelferry.core import paths
from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.plan.models import PlannedModel, plan_model
from modelferry.plan.templates import TemplateSpec
from modelferry.runtimes import lacking, paths_of, runtimes_of


@dataclass(frozen=True)
class Plan:
    """All models of a config."""

    config: Config

    @cached_property
    def models(self) -> dict[str, PlannedModel]:
        """All models by id, those without a checkpoint included."""
        return {model.id: plan_model(model) for model in self.config.models()}

    @cached_property
    def runnable(self) -> dict[str, PlannedModel]:
        """Models that have a checkpoint, or will get one from the demo, and of which something can be made."""
        return {name: planned for name, planned in self.models.items() if not planned.problem}

    @cached_property
    def templates(self) -> dict[str, TemplateSpec]:
        """Templates of the runnable models by ``architecture/variant``."""
        specs = [planned.template(e.name) for planned in self.runnable.values() for e in planned.exports]
        return {f"{spec.architecture}/{spec.variant}": spec for spec in specs}

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes of all runnable models that this machine has."""
        return tuple(sorted({runtime for planned in self.runnable.values() for runtime in planned.runtimes}))

    @property
    def runtimes_not_run(self) -> dict[str, str]:
        """What this machine lacks, by the runtime of an export that is left out for it."""
        exports = [export for planned in self.runnable.values() for export in planned.exports]
        wanted = {name: path for export in exports for name, path in paths_of(export.format).items()}
        return {name: reason for name, path in sorted(wanted.items()) if (reason := lacking(path))}

    @property
    def campaigns_with_models(self) -> list[str]:
        """Campaigns of which at least one model can run."""
        return list(dict.fromkeys(planned.model.campaign for planned in self.runnable.values() if planned.exports))

    def export_names(self, format_name: str) -> str:
        """Return a regular expression of the names of all exports to a format."""
        exports = [export for campaign in self.config.campaigns.values() for export in campaign.formats]
        return "|".join(sorted({re.escape(export.name) for export in exports if export.format == format_name}))

    def benchmark_outputs(self, campaign: str) -> list[str]:
        """Return the benchmarks of a campaign's models, with the wildcard ``model``."""
        exports = next(p.exports for p in self.runnable.values() if p.model.campaign == campaign)
        return [paths.benchmark("{model}", e.name, r) for e in exports for r in runtimes_of(e.format)]

    @property
    def embedded(self) -> dict[str, PlannedModel]:
        """Runnable models whose events are embedded."""
        return {name: planned for name, planned in self.runnable.items() if planned.model.embed and planned.exports}

    @property
    def explored(self) -> dict[str, list[PlannedModel]]:
        """Models of each campaign whose embeddings are explored."""
        by_campaign: dict[str, list[PlannedModel]] = {}
        for planned in self.embedded.values():
            if planned.model.explore:
                by_campaign.setdefault(planned.model.campaign, []).append(planned)
        return by_campaign

    def targets(self) -> list[str]:
        """Return all that a run leaves behind: Snakemake makes a missing file only if something asks for it."""
        artifacts = [file for p in self.runnable.values() for e in p.exports for file in p.artifact_files(e.name)]
        tables = [paths.embeddings(name) for name in self.embedded]
        return [*artifacts, *tables, *self.report_inputs(), paths.REPORT, paths.SUMMARY, paths.COMPLETE, paths.GATE]

    def report_inputs(self) -> list[str]:
        """Return all records that the report reads."""
        explorations = map(paths.exploration, self.explored)
        return [*self._records(), *explorations]

    def _records(self) -> list[str]:
        return [
            path
            for planned in self.runnable.values()
            for path in (
                *(paths.manifest(planned.id, export.name) for export in planned.exports),
                *planned.validations(),
                *planned.benchmarks(),
                *([paths.training(planned.model.checkpoint)] if planned.model.demo else []),
                *(planned.template(export.name).record for export in planned.exports),
            )
        ]

    def model(self, model_id: str) -> PlannedModel:
        """Return the model called `model_id`; raise `ConfigError` if there is none."""
        if model_id not in self.models:
            raise ConfigError(f"there is no model '{model_id}'", did_you_mean(model_id, self.models))
        return self.models[model_id]
