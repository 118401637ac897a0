"""What became of the training of a demo network."""

from __future__ import annotations

from collections.abc import Mapping

from modelferry.core.model import Environment
from modelferry.records import Record


class DemoTraining(Record):
    """`training.json` beside a demo checkpoint: how the demo network was trained, and what it can do."""

    model: str
    epochs: int
    events: Mapping[str, int]
    classes: tuple[str, ...]
    test_auc: Mapping[str, float]
    test_accuracy: float | None = None
    """Share of the test events that are decided for their own class, where there are more than two."""
    seconds: float
    environment: Environment
