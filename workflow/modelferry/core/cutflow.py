"""What became of the jets of a file: how many were read, why some were left out, and what is to be said of others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

DIFFERENT_LENGTHS = "lists of different lengths"
EMPTY = "no particles"
NOT_FINITE = "numbers that are not finite"
SEVERAL_LABELS = "several labels, or one that is neither 0 nor 1"
"""Why jets are left out; the first reason that is true of a jet counts."""
NOT_SELECTED = "not selected by the data card"
NO_OUTPUT = "outputs that are not finite"
"""Why jets are left out after reading."""
UNLABELLED = "without a label"
CUT = "cut to the most particles that the network takes"


@dataclass
class Counts:
    """What became of the jets of a file, or of several.

    Attributes
    ----------
    read
        All jets.
    left_out
        Jets by the reason for which they were left out.
    noted
        Jets that were kept, and something is to be said about them: `UNLABELLED`, `CUT`.
    """

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """The jets that were not left out."""
        return self.read - self.left_out.total()

    def add(self, other: Counts) -> None:
        """Count the jets of `other` as well."""
        self.read += other.read
        self.left_out += other.left_out
        self.noted += other.noted

    def __str__(self) -> str:
        parts = [f"{number:,} left out: {reason}" for reason, number in self.left_out.items()]
        parts += [f"{number:,} {what}" for what, number in self.noted.items()]
        return "; ".join([f"{self.read:,} jets read, {self.kept:,} kept", *parts])
