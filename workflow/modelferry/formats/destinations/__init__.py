"""Destinations: where artifacts go, and what is expected there. Plain data, a file each; this is what they say.

``destinations: [cmssw]`` in a campaign adds the exports that the destination names to its formats, and so each artifact
is made, validated, timed and reported as all others are.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pkgutil import iter_modules
from typing import Any

from modelferry.core.errors import ConfigError, did_you_mean

Given = Mapping[str, str | list[str]]
"""What a config says of a destination."""


@dataclass(frozen=True)
class Delivery:
    """An artifact for a destination: what an entry of a campaign's `formats` says.

    Words in braces, such as ``{version}``, stand for settings of the destination.
    """

    name: str
    format: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Destination:
    """Where artifacts go.

    Attributes
    ----------
    deliveries
        By the word that a config asks for them with, ``{cmssw: {formats: [onnx]}}``; the first one is the default.
    settings
        What a config has to say, each with an example.
    """

    name: str
    summary: str
    deliveries: Mapping[str, Delivery]
    settings: Mapping[str, str] = field(default_factory=dict)

    def exports(self, given: Given) -> list[dict[str, Any]]:
        """Return the entries of `formats` that a config asks for.

        Raises
        ------
        ConfigError
            If it says what is not known, or does not say what has to be said.
        """
        known = (*self.settings, *(("formats",) if len(self.deliveries) > 1 else ()))
        for key in given:
            if key not in known:
                raise ConfigError(f"destination {self.name} has no setting '{key}'", did_you_mean(key, known))
        for key, example in self.settings.items():
            if not isinstance(given.get(key), str):
                raise ConfigError(f"destination {self.name} has no {key}", f"write {key}: '{example}'")
        words = given.get("formats", [next(iter(self.deliveries))])
        for word in words:
            if word not in self.deliveries:
                raise ConfigError(f"destination {self.name} takes no '{word}'", did_you_mean(word, self.deliveries))
        return [
            {
                "name": delivery.name.format(**given),
                "format": delivery.format.format(**given),
                "options": dict(delivery.options),
            }
            for delivery in map(self.deliveries.__getitem__, words)
        ]


@cache
def destination_names() -> tuple[str, ...]:
    """Return the names of all destinations: the modules of this package."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))


@cache
def load_destination(name: str) -> Destination:
    """Return the destination called `name`; raise `ConfigError` if there is none."""
    if name not in destination_names():
        raise ConfigError(f"unknown destination '{name}'", did_you_mean(name, destination_names()))
    found: Destination = importlib.import_module(f"{__name__}.{name}").DESTINATION
    return found
