"""Python: a module of the standard library alone, weights as constants, with a `predict` of its own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core.contract import Contract
from modelferry.core.errors import ArtifactError
from modelferry.formats import Runner
from modelferry.formats.codegen import FACTS
from modelferry.formats.codegen.base import SourceFormat
from modelferry.formats.codegen.source_template import constant

if TYPE_CHECKING:
    import numpy as np

    from modelferry.formats.codegen.layer_graph import Description

SNIPPET = """\
import runpy

predict = runpy.run_path("$path")["predict"]  # or put it beside your code, and import it
print(predict($example))"""


class Python(SourceFormat):
    """A module; the contract is its constant `CONTRACT`."""

    name = "python"
    extension = "py"
    runtimes = ("python",)
    snippets = {"Python": SNIPPET}

    def body(self, description: Description, contract: Contract) -> str:
        """Return the module with slots."""
        from modelferry.formats.codegen.python_module import module_body

        return module_body(description, contract)

    def literals(self, name: str, values: np.ndarray) -> dict[str, str]:
        """Return a string of nested lists."""
        from modelferry.formats.codegen.python_module import quoted

        return {constant(name): quoted(values.tolist())}

    def facts(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return strings, None for what is unknown, and the accuracy as a number."""
        known = {name: json.dumps(given[name]) if name in given else "None" for name in FACTS}
        return {**known, "accuracy": given.get("accuracy", "None")}

    def file_name(self, stem: str) -> str:
        """Return the name that pinybytecnn's exporter gives, which can be imported."""
        return re.sub(r"\W", "_", stem) + "_weights.py"

    def load(self, path: Path, threads: int) -> Runner:
        """Import the module in a fresh interpreter that finds the standard library only; it uses one thread."""
        return run_python(path)


def run_python(path: Path) -> Runner:
    """Run a module or a JSON file in a fresh interpreter that finds the standard library only."""
    from modelferry.formats.codegen import python_runtime, worker  # noqa: F401 - what the interpreter will run
    from modelferry.formats.codegen.worker_process import Worker

    if not path.is_file():
        raise ArtifactError(f"{path} is missing", "export it")
    return Worker([sys.executable, "-I", "-S", "-B", worker.__file__, str(path)], path)


FORMAT = Python()
