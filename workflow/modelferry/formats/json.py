"""JSON: a byte CNN as numbers with names, to be read by whatever runs at the edge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core.contract import Contract
from modelferry.core.errors import ArtifactError, CheckpointError
from modelferry.formats import Runner
from modelferry.formats.codegen import FACTS
from modelferry.formats.codegen.base import SourceFormat
from modelferry.formats.codegen.source_template import constant

if TYPE_CHECKING:
    import numpy as np
    from pydantic import BaseModel

    from modelferry.formats.codegen.layer_graph import Description

SNIPPET = """\
import json

with open("$path") as file:
    network = json.load(file)
print(network["model_info"], network["architecture"], network["weights"].keys())
# the generated module of format python shows how to compute with it"""


class Json(SourceFormat):
    """A file of `model_info`, `architecture`, `contract` and `weights`; its schema is `bytecnn.schema.json`."""

    name = "json"
    extension = "bytecnn.json"  # beside a template stands its record, template.json
    runtimes = ("python",)
    snippets = {"Python": SNIPPET}

    def body(self, description: Description, contract: Contract) -> str:
        """Return the file with slots; raise `ArtifactError` unless the network is a byte CNN."""
        from modelferry.formats.codegen.json_file import file_body

        if description.text is None:
            raise ArtifactError("format json holds byte CNNs only, and this network reads no text", "use python or cpp")
        return file_body(description, contract)

    def literals(self, name: str, values: np.ndarray) -> dict[str, str]:
        """Return nested arrays."""
        return {constant(name): json.dumps(values.tolist(), separators=(",", ":"))}

    def facts(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return strings, null for what is unknown, and the accuracy as a number."""
        known = {name: json.dumps(given.get(name)) for name in FACTS}
        return {**known, "accuracy": given.get("accuracy", "null")}

    def file_name(self, stem: str) -> str:
        """Return the name that pinybytecnn's exporter gives."""
        return f"{stem}.json"

    def recognises(self, path: Path) -> bool:
        """Return whether a file has our contract; without one, it is a checkpoint of others."""
        if path.suffix != ".json":
            return False
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            return False
        return isinstance(content, dict) and "contract" in content

    def schemas(self) -> dict[str, type[BaseModel]]:
        """Return the model of the file."""
        from modelferry.families.bytecnn.json_file import ByteCnnFile

        return {"bytecnn": ByteCnnFile}

    def load(self, path: Path, threads: int) -> Runner:
        """Check the file, and evaluate it in a fresh interpreter that finds the standard library only."""
        from modelferry.families.bytecnn.json_file import read_file
        from modelferry.formats.python import run_python

        try:
            read_file(path)
        except CheckpointError as error:
            raise ArtifactError(str(error)) from error
        return run_python(path)


FORMAT = Json()
