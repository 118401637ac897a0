"""AOTInductor: a library compiled for one kind of CPU, to run in C++ and Python at the lowest latency.

A package holds the library, the sources that it was compiled from, and the weights as one file, each at a multiple of
64 bytes (``torch/csrc/inductor/aoti_runtime/model_base.h``). Filling replaces that file; nothing is compiled again.

Matrix products with weights are compiled too (Inductor's C++ templates), with bias and activation inside. Their kernels
keep a block of the result in registers, two to three times as fast as the library that PyTorch calls on AMD CPUs.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pydantic import BaseModel, ConfigDict

from modelferry.comparison.side import Declared, Side
from modelferry.core import environment
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError
from modelferry.formats import Format, Runner
from modelferry.formats.shared.pt2_archive import (
    CONTRACT,
    EXTRA,
    WEIGHTS,
    Kind,
    entries_of,
    is_of_kind,
    read_archive,
    read_entries,
    write_archive,
)
from modelferry.formats.shared.snippets import python_torch
from modelferry.formats.shared.weight_offsets import Constant, WeightOffsets, find_offsets
from modelferry.formats.shared.weight_slots import WeightSlots, distinct_copy, raw_bytes

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

OFFSETS = f"{EXTRA}weight_offsets"
TARGET = f"{EXTRA}target.json"
ALIGNMENT = 64
SETTINGS = {
    # A constant of up to 8 elements would become a literal in the code and keep the template's value.
    "always_keep_tensor_constants": True,
    "aot_inductor.package_constants_on_disk_format": "binary_blob",
    # Loops without OpenMP: each takes microseconds, and the code must not depend on the cores of this machine.
    "cpp.threads": 1,
    # Line tables double the size of the library; a precompiled header pays from the second compilation on.
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.precompile_headers": False,
    # Store what several operators read and takes more than 8 operations, instead of 50, to compute anew for each of
    # them: the biases of attention end in a GELU, and eight blocks read them. Other networks are as fast as before.
    "realize_opcount_threshold": 8,
    "max_autotune_gemm": True,
    "max_autotune_gemm_backends": "ATEN,CPP",
}
"""Inductor's settings; higher optimisation levels and temporaries on the stack were tried and made nothing faster."""
INSTRUCTIONS = {
    "avx512_vnni": {"cpp.simdlen": 512, "cpp.march": "x86-64-v4", "cpp.vec_isa_ok": True},
    "avx512": {"cpp.simdlen": 512, "cpp.march": "x86-64-v4", "cpp.vec_isa_ok": True},
    "avx2": {"cpp.simdlen": 256, "cpp.march": "x86-64-v3", "cpp.vec_isa_ok": True},
}
"""Settings by instruction set: no ``-march=native``, whose code runs on this very CPU and perhaps on no other.

`vec_isa_ok`: Inductor would first compile and load a program for each instruction set, which takes 7 s in all, to find
out whether the compiler takes it. The package is compiled with the same flags: where that program fails, so does it.
"""
INLINE = "--param=max-inline-insns-single=100000"
"""GCC gives up inlining in the largest matrix kernel, then stores its accumulators to memory at each step: 3 × slower.

Inductor has no setting for compiler flags; this one rides on ``-march``.
"""


class Target(BaseModel):
    """What a package was compiled for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    isa: str
    torch: str


_LOADING = threading.Lock()
"""While a package loads, PyTorch's module is patched."""

CPP_SNIPPET = """\
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <iostream>

int main() {
  c10::InferenceMode inference;
  torch::inductor::AOTIModelPackageLoader network("$path");
$inputs
  const torch::Tensor $first = network.run({$arguments})[0];
$scores
}"""


