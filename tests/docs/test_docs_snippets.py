"""The code blocks of all pages run as they are printed, or a comment above them says why they do not.

`<!-- not run: REASON -->` is that comment. Blocks that need more than files beside them run in the tests of `RUN_BY`.
"""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from checkpoint_samples import save_checkpoint
from modelferry.cli.main import main
from modelferry.demo import jet_toys
from modelferry.families import load_family
from snippets import PAGES, ROOT, Snippet, code, in_text, on_page

SHELL = ("sh", "bash")
RUN = ("python", "snakemake", *SHELL, "cpp")
SHOWN = ("", "yaml", "csv")
"""What is printed, settings and tables of models."""
RUN_BY = {
    ("CONTRIBUTING.md", "python"): "docs/test_contributing.py",
    ("docs/cpp.md", "sh"): "cpp/test_cpp_example.py",
    ("docs/edge.md", "python"): "docs/test_docs_edge.py",
    ("docs/edge.md", "cpp"): "docs/test_docs_edge.py",
    ("docs/families.md", "python"): "docs/test_docs_families.py",
    ("docs/install.md", "snakemake"): "workflow/test_own_folders.py",
}
"""Pages and languages whose blocks other tests take from the page, each of them, and how many there are."""
BLOCKS = [block for page in PAGES for block in on_page(page)]


def runs_here(block: Snippet) -> bool:
    return block.language in ("python", *SHELL) and not block.reason and (block.page, block.language) not in RUN_BY


def neither_run_nor_excused(blocks: list[Snippet]) -> list[str]:
    """Return the blocks of code that no test runs, and that do not say why."""
    return [
        str(block)
        for block in blocks
        if block.language not in SHOWN
        and not block.reason
        and not runs_here(block)
        and (block.page, block.language) not in RUN_BY
    ]


def test_every_block_runs_or_says_why_it_does_not() -> None:
    assert len(BLOCKS) > 40
    assert {block.language for block in BLOCKS} == {*RUN, *SHOWN}
    assert neither_run_nor_excused(BLOCKS) == []
    assert all(any(runs_here(block) for block in on_page(page)) for page in FILES)


@pytest.mark.parametrize("language", ["cpp", "js", "console"])
def test_block_that_nothing_runs_is_found_unless_it_says_why(language: str) -> None:
    block = f"Text.\n\n```{language}\nsome(code);\n```\n"
    assert neither_run_nor_excused(in_text(block, "docs/new.md")) == [f"docs/new.md:3 ({language})"]
    assert neither_run_nor_excused(
        in_text(block.replace("```" + language, f"<!-- not run: -->\n```{language}"), "x.md")
    )
    said = block.replace(f"```{language}", f"<!-- not run: needs a cluster -->\n```{language}")
    assert neither_run_nor_excused(in_text(said, "docs/new.md")) == []


@pytest.mark.parametrize(("page", "language"), list(RUN_BY))
def test_blocks_that_another_test_runs_are_taken_from_the_page_there(page: str, language: str) -> None:
    text = (ROOT / "tests" / RUN_BY[page, language]).read_text()
    assert code(page, language)
    assert f'"{page}"' in text
    assert f'"{language}"' in text


