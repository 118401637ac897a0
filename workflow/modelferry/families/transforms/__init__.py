"""Transforms: exact rewrites of a network. One file each, in which a function rewrites weights or a module.

Approximations are rewrites as well, but not exact: what holds one is labelled so, and never passes as exact.

A transformed deployable has an architecture of its own; its weights are computed from a checkpoint's when a template is
filled, in float64, and rounded once. So all models of an architecture still share one template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from modelferry.core.errors import ConfigError, did_you_mean

FOLD_BATCH_NORM = "fold_batch_norm"
SPLIT_EDGE_LINEAR = "split_edge_linear"
REMOVE_DROPOUT = "remove_dropout"

TRANSFORMS: Mapping[str, str] = MappingProxyType(
    {
        FOLD_BATCH_NORM: "batch norm is folded into the linear layer before or after it, or moved past a mean",
        SPLIT_EDGE_LINEAR: "the first linear layer of an edge convolution is applied once a node, not once an edge",
        REMOVE_DROPOUT: "dropout layers, which do nothing outside training, are left out",
    }
)
"""All transforms with what they do; each is on unless switched off."""

STATIC_EDGES = "static_edges"

APPROXIMATIONS: Mapping[str, str] = MappingProxyType(
    {STATIC_EDGES: "all layers use the edges of the input, where the trained network builds its own in each"}
)
"""Rewrites that give another function than the trained one, by name; none is ever made unless asked for."""

NONE: frozenset[str] = frozenset()


def resolve_approximations(given: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    """Return the approximations to make; raise `ConfigError` if one is none that the family and its layout know."""
    allowed = frozenset(known)
    for name in given:
        if name not in allowed:
            raise ConfigError(f"there is no approximation '{name}' of this layout", did_you_mean(name, allowed))
    return frozenset(given)


def resolve_transforms(given: Mapping[str, bool], known: Iterable[str]) -> frozenset[str]:
    """Return the transforms to apply: all that a family knows, but for those that `given` switches off.

    Raises
    ------
    ConfigError
        If `given` names something that is not a transform.
    """
    for name in given:
        if name not in TRANSFORMS:
            raise ConfigError(f"there is no transform '{name}'", did_you_mean(name, TRANSFORMS))
    return frozenset(name for name in known if given.get(name, True))
