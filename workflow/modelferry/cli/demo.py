"""Toy events, and networks trained on them."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelferry.cli.jobs import for_each_model, reported
from modelferry.core import paths
from modelferry.core.errors import ConfigError
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import DEMO


def demo_events(options: argparse.Namespace) -> int:
    """Make a group of toy events."""
    from modelferry.demo import demo_for

    demo = demo_for(options.family)
    if demo is None:
        raise ConfigError(f"family '{options.family}' has no demo", "give a checkpoint path in the config")
    demo.make_events(options.group, Path(paths.demo_events(options.family)) / options.group)
    return 0


def demo_train(options: argparse.Namespace) -> int:
    """Train demo models on toy events."""
    from modelferry.demo import demo_for

    def run(planned: PlannedModel) -> None:
        model = planned.model
        demo = demo_for(model.family)
        if demo is None or not model.demo:
            raise ConfigError(f"{model.id} is not a demo model", "only `checkpoint: demo` is trained here")
        events = Path(paths.demo_events(model.family))
        with reported(DEMO, planned.id):
            record = demo.train(model.id, model.axes, planned.hyperparameters, events, Path(model.checkpoint))
            record.write(paths.training(model.checkpoint))
        accuracy = "" if record.test_accuracy is None else f"accuracy {record.test_accuracy:.3f}, "
        scores = ", ".join(f"{name} {value:.3f}" for name, value in record.test_auc.items())
        print(f"{model.id}: {record.seconds:.1f} s, {accuracy}test AUC {scores}")

    return for_each_model(options, run)
