"""Which models a campaign has: the product of its axes, those listed one by one, or those of which files are found."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelferry.config.axes import FOUND
from modelferry.config.campaign import Campaign
from modelferry.config.found import found_models, listed_axes
from modelferry.config.patterns import fields_of
from modelferry.config.sections import Override
from modelferry.config.seen import Seen
from modelferry.config.strict import Axes, AxisValue, Elsewhere
from modelferry.config.table import MOST_MODELS, Row, listed
from modelferry.core.errors import did_you_mean


@dataclass(frozen=True)
class Combination:
    """One model of a campaign, and the patterns of its files.

    Attributes
    ----------
    found
        Its checkpoints, if it is known by them.
    """

    axes: Axes
    checkpoint: str
    events: str
    found: tuple[str, ...] | None = None
    overrides: tuple[Override, ...] = ()


def combinations(campaign: Campaign, seen: Seen) -> list[Combination]:
    """Return a campaign's models in the order of the config; raise `Elsewhere` for what does not fit together."""
    rows = [] if campaign.models is None else listed(campaign.models, seen)
    names = list(rows[0].axes if rows else campaign.axes)
    _check_patterns(campaign, names)
    if rows:
        complete = [_of_row(row, campaign, names) for row in rows]
    elif FOUND in campaign.axes.values():
        events = _events(campaign)
        files = found_models(campaign.checkpoint, campaign.axes, seen)
        complete = [Combination(axes, campaign.checkpoint, events, paths) for axes, paths in files]
    else:
        complete = _product(campaign)
    models = _Models(complete, names)
    overrides: list[list[Override]] = [[] for _ in complete]
    for number, override in enumerate(campaign.overrides):
        for position in models.selected(override.where, "overrides", number, "where"):
            overrides[position].append(override)
    kept = models.chosen(campaign.include, "include") if campaign.include else set(range(len(complete)))
    kept -= models.chosen(campaign.exclude, "exclude")
    if not kept:
        raise Elsewhere("leaves no model; remove an entry", "exclude" if campaign.exclude else "include")
    return [replace(complete[position], overrides=tuple(overrides[position])) for position in sorted(kept)]


class _Models:
    """All models of a campaign, and which of them have which values. Values are compared as they are written."""

    def __init__(self, models: Sequence[Combination], names: Sequence[str]) -> None:
        self._by_value: dict[str, dict[str, set[int]]] = {name: defaultdict(set) for name in names}
        for position, model in enumerate(models):
            for axis, value in model.axes.items():
                self._by_value[axis][str(value)].add(position)

    def selected(self, where: Mapping[str, Sequence[AxisValue]], *at: str | int) -> set[int]:
        """Return the positions of the models with these values; raise `Elsewhere` if there are none."""
        per_axis = []
        for axis, values in where.items():
            if axis not in self._by_value:
                raise Elsewhere(f"unknown axis '{axis}'; {did_you_mean(axis, self._by_value)}", *at)
            known = self._by_value[axis]
            if unknown := [text for text in map(str, values) if text not in known]:
                near = did_you_mean(unknown[0], known) if len(known) < 1000 else "look at `modelferry models`"
                raise Elsewhere(f"axis '{axis}' has no value '{unknown[0]}'; {near}", *at)
            sets = [known[str(value)] for value in values]
            per_axis.append(sets[0] if len(sets) == 1 else set[int]().union(*sets))
        smallest, *others = sorted(per_axis, key=len)
        if not (common := smallest.intersection(*others)):
            wanted = ", ".join(f"{axis}: {', '.join(map(str, values))}" for axis, values in where.items())
            raise Elsewhere(f"no model has {wanted} together; remove one of these, or see `modelferry models`", *at)
        return common

    def chosen(self, entries: Sequence[Mapping[str, Sequence[AxisValue]]], part: str) -> set[int]:
        """Return the positions of the models that one of several entries selects."""
        return set[int]().union(*(self.selected(where, part, number) for number, where in enumerate(entries)))


def _check_patterns(campaign: Campaign, names: Sequence[str]) -> None:
    patterns: list[tuple[str, tuple[str | int, ...]]] = [(campaign.checkpoint, ("checkpoint",))]
    patterns += [(campaign.events.files, ("events",))] if campaign.events else []
    patterns += [(pattern, ("embed",)) for pattern in campaign.embed.patterns] if campaign.embed else []
    patterns += [(item.checkpoint or "", ("overrides", n)) for n, item in enumerate(campaign.overrides)]
    for pattern, at in patterns:
        _check_pattern(pattern, names, at)


def _check_pattern(pattern: str, names: Sequence[str], at: Sequence[str | int]) -> None:
    try:
        fields_of(pattern, names)
    except ValueError as error:
        raise Elsewhere(str(error), *at) from None


def _of_row(row: Row, campaign: Campaign, names: Sequence[str]) -> Combination:
    checkpoint = row.checkpoint or campaign.checkpoint
    if not checkpoint:
        raise row.mistake("has no checkpoint; give one, or a pattern for all as the campaign's checkpoint")
    for pattern in (row.checkpoint, row.events):
        if "{" in pattern or "}" in pattern:
            try:
                fields_of(pattern, names)
            except ValueError as error:
                raise row.mistake(str(error)) from None
    return Combination(row.axes, checkpoint, row.events or _events(campaign))


def _events(campaign: Campaign) -> str:
    return campaign.events.files if campaign.events else ""


def _product(campaign: Campaign) -> list[Combination]:
    axes = listed_axes(campaign.axes)
    if (number := math.prod(map(len, axes.values()))) > MOST_MODELS:
        raise Elsewhere(f"make {number:,} models, and {MOST_MODELS:,} are allowed; list them with `models`", "axes")
    events = _events(campaign)
    points = itertools.product(*axes.values())
    return [Combination(dict(zip(axes, point, strict=True)), campaign.checkpoint, events) for point in points]
