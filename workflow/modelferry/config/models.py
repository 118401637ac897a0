"""Campaigns → models: the product of the axes, with the files that the patterns match."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelferry.config.campaign import DEMO, Campaign
from modelferry.config.sections import Benchmark, Embed, Explore, Export, Validation
from modelferry.config.strict import AxisValue
from modelferry.core import paths
from modelferry.core.errors import ConfigError, did_you_mean

Axes = dict[str, AxisValue]


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


def expand(name: str, campaign: Campaign) -> Iterator[Model]:
    """Yield the models of a campaign, in the order of its axes."""
    for values in itertools.product(*campaign.axes.values()):
        axes: Axes = dict(zip(campaign.axes, values, strict=True))
        hyperparameters, pattern = dict(campaign.hyperparameters), campaign.checkpoint
        for override in campaign.overrides:
            if override.where.items() <= axes.items():
                hyperparameters |= override.hyperparameters
                pattern = override.checkpoint or pattern
        model_id = "/".join([name, *(path_segment(axis, value) for axis, value in axes.items())])
        demo = pattern == DEMO
        path, missing = (paths.demo_checkpoint(campaign.family, model_id), "") if demo else _resolve(pattern, axes)
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
            embed_files=tuple(_embed_files(campaign.embed, axes)) if campaign.embed else (),
            explore=campaign.explore,
            largest=int(campaign.checkpoint_gb * 1e9),
        )


def _embed_files(embed: Embed, axes: Axes) -> Iterator[str]:
    """Yield the files; a pattern that matches none stands for itself, so that its jobs say that it is missing."""
    for pattern in embed.patterns:
        if pattern != DEMO:
            yield from _matches(pattern, axes) or [pattern.format(**axes)]


def path_segment(axis: str, value: AxisValue) -> str:
    """Return a model id's segment: a word stands for itself, a number needs its axis (``fold-3``)."""
    return value if isinstance(value, str) else f"{axis}-{value}"


def _matches(pattern: str, axes: Axes) -> list[str]:
    escaped = {axis: glob.escape(str(value)) for axis, value in axes.items()}
    return sorted(glob.glob(str(Path(pattern.format(**escaped)).expanduser()), recursive=True))  # noqa: PTH207


def _resolve(pattern: str, axes: Axes) -> tuple[str, str]:
    matches = _matches(pattern, axes)
    wanted = pattern.format(**axes)
    if len(matches) == 1:
        return matches[0], ""
    if not matches:
        return "", f"no checkpoint at {wanted}; put it there or fix the pattern in the config"
    return "", f"{len(matches)} checkpoints match {wanted}; narrow the pattern to one"
