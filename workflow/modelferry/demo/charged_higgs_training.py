"""Training of the demo networks, the way the analysis trains, in seconds instead of hours. Imports torch."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from tqdm import tqdm

from modelferry.core import environment
from modelferry.core.events import EventSet
from modelferry.demo.determinism import repeatable, save
from modelferry.families.charged_higgs_particlenet.edges import delta_r_edges
from modelferry.families.charged_higgs_particlenet.reference import ParticleNet
from modelferry.records.demo import DemoTraining


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train."""

    epochs: int = 4
    batch: int = 128
    peak_learning_rate: float = 8e-3


@dataclass(frozen=True)
class Splits:
    """Disjoint events to learn from, to choose the epoch by, and to measure with."""

    training: EventSet
    validation: EventSet
    test: EventSet


@dataclass(frozen=True)
class Batch:
    """Events side by side.

    `x` (ΣN, 9), `edge_index` (2, E), `graph_input` (B, 4), `batch` (ΣN,), `labels` (B,), `weights` (B,).
    """

    x: Tensor
    edge_index: Tensor
    graph_input: Tensor
    batch: Tensor
    labels: Tensor
    weights: Tensor


class Tensors:
    """The events of a split as tensors, with their edges, ready to be put into batches."""

    def __init__(self, events: EventSet, class_weights: np.ndarray) -> None:
        self.x = [torch.from_numpy(event["x"]) for event in events.events]
        self.edges = [torch.from_numpy(delta_r_edges(event["x"])) for event in events.events]
        self.graph_input = torch.from_numpy(np.stack([event["graph_input"] for event in events.events]))
        self.labels = torch.from_numpy(events.labels)
        self.weights = torch.from_numpy(events.weights * class_weights[events.labels]).float()

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> Batch:
        """Return the events at `index` (B,) as one batch."""
        chosen = index.tolist()
        sizes = torch.tensor([len(self.x[i]) for i in chosen])
        first = (sizes.cumsum(0) - sizes).tolist()
        return Batch(
            x=torch.cat([self.x[i] for i in chosen]),
            edge_index=torch.cat([self.edges[i] + start for i, start in zip(chosen, first, strict=True)], dim=1),
            graph_input=self.graph_input[index],
            batch=torch.arange(len(chosen)).repeat_interleave(sizes),
            labels=self.labels[index],
            weights=self.weights[index],
        )


def train(
    model_id: str,
    splits: Splits,
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    out: Path,
    settings: Settings | None = None,
) -> DemoTraining:
    """Train a network, write the checkpoint `out`, and return how well it tells signal from each background.

    The same `model_id`, events and settings give the same bytes. The checkpoint has the four entries of the
    analysis' own: `model_state_dict`, `val_loss`, `best_loss` and `epoch`, a counter that is always 0.
    """
    settings = settings or Settings()
    start = time.perf_counter()
    weights = class_weights(splits.training, len(classes))
    training, validation, test = (
        Tensors(events, weights) for events in (splits.training, splits.validation, splits.test)
    )
    with repeatable(model_id):
        network = ParticleNet(
            hidden=int(hyperparameters.get("hidden", 128)),
            dropout=float(hyperparameters.get("dropout", 0.25)),
        )
        last_loss, best_loss = _fit(network, training, validation, settings, model_id)
        auc = signal_auc(_probabilities(network, test, settings.batch), splits.test.labels, classes)
    content = {"model_state_dict": network.state_dict(), "val_loss": last_loss, "best_loss": best_loss, "epoch": 0}
    save(content, out)
    return DemoTraining(
        model=model_id,
        epochs=settings.epochs,
        events={"training": len(training), "validation": len(validation), "test": len(test)},
        classes=tuple(classes),
        test_auc=auc,
        seconds=time.perf_counter() - start,
        environment=environment.describe(),
    )


def class_weights(events: EventSet, classes: int) -> np.ndarray:
    """Return a factor per class, (classes,), that scales its total weight to that of the largest class."""
    totals = np.bincount(events.labels, weights=events.weights, minlength=classes)
    return totals.max() / np.where(totals > 0, totals, totals.max())


def signal_auc(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Return, for each background k, the AUC of s0 / (s0 + sk) against the signal; NaN if either is absent.

    Parameters
    ----------
    probabilities
        Softmax outputs s, (N, classes).
    labels
        Class of each event, (N,), 0 is the signal.
    classes
        Class names, the signal first.
    """
    auc: dict[str, float] = {}
    for k, name in enumerate(classes[1:], start=1):
        pair = (labels == 0) | (labels == k)
        score = probabilities[pair, 0] / (probabilities[pair, 0] + probabilities[pair, k])
        both = len(np.unique(labels[pair])) == 2
        auc[name] = float(roc_auc_score(labels[pair] == 0, score)) if both else math.nan
    return auc


def weighted_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the cross entropy Σ w·ce / Σ w of logits (B, classes)."""
    loss = nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    return (batch.weights * loss).sum() / batch.weights.sum()


def _fit(
    network: ParticleNet, training: Tensors, validation: Tensors, settings: Settings, name: str
) -> tuple[float, float]:
    """Train, leave the best epoch's weights in `network`, and return last and best validation loss."""
    steps = max(1, len(training) // settings.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.peak_learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.peak_learning_rate, total_steps=steps * settings.epochs
    )
    best_loss, best, loss = math.inf, copy.deepcopy(network.state_dict()), math.inf
    quiet = not sys.stderr.isatty()
    with tqdm(total=steps * settings.epochs, desc=name, unit="step", disable=quiet, leave=False) as progress:
        for epoch in range(1, settings.epochs + 1):
            network.train()
            for index in torch.randperm(len(training))[: steps * settings.batch].chunk(steps):
                optimizer.zero_grad()
                batch = training.batch(index)
                weighted_loss(_forward(network, batch), batch).backward()
                optimizer.step()
                schedule.step()
                progress.update()
            loss = _loss(network, validation, settings.batch)
            if loss < best_loss:
                best_loss, best = loss, copy.deepcopy(network.state_dict())
            message = f"{name}: epoch {epoch} of {settings.epochs}, validation loss {loss:.4f}"
            print(message, file=sys.stderr) if quiet else progress.set_postfix(validation=f"{loss:.4f}")
    network.load_state_dict(best)
    return loss, best_loss


def _forward(network: ParticleNet, batch: Batch) -> Tensor:
    return network(batch.x, batch.edge_index, batch.graph_input, batch.batch)


def _batches(events: Tensors, size: int) -> Iterator[Batch]:
    for index in torch.arange(len(events)).split(size):
        yield events.batch(index)


@torch.no_grad()
def _loss(network: ParticleNet, events: Tensors, size: int) -> float:
    """Return Σ w·ce / Σ w over all events."""
    network.eval()
    losses = [(weighted_loss(_forward(network, b), b) * b.weights.sum()).item() for b in _batches(events, size)]
    return sum(losses) / events.weights.sum().item()


@torch.no_grad()
def _probabilities(network: ParticleNet, events: Tensors, size: int) -> np.ndarray:
    network.eval()
    return torch.cat([_forward(network, b).softmax(dim=1) for b in _batches(events, size)]).numpy()
