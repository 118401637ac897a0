"""docs/compare.md and docs/by-hand.md, run as they are printed: Python, and commands."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoint_samples import save_checkpoint
from modelferry.cli.main import main
from modelferry.families import load_family

DOCS = Path(__file__).parents[2] / "docs"
HIGGS = load_family("charged_higgs_particlenet")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages' commands name: a checkpoint, two files that others exported, events."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(Path("trained.pt"))
    events = HIGGS.collate(HIGGS.sample({"events": 4, "particles": 12}, 3), "flat")
    np.savez("events.npz", **events)
    network = HIGGS.deployable({"hidden": 16}, "flat").eval()
    network.load_state_dict(torch.load("trained.pt", weights_only=True)["model_state_dict"])
    names = ["x", "edge_index", "graph_input", "batch"]
    example = tuple(torch.from_numpy(events[name]) for name in names)
    nodes, edges, count = (torch.export.Dim(name, min=2, max=640) for name in ("nodes", "edges", "events"))
    free = ({0: nodes}, {1: edges}, {0: count}, {0: nodes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), "old.pt")
        for name in ("shipped.onnx", "new.onnx"):
            torch.onnx.export(
                network, example, name, dynamo=True, dynamic_shapes=free, input_names=names, verbose=False
            )


@pytest.mark.parametrize("page", ["compare.md", "by-hand.md"])
def test_documented_python_runs(page: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for code in blocks(page, "python"):
            exec(code, {})


@pytest.mark.parametrize("page", ["compare.md", "by-hand.md"])
def test_documented_commands_run(page: str) -> None:
    commands = [line for block in blocks(page, "bash") for line in block.strip().splitlines()]
    assert len(commands) == 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "modelferry"
        assert main(arguments) == 0, command


def test_documented_options_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    for page, command in (("compare.md", "compare"), ("by-hand.md", "export")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known = capsys.readouterr().out
        rows = re.findall(r"^\| `(--[^`]*)`", (DOCS / page).read_text(), re.MULTILINE)
        assert rows
        for option in re.findall(r"--[\w-]+", " ".join(rows)):
            assert option in known
