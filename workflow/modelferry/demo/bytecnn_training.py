"""Training of the demo's byte CNN, in seconds. Imports torch."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelferry.comparison.scores import area_under_curve
from modelferry.core import environment
from modelferry.core.events import EventSet
from modelferry.demo.determinism import repeatable, save
from modelferry.families.bytecnn.family import FAMILY
from modelferry.records.demo import DemoTraining

EPOCHS, BATCH, LEARNING_RATE = 3, 32, 4e-3

Splits = tuple[EventSet, EventSet, EventSet]
"""Disjoint texts to learn from, to choose the epoch by, and to measure with."""


def train(
    model_id: str, splits: Splits, classes: Sequence[str], hyperparameters: Mapping[str, Any], out: Path
) -> DemoTraining:
    """Train a network, write the checkpoint `out`, and return how well it tells the classes apart.

    The same `model_id` and texts give the same bytes.
    """
    started = time.perf_counter()
    with repeatable(model_id):
        network = FAMILY.reference(hyperparameters)
        best_loss = _fit(network, *splits[:2], model_id)
        scores, labels = _scores(network, splits[2]), splits[2].labels
    save({"model_state_dict": network.state_dict(), "best_loss": best_loss}, out)
    return DemoTraining(
        model=model_id,
        epochs=EPOCHS,
        events=dict(zip(("training", "validation", "test"), map(len, splits), strict=True)),
        classes=tuple(classes),
        test_auc={classes[1]: area_under_curve(scores[labels == 1], scores[labels == 0])},
        seconds=time.perf_counter() - started,
        environment=environment.describe(),
    )


def _fit(network: nn.Module, training: EventSet, validation: EventSet, name: str) -> float:
    """Train, leave the best epoch's weights in `network`, and return its loss on `validation`."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    best_loss, best = math.inf, copy.deepcopy(network.state_dict())
    for epoch in range(1, EPOCHS + 1):
        network.train()
        for index in torch.randperm(len(training)).split(BATCH):
            batch = training.take(index.numpy())
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy(_forward(network, batch), _labels(batch))
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            scores = torch.from_numpy(_scores(network, validation))
            held = float(nn.functional.binary_cross_entropy(scores, _labels(validation)))
        print(f"{name}: epoch {epoch} of {EPOCHS}, validation loss {held:.4f}", file=sys.stderr)
        if held < best_loss:
            best_loss, best = held, copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    return best_loss


def _forward(network: nn.Module, texts: EventSet) -> torch.Tensor:
    scores: torch.Tensor = network(torch.from_numpy(FAMILY.collate(texts.events, "bytes")["text"]))
    return scores[:, 0]


def _labels(texts: EventSet) -> torch.Tensor:
    return torch.from_numpy(texts.labels).float()


@torch.no_grad()
def _scores(network: nn.Module, texts: EventSet) -> np.ndarray:
    network.eval()
    chunks = [texts.take(index) for index in np.array_split(np.arange(len(texts)), max(1, len(texts) // 256))]
    return np.concatenate([_forward(network, chunk).numpy() for chunk in chunks])