def test_commands_have_the_options_that_the_pages_show(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {
        (arguments[0], argument.partition("=")[0])
        for block in BLOCKS
        if block.language in SHELL
        for program, *arguments in commands(block.code)
        if program == "modelferry"
        for argument in [*arguments[1:], "--help"]
        if argument.startswith("--")
    }
    assert len(shown) > 15
    for command, option in sorted(shown):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert option in capsys.readouterr().out, command


def commands(script: str) -> Iterator[list[str]]:
    """Yield the commands of a script of single lines; a program in `.venv/bin` is called by its name."""
    for line in script.splitlines():
        if words := shlex.split(line, comments=True):
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


Names = Mapping[str, Any]


def higgs_files() -> Names:
    """A checkpoint, two files that others exported, events."""
    family = load_family("charged_higgs_particlenet")
    save_checkpoint(Path("trained.pt"))
    events = family.collate(family.sample({"events": 4, "particles": 12}, 3), "flat")
    np.savez("events.npz", **events)
    network = family.deployable({"hidden": 16}, "flat").eval()
    network.load_state_dict(torch.load("trained.pt", weights_only=True)["model_state_dict"])
    names = ["x", "edge_index", "graph_input", "batch"]
    example = tuple(torch.from_numpy(events[name]) for name in names)
    nodes, edges, count = (torch.export.Dim(name, min=2, max=640) for name in ("nodes", "edges", "events"))
    free = ({0: nodes}, {1: edges}, {0: count}, {0: nodes})
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), "old.pt")
    for name in ("shipped.onnx", "new.onnx"):
        torch.onnx.export(network, example, name, dynamo=True, dynamic_shapes=free, input_names=names, verbose=False)
    return {}


def text_classifier() -> Names:
    """A checkpoint of a byte CNN."""
    family = load_family("bytecnn")
    torch.save(family.reference(family.hyperparameters).state_dict(), "toxicity.pth")
    return {}


def network_in_memory() -> Names:
    """A network, and events that it takes."""
    return {"network": nn.Linear(16, 3), "events": torch.randn(8, 16)}


def toy_jets() -> Names:
    """Columns of jets."""
    return {"columns": jet_toys.mixed(50, seed=1)}


def no_files() -> Names:
    """Nothing."""
    return {}


FILES: Mapping[str, Callable[[], Names]] = {
    "README.md": network_in_memory,
    "docs/by-hand.md": higgs_files,
    "docs/compare.md": higgs_files,
    "docs/edge.md": text_classifier,
    "docs/formats.md": no_files,
    "docs/install.md": no_files,
    "docs/jets.md": toy_jets,
    "docs/python-api.md": no_files,
}
"""What makes the files that the blocks of a page name, and returns the variables that they use."""
NEEDS = {"docs/python-api.md": "lightning"}
WRITTEN = {
    "README.md": {"tagger.onnx", "my-analysis"},
    "docs/by-hand.md": {"outputs.npz", "shipped"},
    "docs/compare.md": {"old.pt", "new.onnx"},
    "docs/edge.md": {"toxicity.json", "toxicity_weights.py", "toxicity.hpp"},
    "docs/formats.md": set(),
    "docs/install.md": {"my-analysis", "my-taggers"},
    "docs/jets.md": {"toys.root"},
    "docs/python-api.md": {
        *("tagger.onnx", "detector.exported.pt2", "tagger.pt", "lightning.pt", "lightning.onnx"),
        *("tagger.ckpt", "from_checkpoint.onnx", "from_checkpoint.pt"),
    },
}
"""What is there afterwards."""


def test_pages_whose_blocks_run_here_are_known() -> None:
    assert set(FILES) == {block.page for block in BLOCKS if runs_here(block)} == set(WRITTEN)


@pytest.mark.parametrize("page", list(FILES))
def test_blocks_of_a_page_run_one_after_the_other(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (needed := NEEDS.get(page)) and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in on_page(page) if runs_here(block)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = FILES[page]()
        for block in blocks:
            for program, *arguments in commands(block.code) if block.language in SHELL else ():
                assert program == "modelferry", f"{block}: say why it is not run"
                assert main(arguments) == 0, f"{block}: {arguments}"
        python = "\n".join(block.code for block in blocks if block.language == "python")
        Path("page.py").write_text(python)  # a file: scripting reads the source of `forward`
        runpy.run_path("page.py", init_globals=dict(names), run_name="page")
    assert {path.name for path in tmp_path.iterdir()} >= WRITTEN[page]


def test_tables_of_options_name_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    for page, command in (("compare.md", "compare"), ("by-hand.md", "export")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known = capsys.readouterr().out
        rows = re.findall(r"^\| `(--[^`]*)`", (ROOT / "docs" / page).read_text(), re.MULTILINE)
        assert rows
        for option in re.findall(r"--[\w-]+", " ".join(rows)):
            assert option in known
