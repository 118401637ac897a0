"""A campaign's exploration: the same jets through both models, controls that must fail, mistakes in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelferry.config import Config
from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.plan import Plan
from modelferry.plan.embeddings import EmbeddingPlan
from modelferry.records import FileFacts
from modelferry.records.embeddings import Embeddings, EmbeddingTable, Exploration
from modelferry.stages.embeddings import explore
from modelferry.stages.embeddings.stage import schema

CLASSES = ("QCD", "Hbb", "Wqq", "Tbl")
EACH, WIDTH = 50, 5
MODELS = ("jets/fold-0", "jets/fold-1")


def write_tables(model: str, classes: tuple[str, ...] = CLASSES, each: int = EACH, first: int = 0) -> None:
    """Write tables of jets of which the first coordinates of the embedding are one-hot, but for noise and rotation."""
    turned = np.linalg.qr(np.random.default_rng(MODELS.index(model)).normal(size=(WIDTH, WIDTH)))[0]
    tables = []
    for place, name in enumerate(classes):
        rng = np.random.default_rng(place)
        embedding = (np.eye(WIDTH)[np.full(each, place)] * 3 + rng.normal(size=(each, WIDTH))) @ turned
        scores = np.exp(np.eye(len(CLASSES))[np.full(each, place)] * 1.5 + rng.normal(size=(each, len(CLASSES))))
        numbers = [*rng.normal(size=(5, each)), *(scores / scores.sum(axis=1, keepdims=True)).T, *embedding.T]
        columns = [["jets.root"] * each, range(first, first + each), [place] * each, [name] * each, *numbers]
        content = pa.Table.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, schema(CLASSES, WIDTH), strict=True)],
            schema=schema(CLASSES, WIDTH),
        )
        path = Path(paths.embedding_tables(model)) / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(content, path, row_group_size=17)
        facts = FileFacts(path=str(path), bytes=0, sha256="")
        tables.append(EmbeddingTable(name=name, rows=each, csv=facts, parquet=facts))
    Embeddings(
        model=model, export="onnx", artifact_sha256="", checkpoint_sha256="", demo=True, validated=True,
        files=("jets.root",), jets=each * len(classes), kept=each * len(classes), left_out={}, noted={},
        classes=CLASSES, tables=tuple(tables),
    ).write(paths.embeddings(model))  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for fold in (0, 1):
        Path(f"{fold}.pt").touch()


def models(**embed: object) -> list[EmbeddingPlan]:
    campaign = {
        "family": "particle_transformer", "axes": {"fold": [0, 1]}, "checkpoint": "{fold}.pt",
        "hyperparameters": {"pair_activation": True}, "formats": ["onnx"],
        "embed": {"files": "jets.root", **embed}, "explore": {"jets": 40, "drawn": 12, "seed": 2},
    }  # fmt: skip
    plan = Plan(Config.model_validate({"campaigns": {"jets": campaign}}))
    return [planned.embedding for planned in plan.explored["jets"]]


@pytest.fixture
def record() -> Exploration:
    for model in MODELS:
        write_tables(model)
    return explore.explore_campaign(models())


def test_jets_are_taken_of_each_class_up_to_the_number_asked_for(record: Exploration) -> None:
    assert record.jets == 40 * len(CLASSES)
    assert record.classes == CLASSES
    assert np.bincount(record.drawn).tolist() == [12] * len(CLASSES)
    for model in record.models:
        assert {len(p.x) for p in model.projections} == {48}
        assert np.sum(model.confusion, axis=1).tolist() == [40] * len(CLASSES)
        assert [curve.name for curve in model.roc] == ["Hbb", "Wqq", "Tbl"]
        assert model.demo


def test_probe_finds_the_classes_and_the_controls_do_not(record: Exploration) -> None:
    for model in record.models:
        last = {curve.features: curve.auc[-1] for curve in model.probes}
        assert last["embedding"] > 0.95
        assert abs(last["kinematics"] - 0.5) < 0.15
        assert abs(last["shuffled labels"] - 0.5) < 0.15
        (embedding,) = (curve for curve in model.probes if curve.features == "embedding")
        assert embedding.jets == (20, 80)


def test_a_rotated_embedding_is_the_same_representation(record: Exploration) -> None:
    assert {(pair.first, pair.second) for pair in record.comparisons} == {MODELS, MODELS[::-1]}
    for pair in record.comparisons:
        assert pair.cka == pytest.approx(1, abs=1e-4)
        assert pair.transferred_auc == pytest.approx(pair.first_auc, abs=0.02)


def test_unrelated_embeddings_do_not_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        write_tables(model)
    own = explore._sample

    def sample(table: Embeddings, classes: tuple[str, ...], most: int) -> explore.Sample:
        found = own(table, classes, most)
        if table.model == MODELS[1]:
            noise = np.random.default_rng(9).normal(size=found.embeddings.shape)
            found = explore.Sample(found.kinematics, found.scores, noise, found.labels, found.origins)
        return found

    monkeypatch.setattr(explore, "_sample", sample)
    pair = explore.explore_campaign(models()).comparisons[0]
    assert pair.cka < 0.2
    assert pair.first_auc > 0.9 > 0.7 > pair.transferred_auc


def test_the_seed_decides(record: Exploration) -> None:
    again = explore.explore_campaign(models())
    assert again.model_copy(update={"seconds": 0.0}) == record.model_copy(update={"seconds": 0.0})


def test_only_the_classes_asked_for_are_set_against_the_background() -> None:
    for model in MODELS:
        write_tables(model)
    record = explore.explore_campaign(models(against="Wqq", classes=["Tbl"]))
    assert record.classes == ("Wqq", "Tbl")
    assert [curve.name for curve in record.models[0].roc] == ["Tbl"]


@pytest.mark.parametrize(("embed", "classes", "said"), [
    ({"against": "Qcd"}, CLASSES, "there is no class 'Qcd'; known: Hbb, QCD"),
    ({"classes": ["Hbb"]}, ("QCD", "Wqq"), "0 jets of class 'Hbb' in 1 files, 10 are needed"),
    ({}, ("Hbb", "Wqq"), "0 jets of class 'QCD'"),
])  # fmt: skip
def test_classes_without_jets_are_one_line(embed: dict, classes: tuple[str, ...], said: str) -> None:
    for model in MODELS:
        write_tables(model, classes)
    with pytest.raises(ConfigError, match=said):
        explore.explore_campaign(models(**embed))


def other_jets() -> None:
    write_tables(MODELS[1], first=1)


def no_tables() -> None:
    Path(paths.embeddings(MODELS[1])).unlink()


@pytest.mark.parametrize(("spoil", "said"), [(other_jets, "embeddings of other jets"), (no_tables, "is missing")])
def test_tables_that_do_not_fit_are_one_line(record: Exploration, spoil: Callable[[], None], said: str) -> None:
    spoil()
    with pytest.raises(ArtifactError, match=said):
        explore.explore_campaign(models())
