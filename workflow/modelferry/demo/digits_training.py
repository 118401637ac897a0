"""The demo's classifier of digits, a LightningModule as people write them, and its training in seconds."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from modelferry.comparison.scores import area_under_curve
from modelferry.core import environment
from modelferry.core.files import replacing
from modelferry.demo.determinism import repeatable
from modelferry.records.demo import DemoTraining

EPOCHS, BATCH = 15, 64

Images = tuple[np.ndarray, np.ndarray]
"""Images (N, 1, 8, 8) and their classes (N,)."""


class DigitClassifier(LightningModule):
    """Two convolutions with batch norm, the mean of the map, a linear layer: (B, 1, 8, 8) to logits (B, 10)."""

    def __init__(self, width: int = 16, dropout: float = 0.1, learning_rate: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.dropout(self.features(image).mean((2, 3))))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        image, label = batch
        return nn.functional.cross_entropy(self(image), label, label_smoothing=0.1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])


def train(
    model_id: str, splits: tuple[Images, Images], classes: Sequence[str], init: Mapping[str, Any], out: Path
) -> DemoTraining:
    """Train on the first split, write Lightning's checkpoint to `out`, and return what the network does on the second.

    The same `model_id` and images give the same weights.
    """
    started = time.perf_counter()
    with repeatable(model_id), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        network = DigitClassifier(**init)
        trainer = Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        learned = TensorDataset(*map(torch.from_numpy, splits[0]))
        trainer.fit(network, DataLoader(learned, batch_size=BATCH, shuffle=True))
        with replacing(out) as temporary:
            trainer.save_checkpoint(temporary)
        with torch.inference_mode():
            scores = network.eval()(torch.from_numpy(splits[1][0])).softmax(1).numpy()
    labels = splits[1][1]
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    print(f"{model_id}: {EPOCHS} epochs, accuracy {accuracy:.3f}", file=sys.stderr)
    return DemoTraining(
        model=model_id,
        epochs=EPOCHS,
        events={"training": len(splits[0][1]), "test": len(labels)},
        classes=tuple(classes),
        test_auc={
            name: area_under_curve(scores[labels == index, index], scores[labels != index, index])
            for index, name in enumerate(classes)
        },
        test_accuracy=accuracy,
        seconds=time.perf_counter() - started,
        environment=environment.describe(),
    )
