"""What this machine and its installed packages are, for the records; imports nothing heavy."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modelferry.records import Environment
from modelferry.version import __version__

PACKAGES = ("torch", "torch_geometric", "numpy", "onnx", "onnxscript", "onnxruntime", "snakemake", "uproot")


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those `packages` that are installed, without importing them."""
    versions = {package: _version(package) for package in packages}
    return {package: found for package, found in versions.items() if found is not None}


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


def isa() -> str:
    """Return the widest vector instruction set of this CPU that PyTorch and its compiler know by name."""
    flags = _cpu_flags()
    for name, needed in (
        ("avx512_vnni", {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}),
        ("avx512", {"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
        ("avx2", {"avx2", "fma"}),
    ):
        if needed <= flags:
            return name
    return platform.machine()


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
