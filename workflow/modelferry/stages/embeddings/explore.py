"""What a campaign's embeddings hold: one record on the same jets of each class through all of its models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ConfigError, did_you_mean
from modelferry.records.embeddings import EmbeddingComparison, Embeddings, Exploration, ExploredModel, ProbeCurve
from modelferry.stages.embeddings import metrics
from modelferry.stages.embeddings.metrics import Probe
from modelferry.stages.embeddings.stage import JET_COLUMNS

if TYPE_CHECKING:
    from modelferry.plan.embeddings import EmbeddingPlan

MODELS = 6
"""Number of models of a campaign that are explored, the first ones: pairs grow with its square."""
FEWEST = 10
"""Fewest jets of a class that is explored."""
TRAINING = 0.5
"""Share of the jets that probes learn from."""


@dataclass(frozen=True)
class Sample:
    """Jets of one model: kinematics (jets, 5), scores (jets, classes), embeddings (jets, width), classes (jets,).

    `origins` are their files and entries.
    """

    kinematics: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray
    origins: tuple[tuple[str, int], ...]


def explore_campaign(models: Sequence[EmbeddingPlan]) -> Exploration:
    """Return what the tables of a campaign's models hold; the same tables and seed give the same record.

    Raises
    ------
    ConfigError
        If the class to set others against has no jets, or one that was asked for is unknown.
    ArtifactError
        If the tables are missing, or hold other jets for one model than for another.
    """
    started = time.perf_counter()
    chosen = list(models)[:MODELS]
    embed, settings = chosen[0].embed, chosen[0].explore
    tables = [Embeddings.read(paths.embeddings(planned.id)) for planned in chosen]
    classes = _classes(tables[0], embed.against, embed.classes)
    samples = [_sample(table, classes, settings.jets) for table in tables]
    for planned, sample in zip(chosen, samples, strict=True):
        if sample.origins != samples[0].origins:
            raise ArtifactError(f"{planned.id} has embeddings of other jets than {chosen[0].id}", "embed them again")
    rng = np.random.default_rng(settings.seed)
    labels = samples[0].labels
    drawn = np.sort(np.concatenate([_some(rng, labels == label, settings.drawn) for label in range(len(classes))]))
    learning = _split(rng, labels)
    against = classes.index(embed.against)
    explored = [
        _explored(planned.id, table.demo, sample, classes, against, drawn, learning, settings.seed)
        for planned, table, sample in zip(chosen, tables, samples, strict=True)
    ]
    pairs = combinations(range(len(chosen)), 2)
    return Exploration(
        campaign=chosen[0].model.campaign,
        against=embed.against,
        classes=classes,
        jets=len(labels),
        drawn=tuple(labels[drawn].tolist()),
        models=tuple(explored),
        comparisons=tuple(
            _compared(chosen[a].id, chosen[b].id, samples[a], samples[b], learning, against)
            for pair in pairs
            for a, b in (pair, pair[::-1])
        ),
        seconds=time.perf_counter() - started,
    )


def _classes(table: Embeddings, against: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the classes to explore, in the network's order, the background among them."""
    jets = {one.name: one.rows for one in table.tables}
    for name in (against, *wanted):
        if name not in table.classes:
            raise ConfigError(f"embed: there is no class '{name}'", did_you_mean(name, table.classes))
        if jets.get(name, 0) < FEWEST:
            some = f"{jets.get(name, 0)} jets of class '{name}' in {len(table.files)} files"
            raise ConfigError(f"embed: {some}, {FEWEST} are needed", "add files to `embed`, or leave the class out")
    asked = {against, *(wanted or table.classes)}
    return tuple(name for name in table.classes if name in asked and jets.get(name, 0) >= FEWEST)


def _sample(table: Embeddings, classes: Sequence[str], most: int) -> Sample:
    """Return at most `most` jets of each class, evenly spaced over its table."""
    parts = []
    for name in classes:
        (listed,) = (one for one in table.tables if one.name == name)
        rows = np.unique(np.linspace(0, listed.rows - 1, min(most, listed.rows)).astype(np.int64))
        parts.append(_rows(Path(listed.parquet.path), rows))
    names = parts[0].schema.names
    columns = {
        "kinematics": JET_COLUMNS,
        "scores": [f"score_{name}" for name in classes if f"score_{name}" in names],
        "embeddings": [name for name in names if name.startswith("emb_")],
    }
    if len(columns["scores"]) != len(classes):
        raise ConfigError("embed: the labels of the files are not classes of the network", "give another data card")
    whole = pa.concat_tables(parts)
    arrays = {key: np.stack([whole[name].to_numpy() for name in chosen], axis=1) for key, chosen in columns.items()}
    labels = np.repeat(np.arange(len(classes)), [len(part) for part in parts])
    origins = tuple(zip(whole["file"].to_pylist(), whole["event_index"].to_pylist(), strict=True))
    return Sample(**arrays, labels=labels, origins=origins)


