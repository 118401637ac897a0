"""The code that the report shows runs, and computes the scores that the contract names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.formats import Format, format_names, load_format
from modelferry.stages.report import snippets
from report_samples import FLAT, artifact

FIGURES = Tensor(name="x", dtype="float32", shape=("events", 3))


class Network(torch.nn.Module):
    """Logits, and where asked for what they are made of."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.inside, self.head = torch.nn.Linear(3, 5), torch.nn.Linear(5, 2)
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> Any:
        inside = torch.relu(self.inside(x))
        logits = self.head(inside)
        return logits if self.outputs == 1 else (logits, inside)


def contract(scores: str, outputs: int) -> Contract:
    named = (
        Tensor(name="logits", dtype="float32", shape=("events", 2)),
        Tensor(name="inside", dtype="float32", shape=("events", 5)),
    )
    events = Dimension(name="events", minimum=1, typical=4, maximum=16)
    return Contract(
        layout="flat", inputs=(FIGURES,), outputs=named[:outputs], dimensions=(events,), classes=("a", "b"),
        scores=scores,
    )  # fmt: skip


SCORES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(dim=1), "sigmoid": torch.sigmoid, "nothing": lambda logits: logits,
}  # fmt: skip


@pytest.mark.parametrize(("scores", "outputs"), [("softmax", 1), ("sigmoid", 2), ("nothing", 1)])
@pytest.mark.parametrize("name", ["onnx", "torch_export", "torchscript"])
def test_code_of_the_report_gives_the_scores_that_the_contract_names(
    name: str, scores: str, outputs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, asked, target = Network(outputs).eval(), contract(scores, outputs), load_format(name)
    out = tmp_path / f"model.{target.extension}"
    example = {"x": np.zeros((4, 3), np.float32)}
    target.export(network, asked, example, target.resolve_options({}), network.state_dict(), {}, out)
    code = snippets.filled(target.snippets["Python"], "Python", str(out), asked)
    shown: list[torch.Tensor] = []
    variables: dict[str, Any] = {"print": shown.append}
    exec(code, variables)
    with torch.inference_mode():
        result = network(variables["x"])
    expected = SCORES[scores](result if outputs == 1 else result[0])
    assert torch.allclose(shown[0], expected, atol=1e-6)


def test_scores_come_from_the_contract_and_not_from_names() -> None:
    called_logits = contract("nothing", 1)
    path, text = "results/a/onnx/model.onnx", load_format("onnx").snippets["Python"]
    assert "softmax" not in snippets.filled(text, "Python", path, called_logits)
    other = called_logits.model_copy(update={"scores": "softmax", "outputs": (FIGURES,)})
    assert "softmax(x, dim=1)  # a, b" in snippets.filled(text, "Python", path, other)


@pytest.mark.parametrize("name", [name for name in format_names() if load_format(name).snippets])
def test_nothing_is_left_to_fill_in(name: str) -> None:
    for language, text in load_format(name).snippets.items():
        assert "$" not in snippets.filled(text, language, "results/a/b/onnx/model", FLAT)


def test_format_of_ones_own_says_how_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Format):
        name = "own"
        snippets = {"Python": 'load("$path")  # costs $5'}
        legacy = "Nobody should use it"

    monkeypatch.setattr(snippets, "load_format", lambda name: Own if name == "mine:Own" else None)
    shipped = artifact("a/b").model_copy(update={"format": "mine:Own"})
    text = str(snippets.section(shipped, FLAT))
    assert "<summary>own, flat layout: Python</summary>" in text
    assert f'```python\nload("{shipped.path}")  # costs $5\n```' in text
    assert text.endswith("Nobody should use it.\n\n</details>")


def test_in_a_language_of_ones_own_the_path_is_filled_in() -> None:
    assert snippets.filled('load("$path")', "Julia", "results/a/b/own/model", FLAT) == 'load("results/a/b/own/model")'
