"""LightningModules that users write, with what makes trouble outside training."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class Tagger(LightningModule):
    """Three variables to two logits; a loss with weights of its own, and properties that need a trainer."""

    def __init__(self, hidden: int = 4, lr: float = 1e-3, compiled: bool = False) -> None:
        super().__init__()
        self.save_hyperparameters()
        net: nn.Module = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.net = torch.compile(net) if compiled else net

    @property
    def scheduler(self) -> object:
        return self.trainer.lr_scheduler_configs[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class UsesTrainer(Tagger):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.trainer.world_size


class Needs(Tagger):
    def __init__(self, features: int, hidden: int = 4) -> None:
        super().__init__(hidden)


class Detector(LightningModule):
    """Boxes, classes and a map, as detection and segmentation networks return them."""

    def __init__(self, how: str = "dict") -> None:
        super().__init__()
        self.how = how
        self.body = nn.Conv2d(1, 3, 3, padding=1)
        self.boxes, self.scores = nn.Linear(3, 8), nn.Linear(3, 2)

    def forward(self, image: Tensor) -> object:
        maps = self.body(image).relu()
        pooled = maps.mean((2, 3))
        boxes, scores = self.boxes(pooled).view(-1, 2, 4), self.scores(pooled)
        if self.how == "dict":
            return {"scores": scores, "boxes": boxes, "maps": [maps, maps[:, :, ::2]]}
        return (boxes, scores, maps) if self.how == "tuple" else [boxes, scores, maps]
