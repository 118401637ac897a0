"""Demo of the byte CNN: is a text prose or Python code? Texts are docstrings and functions of the standard library."""

from __future__ import annotations

import ast
import json
import sysconfig
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.core.events import EventSet, join
from modelferry.core.files import write_text
from modelferry.demo import Axes, Demo, fold_of
from modelferry.records.demo import DemoTraining

CLASSES = ("prose", "code")
"""Class names; the position is the label."""
MEMBER = "texts.json"
TEXTS = 1200
"""Texts of each class."""
LONGEST = 200
SHORTEST = 40
FOLDS = 5
LETTERS = 0.85
"""At least this share of what is taken for prose are letters and blanks."""


class ByteCNNDemo(Demo):
    """The `Demo` of family bytecnn; its axis fold is the fifth of the texts that is kept for the test."""

    modules = (__name__, "modelferry.demo.bytecnn_training")
    members = (MEMBER,)

    def groups(self, axes: Axes) -> tuple[str, ...]:
        """Return the classes."""
        fold_of(axes, FOLDS)
        return CLASSES

    def make_events(self, group: str, folder: Path) -> None:
        """Write the texts of a class, as a JSON list."""
        texts = dict.fromkeys(text for text in _texts(group))
        write_text(folder / MEMBER, json.dumps(list(texts)[:TEXTS], indent=0) + "\n")

    def train(
        self, model_id: str, axes: Axes, hyperparameters: Mapping[str, Any], events: Path, out: Path
    ) -> DemoTraining:
        """Train on all folds but two: one chooses the epoch, and the AUC is of the other."""
        from modelferry.demo.bytecnn_training import train

        texts, folds = _labelled(events)
        test, validation = folds == fold_of(axes, FOLDS), folds == (fold_of(axes, FOLDS) + 1) % FOLDS
        splits = (texts.take(~test & ~validation), texts.take(validation), texts.take(test))
        return train(model_id, splits, CLASSES, hyperparameters, out)

    def test_events(self, axes: Axes, events: Path) -> EventSet:
        """Return the texts that the model at `axes` has not seen."""
        texts, folds = _labelled(events)
        return texts.take(folds == fold_of(axes, FOLDS))


DEMO = ByteCNNDemo()


def _texts(group: str) -> Iterator[str]:
    """Yield the texts of a class from the modules of the standard library, in alphabetical order."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield from _prose(node) if group == CLASSES[0] else _code(node)


def _prose(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
        letters = sum(sign.isalpha() or sign.isspace() for sign in paragraph)
        if len(paragraph) >= SHORTEST and letters >= LETTERS * len(paragraph):
            yield paragraph[:LONGEST]


def _code(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        statements = node.body[1:] if ast.get_docstring(node) else node.body
        text = "\n".join(map(ast.unparse, statements))
        if len(text) >= SHORTEST:
            yield text[:LONGEST]


def _labelled(events: Path) -> tuple[EventSet, np.ndarray]:
    """Return all texts with their classes, and their folds (N,), which follow from the texts."""
    sets, folds = [], []
    for label, group in enumerate(CLASSES):
        path = events / group / MEMBER
        texts = [text.encode() for text in json.loads(path.read_text())]
        arrays = [{"text": np.frombuffer(text, np.uint8)} for text in texts]
        sets.append(EventSet(arrays, np.full(len(texts), label), np.ones(len(texts)), str(path)))
        folds += [zlib.crc32(text) % FOLDS for text in texts]
    return join(sets), np.array(folds)
