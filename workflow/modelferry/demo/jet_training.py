"""Training of the demo's jet taggers, in seconds. Imports torch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelferry.comparison.scores import area_under_curve
from modelferry.core import environment
from modelferry.core.contract import Arrays
from modelferry.demo.determinism import repeatable, save
from modelferry.families.jets import Card, prepare
from modelferry.families.jets.base import JetFamily
from modelferry.families.jets.jetclass import read_chunks
from modelferry.records.demo import DemoTraining

EPOCHS, BATCH, PEAK = 4, 48, 5e-3
PREFIX = "mod."
"""Before the names of weights in weaver's checkpoints."""


@dataclass(frozen=True)
class Jets:
    """Jets as a data card prepares them; `particles` of each, and `labels`."""

    inputs: Arrays
    particles: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def read(cls, files: Sequence[Path], card: Card) -> Jets:
        """Read files of labelled jets."""
        chunks = [jets for path in files for jets in read_chunks(path, card.branches, card.label_branches)]
        prepared = [prepare(card, jets.columns, select=False) for jets in chunks]
        inputs = {name: np.concatenate([one.inputs[name] for one in prepared]) for name in card.inputs}
        particles, labels = (np.concatenate([getattr(p, name) for p in prepared]) for name in ("particles", "labels"))
        return cls(inputs, particles, labels)

    def take(self, chosen: np.ndarray) -> Jets:
        """Return the jets that a mask or an array of indices chooses."""
        inputs = {name: values[chosen] for name, values in self.inputs.items()}
        return Jets(inputs, self.particles[chosen], self.labels[chosen])

    def batches(self, order: np.ndarray) -> list[Jets]:
        """Return the jets in batches, each only as long as its longest jet."""
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        taken = [self.take(rows) for rows in batches]
        return [Jets({k: v[..., : b.particles.max()] for k, v in b.inputs.items()}, *_rest(b)) for b in taken]


def train(
    family: JetFamily,
    model_id: str,
    learned: Jets,
    test: Jets,
    classes: Sequence[str],
    hyperparameters: Mapping[str, Any],
    out: Path,
) -> DemoTraining:
    """Train a network, write the checkpoint `out`, and return how well it tells each class from the first.

    The same `model_id` and jets give the same bytes. The checkpoint is a state dict alone, as weaver writes it.
    """
    started = time.perf_counter()
    with repeatable(model_id):
        network = family.reference(hyperparameters)
        _fit(network, learned, family.inputs, model_id)
        scores = _scores(network, test, family.inputs)
    save({f"{PREFIX}{name}": tensor for name, tensor in network.state_dict().items()}, out)
    return DemoTraining(
        model=model_id,
        epochs=EPOCHS,
        events={"training": len(learned), "test": len(test)},
        classes=tuple(classes),
        test_auc={name: _auc(scores, test.labels, index) for index, name in enumerate(classes) if index},
        seconds=time.perf_counter() - started,
        environment=environment.describe(),
    )


def _fit(network: nn.Module, jets: Jets, inputs: Sequence[str], name: str) -> None:
    steps = EPOCHS * -(-len(jets) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    network.train()
    for epoch in range(1, EPOCHS + 1):
        losses = []
        for batch in jets.batches(torch.randperm(len(jets)).numpy()):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(_logits(network, batch, inputs), torch.from_numpy(batch.labels))
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"{name}: epoch {epoch} of {EPOCHS}, loss {np.mean(losses):.4f}", file=sys.stderr)


def _logits(network: nn.Module, jets: Jets, inputs: Sequence[str]) -> torch.Tensor:
    outputs = network(*(torch.from_numpy(np.ascontiguousarray(jets.inputs[name])) for name in inputs))
    logits: torch.Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits


@torch.no_grad()
def _scores(network: nn.Module, jets: Jets, inputs: Sequence[str]) -> np.ndarray:
    network.eval()
    batches = jets.batches(np.arange(len(jets)))
    return torch.cat([_logits(network, batch, inputs).softmax(dim=1) for batch in batches]).numpy()


def _auc(scores: np.ndarray, labels: np.ndarray, of: int) -> float:
    """Return the AUC of p_c / (p_c + p_0) for class `of` against class 0."""
    ratio = scores[:, of] / (scores[:, of] + scores[:, 0])
    return area_under_curve(ratio[labels == of], ratio[labels == 0])


def _rest(jets: Jets) -> tuple[np.ndarray, np.ndarray]:
    return jets.particles, jets.labels
