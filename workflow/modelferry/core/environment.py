"""What this machine and its installed packages are, for the records; imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modelferry.core.model import Environment
from modelferry.version import __version__

PACKAGES = ("torch", "torch_geometric", "numpy", "onnx", "onnxscript", "onnxruntime", "snakemake", "uproot")

_AVX2 = frozenset({"avx2", "fma", "f16c", "bmi1", "bmi2", "movbe"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512vl", "avx512dq"}
ISAS = {"avx512_vnni": _AVX512 | {"avx512_vnni"}, "avx512": _AVX512, "avx2": _AVX2}
"""Vector instruction sets that PyTorch and its compiler know by name, widest first, with the CPU flags they need.

They are the levels v4 and v3 of x86-64, as far as ``/proc/cpuinfo`` tells.
"""

ISA = "MODELFERRY_ISA"
"""Names the instruction set that all machines of a run compile for, whatever they have."""


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those `packages` that are installed, without importing them."""
    versions = {package: _version(package) for package in packages}
    return {package: text for package, text in versions.items() if text is not None}


def describe() -> Environment:
    """Return the machine, its load, and the versions of what computes."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        cpu=_cpu_model(),
        isa=isa(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_average=round(os.getloadavg()[0], 2),
        packages={"modelferry": __version__, **installed(PACKAGES)},
    )


def commit() -> str:
    """Return the commit of the working folder, and whether anything there has changed since; empty without git."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip().replace("-dirty", ", with changes since") if found.returncode == 0 else ""


def compiler() -> str:
    """Return the command of the C++ compiler."""
    return os.environ.get("CXX", "g++")


def isa() -> str:
    """Return the widest vector instruction set of this CPU, or its architecture if it has none of `ISAS`."""
    return next((name for name in ISAS if runs(name)), platform.machine())


def native_isa() -> str:
    """Return the instruction set that `native` means: this CPU's, or the one that a run on several machines chose."""
    return os.environ.get(ISA) or isa()


def runs(isa: str) -> bool:
    """Return whether this CPU runs code made for `isa`."""
    return ISAS[isa] <= _cpu_flags() if isa in ISAS else isa == platform.machine()


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _cpu_info() -> tuple[str, frozenset[str]]:
    model, flags = platform.processor() or platform.machine(), frozenset[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = frozenset(value.split())
            elif not key.strip():
                break
    return model, flags


def _cpu_model() -> str:
    return _cpu_info()[0]


def _cpu_flags() -> frozenset[str]:
    return _cpu_info()[1]
