"""What this machine can do: versions, compilers, runtimes, and what to install for the rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from modelferry.environment import describe, installed
from modelferry.formats import format_names, load_format
from modelferry.runtimes import load_runtime, runtime_names

REQUIRED = (
    *("torch", "torch_geometric", "onnx", "onnxscript", "onnxruntime"),
    *("numpy", "uproot", "pydantic", "matplotlib", "scikit-learn"),
)
OPTIONAL = {"snakemake": "pip install 'snakemake>=9.27,<9.28' to run the workflow"}
TOOLS = {"g++": "apt install g++ for format aotinductor and runtime cpp", "make": "apt install make"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    what: str
    fine: bool
    optional: bool
    detail: str


def examine() -> list[Finding]:
    """Look for everything that some part of modelferry needs."""
    machine = describe()
    findings = [
        Finding("machine", True, True, f"{machine.cpu}, {machine.isa}, {machine.cores} cores, {machine.platform}"),
        Finding("python", True, False, machine.python),
    ]
    versions = installed([*REQUIRED, *OPTIONAL])
    for package in REQUIRED:
        found = versions.get(package)
        findings.append(Finding(package, found is not None, False, found or f"missing: pip install {package}"))
    for package, remedy in OPTIONAL.items():
        found = versions.get(package)
        findings.append(Finding(package, found is not None, True, found or f"missing: {remedy}"))
    for tool, remedy in TOOLS.items():
        where = shutil.which(tool)
        findings.append(Finding(tool, where is not None, True, where or f"missing: {remedy}"))
    for name in format_names():
        lacking = load_format(name).unavailable()
        findings.append(Finding(f"format {name}", not lacking, True, lacking or "ready"))
    for name in runtime_names():
        reason = load_runtime(name).unavailable()
        findings.append(
            Finding(f"runtime {name}", not reason, True, f"{name}: not run ({reason})" if reason else "ready")
        )
    return findings
