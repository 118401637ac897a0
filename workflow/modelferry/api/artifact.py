"""A file that can be called, and how it is written: it gets its name only if it is the network it was made from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.api.example_inputs import at_least_two
from modelferry.api.verify import compare_export, evaluate
from modelferry.comparison.result import Comparison
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArgumentError, ArtifactError, ContractError
from modelferry.core.files import replacing, sha256_of_files
from modelferry.core.long_work import long_work
from modelferry.core.notebook import table
from modelferry.core.tensors import to_array, to_tensor
from modelferry.formats import CheckedRunner, Format, Runner

if TYPE_CHECKING:
    import torch

_REMEDY = "look for Python that depends on values or sizes in `forward`, or compare with `validate`"


@dataclass(frozen=True)
class Artifact:
    """A file that was written or loaded, ready to be called.

    Attributes
    ----------
    path, format
        The file, or the main one of several, and the name of its format.
    files
        All files that belong to it, the main one first.
    contract
        What may be fed to it, and what comes back: names, dtypes, sizes with their ranges.
    comparison
        How it was compared with its network when it was written; None if it was loaded.
    """

    path: Path
    format: str
    contract: Contract = field(repr=False)
    run: Runner = field(repr=False)
    comparison: Comparison | None = field(default=None, repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def sha256(self) -> str:
        """Digest of what is there now: of the only file, or one of the digests of all files in order."""
        return sha256_of_files(self.files)

    def _repr_html_(self) -> str:
        """Show the files, the contract and the comparison, in a notebook."""
        rows = [(file.name, f"{file.stat().st_size:,}" if file.is_file() else "gone") for file in self.files]
        parts = [table(f"{self.format}: {self.path}", ("file", "bytes"), rows), self.contract._repr_html_()]
        return "".join([*parts, *([] if self.comparison is None else [self.comparison._repr_html_()])])

    def __call__(self, *inputs: Any, **by_name: Any) -> dict[str, Any]:
        """Return the outputs by name, for tensors or arrays by position, or by name.

        Outputs are tensors if an input is one, and else arrays; in both cases on the CPU.

        Raises
        ------
        ContractError
            For inputs that the contract does not allow.
        """
        import torch

        names = [tensor.name for tensor in self.contract.inputs]
        if len(inputs) > len(names):
            raise ContractError(f"{len(inputs)} inputs were given", f"the contract asks for {names}")
        given = {**dict(zip(names, inputs, strict=False)), **by_name}
        arrays = {name: to_array(v) if isinstance(v, torch.Tensor) else v for name, v in given.items()}
        outputs = self.run(arrays)
        if any(isinstance(value, torch.Tensor) for value in given.values()):
            return {name: to_tensor(np.array(array)) for name, array in outputs.items()}
        return outputs


def written(
    target: Format,
    network: torch.nn.Module,
    plain: torch.nn.Module,
    contract: Contract,
    example: Arrays,
    options: Mapping[str, Any],
    out: Path,
) -> Artifact:
    """Write `network`, load the file, compare it with `plain`, and only then give it its name."""
    from modelferry.comparison.determinism import check_network
    from modelferry.formats.shared.weight_readback import altered, describe

    _check_path(out)
    if contract.inputs:  # an exporter would say less of a network that draws random numbers, or nothing
        check_network(evaluate(plain, example), partial(evaluate, plain, example))
    weights, ending = network.state_dict(), f".{target.extension}"
    suffix = "" if out.name.endswith(ending) else ending
    if suffix and target.companions:
        raise ArgumentError(f"{out.name} does not end in {ending}", f"format {target.name} writes several files")
    with replacing(*target.files(out), suffix=suffix) as temporary:
        metadata = {"model": out.name}
        with long_work(f"writing {out.name}"):
            target.export(network, contract, at_least_two(example, contract), options, weights, metadata, temporary)
        exact = target.exactness == "exact"
        if exact and (reason := describe(altered(target.read_weights(temporary), weights))):
            raise ArtifactError(f"{out} was not written: {reason}", "report this network")
        run = target.load(temporary, _threads()) if contract.inputs else None
        with long_work(f"comparing {out.name} with the network"):
            comparison = compare_export(plain, run, contract, example, target.name) if run else None
        if exact and comparison is not None and not comparison:
            raise ArtifactError(f"{out} was not written: it is not the network: {comparison.reason}", _REMEDY)
    run = run or CheckedRunner(contract, _uncallable)
    return Artifact(out, target.name, contract, run, comparison, tuple(target.files(out)))


def _check_path(out: Path) -> None:
    """Make the folder of a file; raise `ArgumentError` if the file cannot be written there."""
    if out.is_dir():
        raise ArgumentError(f"{out} is a directory", "name a file in it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ArgumentError(f"{out} cannot be written: {error.strerror}", "choose another folder") from error


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _uncallable(inputs: Arrays) -> Arrays:
    raise ArtifactError("the artifact was made without an example of its inputs, and nothing else tells them")
