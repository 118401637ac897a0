"""What is to be embedded of a model: files of events, the artifact, the data card, and what decides a re-run.

Read by Snakemake at every start, so free of torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.config.campaign import DEMO
from modelferry.config.models import Model
from modelferry.config.sections import Embed, Explore
from modelferry.core import paths
from modelferry.core.digests import digest_of
from modelferry.core.errors import ConfigError
from modelferry.demo import demo_for
from modelferry.families import load_family
from modelferry.runtimes import runtimes_of

if TYPE_CHECKING:
    from modelferry.families.jets import Card

PACKAGES = ("pyarrow", "scikit-learn")
"""Distributions whose version matters, beside those of the format."""
UNSAFE = re.compile(r"^[^A-Za-z0-9_]|[^A-Za-z0-9._+-]")
"""What no name of a part has: a shell, a path or an option could read it as something else."""
LONGEST = 100
"""Characters of a file's name that are kept."""


@dataclass(frozen=True)
class EmbeddingPlan:
    """A model with events to embed.

    Attributes
    ----------
    files
        File of events by the name of its part, see `parts`.
    """

    model: Model
    embed: Embed
    hyperparameters: Mapping[str, Any]
    files: Mapping[str, str]

    @classmethod
    def of(cls, model: Model, hyperparameters: Mapping[str, Any]) -> EmbeddingPlan:
        """Return the plan of a model; raise `ConfigError` if its campaign embeds nothing, or its demo has no events."""
        if model.embed is None:
            raise ConfigError(f"{model.id} has no events to embed", "add `embed` to its campaign")
        demo = _demo_files(model) if DEMO in model.embed.patterns else ()
        return cls(model, model.embed, hyperparameters, parts([*demo, *model.embed_files]))

    @property
    def id(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def export(self) -> str:
        """The export that computes the embeddings: the one asked for, or the first that takes prepared events."""
        family = load_family(self.model.family)
        takes = [one.name for one in self.model.exports if family.layout(one.layout) == family.reference_layout]
        return self.embed.export or next(iter(takes), self.model.exports[0].name)

    @property
    def explore(self) -> Explore:
        """How embeddings are looked at."""
        return self.model.explore or Explore()

    @cached_property
    def card(self) -> Card:
        """The data card that the network's inputs are prepared by."""
        card: Card = load_family(self.model.family).card_of(self.hyperparameters)
        return card

    @cached_property
    def card_sha256(self) -> str:
        """Digest of what the card says."""
        return digest_of(self.card.model_dump(mode="json"))

    def records(self) -> list[str]:
        """Return the paths of the records of all parts."""
        return [paths.embedding_record(self.id, part) for part in self.files]

    def parts(self) -> list[str]:
        """Return the paths of the embeddings of all parts."""
        return [paths.embedding_part(self.id, part) for part in self.files]

    def verdicts(self) -> list[str]:
        """Return the paths of the validations of the artifact."""
        runtimes = runtimes_of(self.model.export(self.export).format)
        return [paths.validation(self.id, self.export, runtime) for runtime in runtimes]

    def embed_settings(self) -> dict[str, Any]:
        """Return the settings that decide whether a file is embedded again."""
        return {"card": self.card_sha256, "batch": self.embed.batch, "export": self.export}


def parts(files: Sequence[str]) -> dict[str, str]:
    """Return each file by a name that is part of paths and commands: its stem, made safe.

    A digest of the path is added where the stem had to be changed, or where two files would have the same.
    """
    unique = list(dict.fromkeys(files))
    safe = {file: UNSAFE.sub("_", Path(file).stem)[:LONGEST] for file in unique}
    shared = Counter(safe.values())
    names: dict[str, str] = {}
    for file, name in safe.items():
        keeps_its_name = name == Path(file).stem and shared[name] == 1
        part = name if keeps_its_name else f"{name}-{digest_of(file, 8)}"
        if part in names:
            raise ConfigError(f"{names[part]} and {file} would both be embedded as '{part}'", "rename one")
        names[part] = file
    return names


def _demo_files(model: Model) -> list[str]:
    demo = demo_for(model.family)
    if demo is None or not demo.unseen:
        raise ConfigError(f"the demo of family {model.family} has no jets to embed", "give paths of files to `embed`")
    folder = paths.demo_events(model.family)
    return [f"{folder}/{group}/{member}" for group in demo.groups(model.axes) for member in demo.unseen]
