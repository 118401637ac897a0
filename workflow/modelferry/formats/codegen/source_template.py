"""Templates of source code: text with a slot for each weight, and numbers as literals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelferry.core.contract import Contract
from modelferry.core.errors import ArtifactError
from modelferry.formats.shared.weight_slots import WeightSlots

SLOT = re.compile(r"\$\{(\w+)\}")
WIDTH = 110
CPP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await
    co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false float for friend goto if inline int long main mutable
    namespace new noexcept not not_eq nullptr operator or or_eq posix private protected public register
    reinterpret_cast requires return short signed sizeof static static_assert static_cast std struct switch template
    this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while
    xor xor_eq
    """,
    )
)
"""What no namespace may be called: the keywords up to C++20, and names that belong to the program or the library."""


@dataclass(frozen=True)
class SourceTemplate:
    """Code without its weights: ``${conv1_weight}`` is where that of ``conv1.weight`` goes."""

    slots: WeightSlots
    body: str

    def write(self, path: Path) -> None:
        """Write the slots as the first line, then the body."""
        path.write_text(f"{self.slots.model_dump_json()}\n{self.body}", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> SourceTemplate:
        """Read what `write` wrote; raise `ArtifactError` if it is something else."""
        try:
            head, _, body = path.read_text(encoding="utf-8").partition("\n")
            return cls(WeightSlots.model_validate_json(head), body)
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing", "build it") from None
        except (ValidationError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path} is not a template of source code", "build it again") from error

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the code with each slot replaced."""
        return SLOT.sub(lambda slot: values[slot[1]], self.body)


def constant(name: str) -> str:
    """Return the name of a weight as an identifier: ``conv1.weight`` is conv1_weight, ``0.bias`` is layer0_bias."""
    plain = re.sub(r"\W", "_", name)
    return f"layer{plain}" if plain[0].isdigit() else plain


def contract_text(contract: Contract, indent: int | None = None) -> str:
    """Return a contract as JSON in which nothing is a slot, whatever its descriptions say."""
    return contract.model_dump_json(indent=indent).replace("${", "\\u0024{")


def identifier(name: str) -> str:
    """Return a name as a namespace: all but letters, digits and underscores become one; no keyword."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower() or "network"
    return plain if plain[0].isalpha() and plain not in CPP_WORDS else f"network_{plain}"


def slot(name: str) -> str:
    """Return the slot of a weight or a fact."""
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
