"""The JSON files of embeddings and of what they hold, as typed records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from modelferry.core.cutflow import Counts
from modelferry.core.model import Environment, Part
from modelferry.records import FileFacts, Record


class Embedded(Record):
    """Which network jets went through, and what became of them."""

    model: str
    export: str
    artifact_sha256: str
    checkpoint_sha256: str
    demo: bool
    validated: bool
    """Whether the artifact had passed its validation in all runtimes."""
    jets: int
    kept: int
    left_out: Mapping[str, int]
    noted: Mapping[str, int]

    @property
    def counts(self) -> str:
        """What became of the jets, in words."""
        return str(Counts(self.jets, Counter(self.left_out), Counter(self.noted)))


class EmbeddedFile(Embedded):
    """`embeddings/parts/….json`: the embeddings of one file of jets."""

    card_sha256: str
    batch: int
    file: FileFacts
    seconds: float
    environment: Environment


class EmbeddingTable(Part):
    """One class of a model: a CSV and a parquet file with the same rows."""

    name: str
    rows: int
    csv: FileFacts
    parquet: FileFacts


class Embeddings(Embedded):
    """`embeddings/embeddings.json`: the tables of a model, one class each."""

    files: tuple[str, ...]
    classes: tuple[str, ...]
    tables: tuple[EmbeddingTable, ...]


class RocCurve(Part):
    """A class against the background: efficiencies of both, and the area under the curve; (jets, jets) of the two."""

    name: str
    signal: tuple[float, ...]
    background: tuple[float, ...]
    auc: float
    jets: tuple[int, int]


class Projection(Part):
    """Two coordinates a jet; the share of the variance along each, where that is defined."""

    method: Literal["PCA", "t-SNE"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    variance: tuple[float, ...] = ()


class ProbeCurve(Part):
    """A linear classifier on `features`: mean AUC over the classes for each number of jets that it learned from."""

    features: Literal["embedding", "kinematics", "shuffled labels"]
    jets: tuple[int, ...]
    auc: tuple[float, ...]
    spread: tuple[float, ...]


class ExploredModel(Part):
    """What one model's embeddings hold."""

    model: str
    width: int
    demo: bool
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    """Jets by true class (row) and best score (column)."""
    roc: tuple[RocCurve, ...]
    projections: tuple[Projection, ...]
    probes: tuple[ProbeCurve, ...]


class EmbeddingComparison(Part):
    """Embeddings of two models on the same jets.

    `cka` is linear centred kernel alignment. `transferred_auc` is that of the first model's linear probe on embeddings
    of the second, put into the first's space by a linear map that was fitted to other jets; `first_auc` and
    `second_auc` are of each model's own probe.
    """

    first: str
    second: str
    cka: float
    first_auc: float
    second_auc: float
    transferred_auc: float


class Exploration(Record):
    """`results/<campaign>/exploration.json`: what a campaign's embeddings hold."""

    campaign: str
    against: str
    classes: tuple[str, ...]
    jets: int
    drawn: tuple[int, ...]
    """True class of each jet in the projections."""
    models: tuple[ExploredModel, ...]
    comparisons: tuple[EmbeddingComparison, ...]
    seconds: float
