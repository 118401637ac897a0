"""Files are opened for reading in one place: where another module does, it says why nothing hostile comes in there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelferry

ROOT = Path(modelferry.__file__).parent
READERS = {
    "read_text", "read_bytes", "safe_load", "open", "ZipFile", "ParquetFile", "load_file", "InferenceSession",
    "run_path", "aoti_load_package", "fromfile", "loadtxt", "read_table",
}  # fmt: skip
LOADS = {
    "np.load", "torch.load", "torch.jit.load", "torch.export.load", "json.load", "pickle.load", "pickle.loads",
    "onnx.load",
}  # fmt: skip
CHECKED = {"read_text", "read_bytes"}
"""Functions of `core.reading`; the methods of paths have something before the dot."""
ALLOWED = {
    "core/reading.py": "this is the place",
    "core/digests.py": "reads bytes, and interprets none",
    "core/environment.py": "/proc/cpuinfo",
    "core/running.py": "locks, and /proc/locks",
    "core/known_files.py": "its own file",
    "core/job_server.py": "/proc",
    "cli/init.py": "files of the package, and new ones",
    "cli/server.py": "/proc",
    "launcher.py": "the working folder, to hand it over",
    "core/files.py": "writes",
    "core/errors.py": "appends to a log",
    "core/file_kinds.py": "64 bytes after is_file, and the names in an archive",
    "core/expected.py": "after regular_file",
    "stages/release/sums.py": "after regular_file",
    "stages/report/html_page.py": "files of the package, and figures that the report has drawn",
    "checkpoints/shapes.py": "after regular_file, for the one reader of checkpoints",
    "checkpoints/reader.py": "after read_content",
    "families/shared/npz_file.py": "within reading_events",
    "families/shared/root_file.py": "within reading_events",
    "families/jets/jetclass.py": "within reading_events",
    "formats": "within `opening`: load, read_weights and layers of every format are",
    "runtimes": "within `opening`: load of every runtime is",
    "api/lightning_mixin.py": "what was written a moment ago",
    "api/torchscript.py": "after is_file; TorchScript is a program all the same",
    "demo": "what the workflow wrote: checked at its start",
    "testing": "what the tests wrote",
    "stages/embeddings": "what the workflow wrote: checked at its start",
    "stages/validation/recording.py": "after regular_file",
    "stages/report/stage.py": "its own pages",
    "plan/code_digest.py": "modules, which are imported too",
    "plan/leftovers.py": "what the workflow wrote: this is the check",
    "plan/start.py": "a lock",
    "plan/nested.py": "what a Snakemake of its own wrote a moment ago",
    "cli/chunk.py": "appends to a log",
    "cli/console.py": "appends to the file that --logger-modelferry-jobs names",
    "cli/job_log.py": "logs of jobs, which are text whatever they hold",
    "cli/main.py": "/dev/null",
    "stages/comparison/sides.py": "a format's `open`, which is within `opening`",
}
"""Modules, or folders of them, that open files themselves, and why."""


def opens(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each call that reads a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in LOADS or (name.rpartition(".")[2] in READERS and name not in CHECKED):
                yield node.lineno, name


def unexplained(file: str, source: str) -> list[str]:
    if any(file == known or file.startswith(f"{known}/") for known in ALLOWED):
        return []
    return [f"{file}:{line}: {name}: use core/reading.py, or say in ALLOWED why not" for line, name in opens(source)]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_opened_where_they_are_checked(path: Path) -> None:
    assert unexplained(path.relative_to(ROOT).as_posix(), path.read_text()) == []


def test_a_file_that_is_opened_elsewhere_is_found() -> None:
    assert unexplained("records/x.py", "import json\nx = json.loads(Path('a').read_text())")
    assert unexplained("config/x.py", "import torch\ntorch.load('a')")


def test_every_exception_is_still_needed() -> None:
    for known in ALLOWED:
        files = [ROOT / known] if known.endswith(".py") else list((ROOT / known).rglob("*.py"))
        assert any(list(opens(file.read_text())) for file in files), f"{known}: remove it"
