"""Templates of source code: text with a blank for each weight, and numbers as literals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelferry.errors import ArtifactError
from modelferry.weights import Blanks

BLANK = re.compile(r"\$\{(\w+)\}")
WIDTH = 110


@dataclass(frozen=True)
class SourceTemplate:
    """Code without its weights: ``${conv1_weight}`` is where that of ``conv1.weight`` goes."""

    blanks: Blanks
    body: str

    def write(self, path: Path) -> None:
        """Write the blanks as the first line, then the body."""
        path.write_text(f"{self.blanks.model_dump_json()}\n{self.body}", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> SourceTemplate:
        """Read what `write` wrote; raise `ArtifactError` if it is something else."""
        try:
            head, _, body = path.read_text(encoding="utf-8").partition("\n")
            return cls(Blanks.model_validate_json(head), body)
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing", "build it") from None
        except (ValidationError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path} is no template of source code", "build it anew") from error

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the code with each blank replaced."""
        return BLANK.sub(lambda blank: values[blank[1]], self.body)


def constant(name: str) -> str:
    """Return the name of a weight as an identifier: ``conv1.weight`` is conv1_weight, ``0.bias`` is layer0_bias."""
    plain = re.sub(r"\W", "_", name)
    return f"layer{plain}" if plain[0].isdigit() else plain


def identifier(name: str) -> str:
    """Return a name as a namespace: what is no letter, digit or underscore becomes an underscore."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower() or "network"
    return plain if plain[0].isalpha() else f"network_{plain}"


def blank(name: str) -> str:
    """Return the blank of a weight or a fact."""
    return f"${{{constant(name)}}}"


def rows(literals: Sequence[str], indent: int) -> Iterator[str]:
    """Yield literals, separated by commas, as lines that are no wider than `WIDTH`."""
    line, margin = "", " " * indent
    for literal in literals:
        if line and indent + len(line) + len(literal) + 2 > WIDTH:
            yield f"{margin}{line.rstrip()}"
            line = ""
        line += f"{literal}, "
    if line:
        yield f"{margin}{line.rstrip()}"
