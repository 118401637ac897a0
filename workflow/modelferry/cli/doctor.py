"""What this machine can do: versions, compilers, runtimes, and what to install for the rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import requires

from packaging.requirements import Requirement

from modelferry.core import installation
from modelferry.core.environment import describe, installed
from modelferry.families import family_names
from modelferry.formats import format_names, load_format
from modelferry.runtimes import load_runtime, runtime_names

TOOLS = {"g++": "apt install g++, to compile artifacts and the C++ runtime", "make": "apt install make"}


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
    extras = purposes()
    findings = [
        Finding("machine", True, True, f"{machine.cpu}, {machine.isa}, {machine.cores} cores, {machine.platform}"),
        Finding("Python", True, False, machine.python),
        _files(),
    ]
    for text in requires("modelferry") or ():
        requirement = Requirement(text)
        extra = next((extra for extra in extras if _is_asked(requirement, extra)), "")
        if extra or _is_asked(requirement, ""):
            findings.append(_package(requirement, extras.get(extra, "")))
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


def _files() -> Finding:
    lacking = installation.lacking()
    detail = f"{installation.ROOT} lacks {', '.join(lacking)}: install modelferry again"
    return Finding("workflow", not lacking, False, detail if lacking else str(installation.SNAKEFILE))


def purposes() -> dict[str, str]:
    """Return what optional dependencies are for: a family, a format or a runtime if they have its name."""
    kinds = {"family": family_names(), "format": format_names(), "runtime": runtime_names()}
    return {"workflow": "to run the workflow"} | {name: f"for {kind} {name}" for kind in kinds for name in kinds[kind]}


def _is_asked(requirement: Requirement, extra: str) -> bool:
    """Return whether an extra asks for a requirement; the extra ``""``, whether the package itself does."""
    if requirement.marker is None:
        return not extra
    return requirement.marker.evaluate({"extra": extra}) and not (extra and requirement.marker.evaluate({"extra": ""}))


def _package(requirement: Requirement, purpose: str) -> Finding:
    name, version = requirement.name, installed([requirement.name]).get(requirement.name)
    remedy = f"pip install '{name}{requirement.specifier}'" + (f" {purpose}" if purpose else "")
    if version is None:
        return Finding(name, False, bool(purpose), f"missing: {remedy}")
    fits = requirement.specifier.contains(version, prereleases=True)
    return Finding(name, fits, bool(purpose), version if fits else f"{version} does not fit: {remedy}")