class AOTInductor(Format):
    """An archive of ``torch._inductor.aoti_compile_and_package``.

    The contract is its extra file `contract.json`, and `contract` of ``AOTIModelPackageLoader::get_metadata``.
    """

    name = "aotinductor"
    extension = "aoti.pt2"
    runtimes = ("pytorch", "cpp")
    packages = ("torch",)
    loads = ("torch._inductor.package",)
    snippets = {"Python": python_torch('torch._inductor.aoti_load_package("$path")'), "C++": CPP_SNIPPET}
    options = {"isa": ("native", "avx2")}

    def unavailable(self) -> str:
        """Ask for a C++ compiler, and for a PyTorch whose folder the linker can be given."""
        if not shutil.which(compiler := environment.compiler()):
            return f"format aotinductor needs a C++ compiler, and there is no '{compiler}'; apt install g++"
        torch = find_spec("torch")
        if torch is not None and len(str(torch.origin).split()) > 1:  # PyTorch does not quote it
            reason = f"format aotinductor cannot link with {torch.origin}, since its path has blanks"
            return f"{reason}; install PyTorch in a folder without"
        return ""

    def built_for(self, options: Mapping[str, Any]) -> str:
        """Return the instruction set; native is what this CPU has, or what was chosen for all machines of a run."""
        return environment.native_isa() if options["isa"] == "native" else str(options["isa"])

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Compile for ``options["isa"]``, as `built_for` says, and write with all weights zero."""
        if reason := self.unavailable():
            raise ArtifactError(reason)
        from modelferry.formats.shared.program import export_program, read_weights

        program = export_program(distinct_copy(deployable), contract, example)
        slots = WeightSlots.of(program.state_dict, read_weights(program))
        target = Target(isa=self.built_for(options), torch=_torch_version())
        entries = _compiled(program, target.isa)
        weights = {name: program.state_dict[name] for name in slots.read}
        blob = entries[_blob(entries)]
        offsets = find_offsets(blob, _constants(entries, program, slots), weights)
        entries[_blob(entries)] = offsets.fill({name: tensor.zero_() for name, tensor in weights.items()}, blob)
        facts = {"contract": contract.model_dump_json(), "isa": target.isa, "torch": target.torch}
        for name in [name for name in entries if name.endswith("_metadata.json")]:
            entries[name] = json.dumps({**json.loads(entries[name]), **facts}).encode()
        extra = {
            CONTRACT: contract.model_dump_json(),
            WEIGHTS: slots.model_dump_json(),
            TARGET: target.model_dump_json(),
        }
        texts = {name: text.encode() for name, text in extra.items()}
        write_archive({**entries, **texts, OFFSETS: offsets.dump()}, out)

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Write the weights at their offsets in the package's weight file."""
        entries = read_archive(template, Kind.PACKAGE)
        slots = WeightSlots.model_validate_json(entries[WEIGHTS])
        slots.check(weights, template)
        given = {name: weights[name] for name in slots.read}
        entries[_blob(entries)] = WeightOffsets.load(entries[OFFSETS]).fill(given, entries[_blob(entries)])
        extra = {EXTRA + name: text.encode() for name, text in metadata.items()}
        write_archive({**entries, **extra}, out)

    def read_weights(self, path: Path) -> dict[str, bytes]:
        """Return the parts of the package's weight file in which the graph finds its weights."""
        entries = read_archive(path, Kind.PACKAGE)
        slots = WeightSlots.model_validate_json(entries[WEIGHTS])
        sizes = {name: slots.root[name].bytes for name in slots.read}
        return WeightOffsets.load(entries[OFFSETS]).read(sizes, entries[_blob(entries)])

    def recognises(self, path: Path) -> bool:
        """Return whether a file is an archive that holds a compiled library."""
        return is_of_kind(path, Kind.PACKAGE)

    def open(self, path: Path, threads: int) -> Side:
        """Open any package; one of others tells how many inputs it takes, and neither names nor sizes."""
        if CONTRACT in entries_of(path):
            return super().open(path, threads)
        import torch

        from modelferry.formats.shared.runner import on_any_tensors

        torch.set_num_threads(threads)
        package = _package(path)
        positional, by_name = json.loads(package.loader.get_call_spec()[0])[1]["children_spec"]
        if by_name["children_spec"]:
            raise ArtifactError(f"{path} takes inputs by keyword", "compile the network with `args` only")
        inputs = tuple(Declared(f"input_{index}") for index, _ in enumerate(positional["children_spec"]))
        run = on_any_tensors(package, [tensor.name for tensor in inputs])
        return Side(str(path), run, inputs, named=False)

    def load(self, path: Path, threads: int) -> Runner:
        """Load with PyTorch's own loader, if the package was made for this CPU and this PyTorch.

        The compiled loops run on one thread; `threads` is for matrix products.
        """
        entries = read_entries(path, Kind.PACKAGE, CONTRACT, TARGET)
        contract = Contract.model_validate_json(entries[CONTRACT])
        _check_target(path, Target.model_validate_json(entries[TARGET]))
        import torch

        from modelferry.formats.shared.runner import on_tensors

        torch.set_num_threads(threads)
        package = _package(path)
        return on_tensors(lambda inputs: package(*inputs), contract)


def _package(path: Path) -> Any:
    """Load with PyTorch's own loader.

    It is spared the search for this machine's instruction sets, for which it would start five programs, 2 s in all, to
    warn of what `_check_target` refuses.
    """
    import torch._inductor.codecache

    try:
        with _LOADING, mock.patch("torch._inductor.codecache.get_device_information", return_value={}, create=True):
            return torch._inductor.aoti_load_package(str(path))
    except RuntimeError as error:
        raise ArtifactError(f"{path} does not load: {str(error).splitlines()[0]}", "export it again") from error


