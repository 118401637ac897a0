"""Campaigns → models: each combination of axes, with the settings and files that are its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modelferry.config.axes import path_segment
from modelferry.config.campaign import DEMO, Campaign
from modelferry.config.combinations import Combination
from modelferry.config.patterns import filled
from modelferry.config.sections import Benchmark, Embed, Explore, Export, Validation
from modelferry.config.seen import Seen
from modelferry.config.strict import Axes
from modelferry.core import paths
from modelferry.core.errors import ConfigError, did_you_mean, first_few


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
    embed_files: tuple[str, ...] = ()
    """Files whose events are embedded; those of the demo are for the plan to name."""
    explore: Explore | None = None
    largest: int = 20 * 10**9
    """Bytes of a checkpoint at most."""

    def export(self, name: str) -> Export:
        """Return the export called `name`; raise `ConfigError` if the campaign has none."""
        names = [export.name for export in self.exports]
        if name not in names:
            raise ConfigError(f"{self.id} is not exported to '{name}'", did_you_mean(name, names))
        return self.exports[names.index(name)]


def expand(name: str, campaign: Campaign, points: Iterable[Combination], seen: Seen) -> Iterator[Model]:
    """Yield the models of a campaign."""
    exports = tuple(campaign.exports)
    for point in points:
        hyperparameters, pattern, found = dict(campaign.hyperparameters), point.checkpoint, point.found
        for override in point.overrides:
            hyperparameters |= override.hyperparameters
            if override.checkpoint:
                pattern, found = override.checkpoint, None
        model_id = "/".join([name, *(path_segment(axis, value) for axis, value in point.axes.items())])
        if demo := pattern == DEMO:
            path, missing = paths.demo_checkpoint(campaign.family, model_id), ""
        else:
            files = seen.matches(filled(pattern, point.axes)) if found is None else found
            path, missing = _only(files, pattern, point.axes)
        yield Model(
            id=model_id,
            campaign=name,
            family=campaign.family,
            axes=point.axes,
            checkpoint=path,
            demo=demo,
            missing=missing,
            hyperparameters=hyperparameters,
            exports=exports,
            events=seen.matches(filled(point.events, point.axes)) if point.events else (),
            event_options=campaign.events.options if campaign.events else {},
            validation=campaign.validation,
            benchmark=campaign.benchmark,
            embed=campaign.embed,
            embed_files=tuple(_embed_files(campaign.embed, point.axes, seen)) if campaign.embed else (),
            explore=campaign.explore,
            largest=int(campaign.checkpoint_gb * 1e9),
        )


def _embed_files(embed: Embed, axes: Axes, seen: Seen) -> Iterator[str]:
    """Yield the files; a pattern that matches none stands for itself, so that its jobs say that it is missing."""
    for pattern in embed.patterns:
        if pattern != DEMO:
            yield from seen.matches(filled(pattern, axes)) or [pattern.format(**axes)]


def _only(files: tuple[str, ...], pattern: str, axes: Axes) -> tuple[str, str]:
    """Return the checkpoint, or why there is none."""
    if len(files) == 1:
        return files[0], ""
    wanted = pattern.format(**axes)
    if not files:
        return "", f"no checkpoint at {wanted}; put it there or fix the pattern in the config"
    return "", f"{len(files)} checkpoints match {wanted}: {first_few(files)}; narrow the pattern to one"
