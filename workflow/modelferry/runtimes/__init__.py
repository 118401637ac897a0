"""Runtimes: what executes an artifact. One file each; this is the protocol that they follow.

A format names the runtimes that its artifacts are for, the one of its own `load` first. A runtime knows whether this
machine has it, and how artifacts are loaded and timed there. A user's own is a class at ``package.module:Class``.
"""

from __future__ import annotations

import importlib
import time
from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar

from modelferry.core.contract import Arrays
from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.core.import_path import kind_and_version, module_of, own_instance
from modelferry.formats import Format, Runner, load_format, opening


@dataclass(frozen=True)
class ColdStart:
    """What it takes until the first result; the runtime's own library is loaded before the clock starts."""

    load_ms: float
    first_call_ms: float
    peak_memory_mb: float


def _guarded(load: Callable[..., Runner]) -> Callable[..., Runner]:
    @wraps(load)
    def guarded(self: Runtime, target: Format, path: Path, threads: int) -> Runner:
        with opening(target.files(path)):
            return load(self, target, path, threads)

    return guarded


class Runtime(ABC):
    """A library that executes artifacts; by default one that Python imports.

    A runtime module imports nothing heavy at its top, since Snakemake reads these facts at every start.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every runtime open artifacts as formats do."""
        super().__init_subclass__(**kwargs)
        if "load" in vars(cls):
            cls.load = _guarded(vars(cls)["load"])  # type: ignore[method-assign]

    name: ClassVar[str]
    """A word that makes file names: lower-case letters, digits and underscores."""
    library: ClassVar[str]
    """The module to import before a cold start is timed; empty if there is none."""

    def unavailable(self) -> str:
        """Return what this machine lacks, and the remedy; empty if nothing."""
        return ""

    def files(self) -> tuple[str, ...]:
        """Return what the workflow has to make before it can execute anything."""
        return ()

    def load(self, target: Format, path: Path, threads: int) -> Runner:
        """Load an artifact of a format; by default as the format does. Raise `ArtifactError` if it does not load."""
        return target.load(path, threads)

    def timed(self, run: Runner, inputs: Arrays) -> tuple[Arrays, float]:
        """Call what was loaded here; return the outputs, and the seconds that the call took in the runtime."""
        started = time.perf_counter()
        outputs = run(inputs)
        return outputs, time.perf_counter() - started

    def of_version(self, version: str) -> Runtime:
        """Return the runtime in another version than the installed one; raise `ConfigError` if that cannot be had."""
        raise ConfigError(f"runtime {self.name} is had as it is installed only", f"write {self.name}")

    def cold_start(self, path: Path, threads: int, inputs: Arrays) -> ColdStart | None:
        """Load and call once in a process of the runtime's own; None if the runtime has none."""
        return None


@cache
def runtime_names() -> tuple[str, ...]:
    """Return the names of all runtimes: the modules of this package."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))


def runtime_module(name: str) -> str:
    """Return the module that defines a runtime; raise `ConfigError` for an unknown name."""
    kind, _ = kind_and_version(name)
    return module_of(kind, "runtime", runtime_names(), f"{__name__}.{kind}")


@cache
def load_runtime(name: str) -> Runtime:
    """Return the runtime called `name`, or ``name@version``, or an instance of the user's ``package.module:Class``."""
    kind, version = kind_and_version(name)
    if version:
        return load_runtime(kind).of_version(version)
    module = runtime_module(name)
    own = ":" in name
    runtime: Runtime = (
        own_instance(name, "runtime", Runtime, runtime_names()) if own else importlib.import_module(module).RUNTIME
    )
    return runtime


@cache
def lacking(runtime: str) -> str:
    """Return what this machine lacks for a runtime, and the remedy; empty if nothing."""
    return load_runtime(runtime).unavailable()


@cache
def paths_of(format_name: str) -> Mapping[str, str]:
    """Return the runtimes of a format by name, as `load_runtime` takes them; raise `ConfigError` if two are alike."""
    target = load_format(format_name)
    runtimes = {load_runtime(runtime).name: runtime for runtime in target.runtimes}
    if len(runtimes) < len(target.runtimes) or not runtimes:
        raise ConfigError(f"format '{format_name}' has the runtimes {target.runtimes}", "name each once, one at least")
    return runtimes


def runtimes_of(format_name: str) -> tuple[str, ...]:
    """Return the names of a format's runtimes that this machine has."""
    return tuple(name for name, path in paths_of(format_name).items() if not lacking(path))


def runtime_of(format_name: str, runtime: str) -> Runtime:
    """Return the runtime of a format that is called `runtime`; raise `ConfigError` if the format has none."""
    known = paths_of(format_name)
    if runtime not in known:
        raise ConfigError(f"format {format_name} does not run in '{runtime}'", did_you_mean(runtime, known))
    return load_runtime(known[runtime])


def load_in(format_name: str, runtime: str, path: Path, threads: int) -> Runner:
    """Load an artifact of a format in one of its runtimes."""
    return runtime_of(format_name, runtime).load(load_format(format_name), path, threads)