def _torch_version() -> str:
    """Return the version without its build (``+cpu``), which does not matter on the CPU."""
    return environment.installed(["torch"]).get("torch", "").partition("+")[0]


def _check_target(path: Path, target: Target) -> None:
    if not environment.runs(target.isa):
        reason = f"{path} was compiled for {target.isa}, and this CPU has {environment.isa()}"
        raise ArtifactError(reason, "build the template on this kind of machine, or with `isa: avx2`")
    if target.torch != _torch_version():
        reason = f"{path} was compiled with PyTorch {target.torch}, and this is {_torch_version()}"
        raise ArtifactError(reason, "run with that version or build the template again")


def _compiled(program: ExportedProgram, isa: str) -> dict[str, bytes]:
    """Compile in an empty cache, so that nothing of an earlier compilation is used again."""
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.exc import CppCompileError
    from torch._inductor.utils import fresh_cache

    settings = {**SETTINGS, **INSTRUCTIONS.get(isa, {})}
    if "cpp.march" in settings and _is_gcc():
        settings["cpp.march"] = f"{settings['cpp.march']} {INLINE}"
    with tempfile.TemporaryDirectory(prefix="modelferry-aoti-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        package = Path(folder) / "model.pt2"
        try:
            with fresh_cache(dir=folder), _compiled_products(program):
                aoti_compile_and_package(program, package_path=str(package), inductor_configs=settings)
        except CppCompileError as error:
            lines = str(error).splitlines()
            reason = next((line for line in lines if "error:" in line), lines[0])
            raise ArtifactError(f"the C++ compiler failed: {reason}", "see `modelferry doctor`") from error
        return read_archive(package, Kind.PACKAGE)


@contextmanager
def _compiled_products(program: ExportedProgram) -> Iterator[None]:
    """Choose a compiled kernel for each matrix product that there is one for, instead of timing it on this machine.

    But not for one that may have no rows: there the kernels divide by zero.
    """
    from torch._inductor import select_algorithm

    may_be_none = {str(size) for size, limits in program.range_constraints.items() if limits.lower < 1}

    def compiled(choices: list[Any]) -> list[Any]:
        sizes = {str(symbol) for size in choices[0].layout.size for symbol in getattr(size, "free_symbols", ())}
        wanted = sizes.isdisjoint(may_be_none)
        return [choice for choice in choices if choice.name.startswith("cpp_") == wanted] or choices

    select_algorithm.add_preprocessing_fn(compiled)
    try:
        yield
    finally:
        select_algorithm.clear_preprocessing_fns()


def _is_gcc() -> bool:
    from torch._inductor.cpp_builder import is_gcc

    return bool(is_gcc())


def _constants(entries: Mapping[str, bytes], program: ExportedProgram, slots: WeightSlots) -> list[Constant]:
    """Return the weights in the weight file and what the compiler made of them.

    The compiled source lists all constants in the order of the file.
    """
    source = next(data for name, data in entries.items() if name.endswith(".wrapper.cpp")).decode()
    fields: dict[int, dict[str, str]] = defaultdict(dict)
    for number, field, value in re.findall(r"constants_info_\[(\d+)\]\.(\w+) = (.*);", source):
        fields[int(number)][field] = value
    constants, end, blob = [], 0, entries[_blob(entries)]
    fixed = {data.ljust(-(-len(data) // ALIGNMENT) * ALIGNMENT, b"\0") for data in _fixed(program, slots)}
    for number in sorted(fields):
        name, size = json.loads(fields[number]["original_fqn"]), int(fields[number]["data_size"])
        stop = end + -(-size // ALIGNMENT) * ALIGNMENT
        # The compiler may call what is not a weight by another name than the program does.
        if name in slots.root or blob[end:stop] not in fixed:
            constants.append(Constant(name if name in slots.read else "", end, end + size))
        end = stop
    if end != len(blob):
        raise ArtifactError(f"the weight file has {len(blob)} bytes instead of {end}", "report this version of PyTorch")
    return constants


def _fixed(program: ExportedProgram, slots: WeightSlots) -> Iterator[bytes]:
    """Yield the values of the program's tensors that are no weights."""
    import torch

    for name, value in program.constants.items():
        if name not in slots.root and isinstance(value, torch.Tensor):
            yield raw_bytes(value)


def _blob(entries: Mapping[str, bytes]) -> str:
    return next(name for name in entries if name.startswith(Kind.PACKAGE.value) and name.endswith("_weights.blob"))


FORMAT = AOTInductor()