def _rows(path: Path, rows: np.ndarray) -> pa.Table:
    """Return some rows of a parquet file, one row group in memory at a time."""
    parts, first = [], 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            here = rows[(rows >= first) & (rows < first + count)] - first
            if len(here):
                parts.append(file.read_row_group(group).take(here))
            first += count
    return pa.concat_tables(parts)


def _explored(
    model: str,
    demo: bool,
    sample: Sample,
    classes: Sequence[str],
    against: int,
    drawn: np.ndarray,
    learning: np.ndarray,
    seed: int,
) -> ExploredModel:
    table = metrics.confusion(sample.scores, sample.labels)
    curves = []
    for index, name in enumerate(classes):
        if index != against:
            pair = (sample.labels == index) | (sample.labels == against)
            scores = metrics.discriminant(sample.scores[pair], index, against)
            curves.append(metrics.roc(name, scores, sample.labels[pair] == index))
    shuffled = np.random.default_rng(seed).permutation(sample.labels)
    return ExploredModel(
        model=model,
        width=sample.embeddings.shape[1],
        demo=demo,
        accuracy=float(np.trace(table) / table.sum()),
        confusion=tuple(tuple(row) for row in table.tolist()),
        roc=tuple(curves),
        projections=(metrics.pca(sample.embeddings[drawn]), metrics.tsne(sample.embeddings[drawn], seed)),
        probes=(
            _probe("embedding", sample.embeddings, sample.labels, learning, against, seed),
            _probe("kinematics", sample.kinematics, sample.labels, learning, against, seed),
            _probe("shuffled labels", sample.embeddings, shuffled, learning, against, seed),
        ),
    )


def _probe(
    name: Literal["embedding", "kinematics", "shuffled labels"],
    features: np.ndarray,
    labels: np.ndarray,
    learning: np.ndarray,
    against: int,
    seed: int,
) -> ProbeCurve:
    rng = np.random.default_rng(seed)
    steps = metrics.sizes(int(learning.sum()), len(np.unique(labels)))
    measured = []
    for step in steps:
        aucs = []
        for _ in range(metrics.REPEATED if step < learning.sum() else 1):
            rows = _balanced(rng, labels, learning, step)
            probe = Probe(features[rows], labels[rows])
            aucs.append(probe.auc(features[~learning], labels[~learning], against))
        measured.append(aucs)
    return ProbeCurve(
        features=name,
        jets=steps,
        auc=tuple(float(np.mean(aucs)) for aucs in measured),
        spread=tuple(float(np.ptp(aucs) / 2) for aucs in measured),
    )


def _compared(first: str, second: str, a: Sample, b: Sample, learning: np.ndarray, against: int) -> EmbeddingComparison:
    labels, test = a.labels, ~learning
    probe, other = Probe(a.embeddings[learning], labels[learning]), Probe(b.embeddings[learning], labels[learning])
    moved = metrics.mapped(b.embeddings[learning], a.embeddings[learning], b.embeddings[test])
    return EmbeddingComparison(
        first=first,
        second=second,
        cka=metrics.linear_cka(a.embeddings, b.embeddings),
        first_auc=probe.auc(a.embeddings[test], labels[test], against),
        second_auc=other.auc(b.embeddings[test], labels[test], against),
        transferred_auc=probe.auc(moved, labels[test], against),
    )


def _some(rng: np.random.Generator, chosen: np.ndarray, most: int) -> np.ndarray:
    return rng.permutation(np.flatnonzero(chosen))[:most]


def _split(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Return which jets probes learn from: half of each class."""
    learning = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        learning[rows[: round(len(rows) * TRAINING)]] = True
    return learning


def _balanced(rng: np.random.Generator, labels: np.ndarray, learning: np.ndarray, wanted: int) -> np.ndarray:
    """Return `wanted` rows to learn from, or nearly so: the same number of each class, as far as there are any."""
    if wanted >= learning.sum():
        return np.flatnonzero(learning)
    classes = np.unique(labels)
    each = max(1, wanted // len(classes))
    return np.concatenate([_some(rng, learning & (labels == label), each) for label in classes])
