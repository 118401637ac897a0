"""Which models a command is about: all, by id, or by values of their axes; short names match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelferry.config.models import Model
from modelferry.core.errors import ConfigError, did_you_mean


def select(models: Iterable[Model], ids: Sequence[str], axes: Mapping[str, str], everything: bool) -> list[Model]:
    """Return the chosen models.

    Parameters
    ----------
    ids
        Whole ids.
    axes
        Wanted value by axis; a value matches if it is the whole or the end of a model's.
    everything
        Choose all models that `axes` allow.

    Raises
    ------
    ConfigError
        If nothing was asked for, or nothing matches.
    """
    known = list(models)
    if not (ids or axes or everything):
        raise ConfigError("no model chosen", "give --all, --model ID, or values of axes such as --fold 3")
    by_id = {model.id: model for model in known}
    for wanted in ids:
        if wanted not in by_id:
            raise ConfigError(f"there is no model '{wanted}'", did_you_mean(wanted, by_id))
    if ids:
        known = [by_id[wanted] for wanted in ids]
    for axis, value in axes.items():
        matching = [model for model in known if _matches(model, axis, value)]
        if not matching:
            present = {str(model.axes[axis]) for model in known if axis in model.axes}
            raise ConfigError(f"no model has {axis} '{value}'", did_you_mean(value, present))
        known = matching
    return known


def _matches(model: Model, axis: str, wanted: str) -> bool:
    if axis not in model.axes:
        return False
    value = str(model.axes[axis])
    return value == wanted or value.endswith((f"-{wanted}", f"_{wanted}"))
