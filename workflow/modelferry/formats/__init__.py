"""Formats: what a deployable is exported to. One file each; this is the protocol that they follow.

A user's own format is a class at an import path, ``package.module:Class``.
"""

from __future__ import annotations

import importlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import ValidationError

from modelferry.comparison.side import Function as Function
from modelferry.comparison.side import Side, declared
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, ConfigError, ModelferryError, did_you_mean, one_line
from modelferry.core.file_kinds import in_its_place
from modelferry.core.import_path import kind_and_version, module_of, own_instance
from modelferry.core.model import Exactness
from modelferry.core.reading import regular_file

if TYPE_CHECKING:
    import torch
    from pydantic import BaseModel


@runtime_checkable
class Runner(Protocol):
    """A loaded artifact: inputs by name to outputs by name."""

    @property
    def contract(self) -> Contract:
        """What the artifact takes and returns."""

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name; raise `ContractError` for inputs outside the contract."""

    def peak_memory_mb(self) -> float | None:
        """Return the most memory that the artifact's own process has used; None if it runs in this one."""


@dataclass(frozen=True)
class CheckedRunner:
    """A runner in this process. It refuses inputs outside its contract: compiled code would read past their ends."""

    contract: Contract
    function: Function

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name; raise `ContractError` for inputs outside the contract."""
        self.contract.check(inputs)
        return self.function(inputs)

    def peak_memory_mb(self) -> None:
        """Return nothing: memory is that of this process."""


@contextmanager
def opening(files: Iterable[Path]) -> Iterator[None]:
    """Let a library open the files of an artifact: regular ones only, and whatever error it raises in one line."""
    main, *_ = paths = tuple(files)
    for path in paths:
        regular_file(path, ArtifactError, "export it")
    try:
        yield
    except ModelferryError as error:
        if said := in_its_place(main, "artifact"):
            raise ArtifactError(*said) from error
        raise
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise ArtifactError(f"{main} holds no {error.title} that can be read: {reason}", "export it again") from error
    except Exception as error:  # a damaged file can break a library anywhere
        if said := in_its_place(main, "artifact"):
            raise ArtifactError(*said) from error
        raise ArtifactError(f"{main} does not load: {one_line(error)}", "export it again") from error


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def guarded(self: Format, path: Path, *others: Any, **named: Any) -> Any:
        with opening(self.files(Path(path))):
            return method(self, path, *others, **named)

    return guarded


class Format(ABC):
    """A deployment format.

    A format module imports nothing heavy at its top, since Snakemake reads these facts at every start.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every format open artifacts as `opening` says."""
        super().__init_subclass__(**kwargs)
        for name in ("load", "open", "read_weights", "layers"):
            if name in vars(cls):
                setattr(cls, name, _guarded(vars(cls)[name]))

    name: ClassVar[str]
    """A word that makes file names and names of rules: lower-case letters, digits and underscores."""
    extension: ClassVar[str]
    """What the main file's name ends in, without the first dot."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Extensions of further files of an artifact, which lie beside the main one and have the same stem."""
    runtimes: ClassVar[tuple[str, ...]]
    """Runtimes that artifacts are for, by name or by import path; `load` loads in the first."""
    packages: ClassVar[tuple[str, ...]] = ("torch",)
    """Distributions whose version matters for what is written."""
    loads: ClassVar[tuple[str, ...]] = ()
    """Modules that take long to import, beside torch, and that `load` needs: many jobs then share one import."""
    exactness: ClassVar[Exactness] = "exact"
    bitwise: ClassVar[bool] = False
    """Whether the artifact must equal its deployable in eager mode bit for bit."""
    reproducible: ClassVar[bool] = True
    """Whether equal weights give equal bytes; a library that writes tables in the order of a hash cannot."""
    keeps_weights: ClassVar[bool] = True
    """Whether an exact artifact holds each weight as it was filled in, so that `read_weights` gives them back."""
    general: ClassVar[bool] = True
    """Whether any network will do; otherwise `build_template` says what is lacking."""
    output_dtype: ClassVar[str | None] = None
    """Type of a runner's outputs where it is not the contract's, because the arithmetic is more exact."""
    destination: ClassVar[str] = ""
    """Where artifacts go that are of no use elsewhere; empty for those that anyone may take."""
    legacy: ClassVar[str] = ""
    """Why another format should be preferred; empty for a format that is not a legacy one."""
    snippets: ClassVar[Mapping[str, str]] = {}
    """Code by language, "Python" or "C++", that loads an artifact and calls it once: the report shows it.

    A `string.Template`: ``$path``; ``$inputs``, a line for each input as a torch tensor; ``$arguments``, their names;
    ``$outputs``, the names of the outputs, and ``$first``, that of the first one; ``$scores``, lines that print the
    scores of the first output; ``$example``, a text or a list of numbers instead of tensors;
    ``$namespace``, the model's name as an identifier.
    """
    options: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Options of an export, each with its allowed values; the first is the default."""

    def contract(self, own: Contract) -> Contract:
        """Return what artifacts of a network with the contract `own` take and give; by default the same.

        Raises
        ------
        ConfigError
            If the format, or where it goes to, cannot express the contract.
        """
        return own

    def delivered(self, network: torch.nn.Module, own: Contract) -> torch.nn.Module:
        """Let `network` itself take and give what `contract` says, its weights' names unchanged, and return it."""
        return network

    @abstractmethod
    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Compile a deployable without its weights and write it to `files(out)`.

        `example` are inputs within the contract.
        """

    @abstractmethod
    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Write `template` with all its weights replaced to `files(out)`; raise `ArtifactError` if they do not fit."""

    def named(self, stem: str) -> list[str]:
        """Return the paths of an artifact's files, the main one first, for a path without extension."""
        return [f"{stem}.{extension}" for extension in (self.extension, *self.companions)]

    def files(self, path: Path) -> list[Path]:
        """Return the paths of an artifact's files for that of the main one, which comes first."""
        return [path, *map(path.with_name, self.named(path.name.removesuffix(f".{self.extension}"))[1:])]

    def export(
        self,
        deployable: torch.nn.Module,
        contract: Contract,
        example: Arrays,
        options: Mapping[str, Any],
        weights: Mapping[str, torch.Tensor],
        metadata: Mapping[str, str],
        out: Path,
    ) -> None:
        """Write an artifact of one network to `files(out)`, by way of a template that is not kept."""
        with tempfile.TemporaryDirectory(prefix="modelferry-export-") as folder:
            template = Path(folder) / f"template.{self.extension}"
            taken = self.contract(contract)
            self.build_template(self.delivered(deployable, contract), taken, taken.cast(example), options, template)
            self.fill(template, weights, metadata, out)

    def prepare(self, path: Path) -> Any:  # noqa: B027
        """Do what is done once before an artifact is ever loaded, such as compiling it; `load` does it otherwise."""

    @abstractmethod
    def load(self, path: Path, threads: int) -> Runner:
        """Load an artifact in the first of `runtimes`; raise `ArtifactError` if it is not one that runs here."""

    def recognises(self, path: Path) -> bool:
        """Return whether a file is of this format, whoever wrote it; by default its name tells."""
        return path.name.endswith(f".{self.extension}")

    def open(self, path: Path, threads: int) -> Side:
        """Open a file that anyone may have written, to compare it; by default, only one that `load` loads.

        Raises
        ------
        ArtifactError
            If it does not load.
        """
        run = self.load(path, threads)
        return Side(str(path), run, declared(run.contract), contract=run.contract)

    def read_weights(self, path: Path) -> dict[str, bytes]:
        """Return what an exact artifact holds in the place of each weight: values in memory order, by name.

        Bytes, so that each bit can be compared with what was to be filled in; a tensor that the graph does not read may
        be left out. Empty where a format keeps its weights in no form that can be read back.
        """
        return {}

    def layers(self, path: Path) -> Function | None:
        """Return a function that computes what is inside an artifact: outputs of the deployable's modules, in order.

        It returns them by name, as far as the graph tells which is which. None if a format does not show its inside.
        """
        return None

    def is_bitwise(self, options: Mapping[str, Any]) -> bool:
        """Return whether an artifact of these options must equal its deployable bit for bit."""
        return self.bitwise

    def file_name(self, stem: str) -> str:
        """Return the name of the file that a checkpoint called `stem` is exported to where no config names it."""
        return f"{stem}.{self.extension}"

    def for_version(self, version: str) -> Format:
        """Return the format as a version of its first runtime reads it, and executed there as well.

        Raises
        ------
        ConfigError
            If that version does not read it, or the format is for the installed one only.
        """
        raise ConfigError(f"format {self.name} is for the installed runtime only", f"write {self.name}")

    def schemas(self) -> dict[str, type[BaseModel]]:
        """Return the models of JSON files that the format writes, by the names of their schemas."""
        return {}

    def unavailable(self) -> str:
        """Return what is missing on this machine to export to this format, and the remedy; empty if nothing is."""
        return ""

    def built_for(self, options: Mapping[str, Any]) -> str:
        """Return the kind of machine that a template is for; empty if it runs on any."""
        return ""

    def resolve_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options with their values; raise `ConfigError` for an unknown option or value."""
        for option, value in given.items():
            if option not in self.options:
                known = did_you_mean(option, self.options)
                raise ConfigError(f"format {self.name} has no option '{option}'", known)
            if value not in self.options[option]:
                known = did_you_mean(str(value), map(str, self.options[option]))
                raise ConfigError(f"option '{option}' of format {self.name} cannot be '{value}'", known)
        return {option: given.get(option, values[0]) for option, values in self.options.items()}


@cache
def format_names() -> tuple[str, ...]:
    """Return the names of all formats: the modules of this package."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))


def format_module(name: str) -> str:
    """Return the module that defines a format; raise `ConfigError` for an unknown name."""
    kind, _ = kind_and_version(name)
    return module_of(kind, "format", format_names(), f"{__name__}.{kind}")


@cache
def load_format(name: str) -> Format:
    """Return the format called `name`, or ``name@version``, or an instance of the user's ``package.module:Class``."""
    kind, version = kind_and_version(name)
    if version:
        return load_format(kind).for_version(version)
    module = format_module(name)
    own = ":" in name
    target: Format = (
        own_instance(name, "format", Format, format_names()) if own else importlib.import_module(module).FORMAT
    )
    return target


def by_extension() -> list[Format]:
    """Return all formats, those of the longest endings first, and of these the exact ones."""
    return sorted(map(load_format, format_names()), key=lambda f: (-len(f.extension), f.exactness != "exact"))


def format_of_file(path: Path) -> Format | None:
    """Return the format that recognises a file, whoever wrote it; None if none does."""
    return next((target for target in by_extension() if target.recognises(path)), None)
