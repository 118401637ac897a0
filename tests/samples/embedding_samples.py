"""A tagger of a few lines of NumPy in the place of an artifact, and a model whose jets it embeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelferry.config import Config
from modelferry.core import paths
from modelferry.core.contract import Arrays
from modelferry.core.environment import describe
from modelferry.families import load_family
from modelferry.plan import Plan
from modelferry.plan.embeddings import EmbeddingPlan
from modelferry.records import ArtifactFacts, FileFacts
from modelferry.records.export import Manifest
from modelferry.stages.embeddings import stage

CLASSES, WIDTH = 10, 6
NETWORK = {
    "pair_activation": True, "embed": [8, WIDTH], "pair_embed": [4], "heads": 2, "layers": 1, "class_layers": 1,
    "hidden": 8,
}  # fmt: skip


def tagger(seed: int = 0) -> Callable[[Arrays], Arrays]:
    """Return a function of each jet's features alone, whatever its padding holds."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(17, WIDTH)), rng.normal(size=(WIDTH, CLASSES))

    def run(inputs: Arrays) -> Arrays:
        mask = inputs["pf_mask"]
        mean = (inputs["pf_features"] * mask).sum(2) / mask.sum(2)
        embedding = np.tanh(mean @ first).astype(np.float32)
        return {"logits": (embedding @ second).astype(np.float32), "embedding": embedding}

    return run


class Stub:
    """A format whose artifacts are `tagger`s; `calls` are the shapes of what it was called with."""

    def __init__(self, run: Callable[[Arrays], Arrays] | None = None) -> None:
        self.run, self.calls = run or tagger(), []

    def load(self, path: Path, threads: int) -> Callable[[Arrays], Arrays]:
        def run(inputs: Arrays) -> Arrays:
            self.calls.append(inputs["pf_features"].shape)
            return self.run(inputs)

        return run


def jet_plan(files: list[str], **embed: Any) -> EmbeddingPlan:
    """Return a model, its manifest and the bytes of its artifact in the working folder."""
    campaign = {
        "family": "particle_transformer",
        "axes": {"fold": [0]},
        "checkpoint": "net.pt",
        "hyperparameters": NETWORK,
        "formats": ["onnx"],
        "embed": {"files": files, **embed},
        "explore": {"jets": 60, "drawn": 20},
    }
    Path("net.pt").touch()
    (planned,) = Plan(Config.model_validate({"campaigns": {"jets": campaign}})).models.values()
    write_manifest(planned.embedding)
    return planned.embedding


def write_manifest(jets: EmbeddingPlan, content: bytes = b"an artifact") -> Manifest:
    artifact = Path(paths.artifact(jets.id, "onnx", "onnx"))
    artifact.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_bytes(content)
    facts = ArtifactFacts.of([artifact])
    contract = load_family("particle_transformer").contract(jets.hyperparameters, "prepared")
    made = Manifest(
        model=jets.id, campaign="jets", family="particle_transformer", axes={"fold": 0}, hyperparameters={},
        architecture="", parameters=1, export="onnx", format="onnx", layout="prepared", options={}, exactness="exact",
        artifact=facts, checkpoint=FileFacts(path="net.pt", bytes=0, sha256="c" * 64), demo=False, template_sha256="",
        contract=contract, seconds=0, environment=describe(),
    )  # fmt: skip
    made.write(paths.manifest(jets.id, "onnx"))
    return made


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Work in a folder of one's own, where every artifact is a `tagger`."""
    monkeypatch.chdir(tmp_path)
    made = Stub()
    monkeypatch.setattr(stage, "load_format", lambda name: made)
    return made
