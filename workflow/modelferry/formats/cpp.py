"""C++: one header of C++17, weights as `constexpr`, with a `predict` of its own and no dependency."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core.contract import Contract
from modelferry.core.digests import sha256_of_file
from modelferry.core.environment import compiler
from modelferry.core.errors import ArtifactError
from modelferry.formats import Runner
from modelferry.formats.codegen import FACTS
from modelferry.formats.codegen.base import SourceFormat
from modelferry.formats.codegen.source_template import constant, identifier

if TYPE_CHECKING:
    import numpy as np

    from modelferry.formats.codegen.layer_graph import Description

FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror")
SNIPPET = """\
#include "$path"

#include <iostream>

int main() {
  std::cout << $namespace::predict($example) << std::endl;
}"""


class Cpp(SourceFormat):
    """A header; the contract is its constant `contract`, and the network's name its namespace."""

    name = "cpp"
    extension = "hpp"
    runtimes = ("compiled",)
    snippets = {"C++": SNIPPET}

    def unavailable(self) -> str:
        """Ask for a C++ compiler, without which a header can be written but not validated."""
        missing = f"format cpp needs a C++ compiler to be validated, and there is no '{compiler()}'; apt install g++"
        return "" if shutil.which(compiler()) else missing

    def body(self, description: Description, contract: Contract) -> str:
        """Return the header with slots."""
        from modelferry.formats.codegen.cpp_header import header_body

        return header_body(description, contract)

    def literals(self, name: str, values: np.ndarray) -> dict[str, str]:
        """Return braced numbers of type float, axes as they are and, for another slot, in reverse."""
        from modelferry.formats.codegen.cpp_header import OUTPUTS_LAST, braced

        return {
            constant(name): braced(values),
            constant(OUTPUTS_LAST + name): braced(values.T),
        }

    def facts(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return strings, and the name as an identifier."""
        from modelferry.formats.codegen.cpp_header import quoted

        known = {name: quoted(given.get(name, "")) for name in FACTS}
        plain = identifier(given["name"])
        return {**known, "identifier": plain, "guard": f"{plain.upper()}_HPP"}

    def load(self, path: Path, threads: int) -> Runner:
        """Run the compiled header in a process of its own, on one thread."""
        from modelferry.formats.codegen.worker_process import Worker

        return Worker([str(self.prepare(path))], path)

    def prepare(self, path: Path) -> Path:
        """Compile a program around the header and return it; once for each content of a file in this process."""
        if not path.is_file():
            raise ArtifactError(f"{path} is missing", "export it")
        if reason := self.unavailable():
            raise ArtifactError(reason)
        return _compiled(path.resolve(), sha256_of_file(path))


@cache
def _programs() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of compiled programs, which goes with this process."""
    return tempfile.TemporaryDirectory(prefix="modelferry-compiled-")


@cache
def _compiled(path: Path, digest: str) -> Path:
    from modelferry.formats.codegen.cpp_program import program

    folder = Path(_programs().name)
    source, out = folder / f"{digest}.cpp", folder / digest
    source.write_text(program(path))
    command = [compiler(), *FLAGS, str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "the compiler failed")
        raise ArtifactError(f"{path} does not compile: {reason}", "export it again, or by another name")
    return out


FORMAT = Cpp()
