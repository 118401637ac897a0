"""A checkpoint by its path as the network that was trained: its weights, its outputs, and itself in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.checkpoints.reader import fit
from modelferry.comparison.side import Side, declared, eager_side
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ContractError
from modelferry.core.events import EventSet
from modelferry.families import Family, load_family
from modelferry.families.hyperparameters import find_family, read_hyperparameters
from modelferry.families.shared.npz_file import NPZ, read_npz

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint as its family's network.

    Attributes
    ----------
    family
        Configured with the hyperparameters: `family.sample`, `family.collate` and `family.read_events` make its inputs.
    hyperparameters
        All of them.
    assumed
        Those that neither the file nor the caller gives, and that have their defaults.
    facts
        Name, version and accuracy, as far as they are known.
    weights
        Under the reference's names.
    """

    path: Path
    family: Family
    hyperparameters: Mapping[str, Any]
    assumed: tuple[str, ...]
    facts: Mapping[str, str]
    weights: Mapping[str, torch.Tensor]

    @cached_property
    def contract(self) -> Contract:
        """What the network as trained takes, and what comes back."""
        return self.family.contract(self.hyperparameters, self.family.reference_layout)

    @property
    def note(self) -> str:
        """What was assumed, in words; empty if nothing was."""
        if not self.assumed:
            return ""
        defaults = ", ".join(f"{name} = {self.hyperparameters[name]}" for name in self.assumed)
        return f"the checkpoint does not tell {defaults}; if they differ, give them with --set NAME=VALUE"

    def network(self) -> torch.nn.Module:
        """Return the network as trained, in evaluation mode, with its weights."""
        network = self.family.reference(self.hyperparameters)
        network.load_state_dict(dict(self.weights))
        return network.eval()

    def side(self) -> Side:
        """Return the network as trained, to compare it with something."""
        return eager_side(str(self.path), self.network(), declared(self.contract), self.family.double, self.contract)

    def outputs(self, inputs: Sequence[Arrays] | EventSet | Arrays, batch: int | None = None) -> Arrays:
        """Return the outputs of the network as trained by name, one row an event.

        Parameters
        ----------
        inputs
            Events without a batch axis, as `family.sample` and `family.read_events` give them; or the inputs of a call
            by name, as the contract has them.
        batch
            Events of a call; by default the contract's typical number.

        Raises
        ------
        ContractError
            For inputs that the contract does not allow.
        """
        import torch

        from modelferry.comparison.eager import run_eagerly

        names = [tensor.name for tensor in self.contract.inputs]
        calls = [{name: np.asarray(call[name]) for name in names} for call in self._calls(inputs, batch)]
        return run_eagerly(self.network(), self.contract, calls, torch.float32)

    def _calls(self, inputs: Sequence[Arrays] | EventSet | Arrays, batch: int | None) -> Iterator[Arrays]:
        size = batch or self.contract.dimension(self.family.batch).typical
        if isinstance(inputs, Mapping):
            names = [tensor.name for tensor in self.contract.inputs]
            if missing := [name for name in names if name not in inputs]:
                raise ContractError(f"there is no input '{missing[0]}'", f"the contract asks for {', '.join(names)}")
            by_event = all(tensor.shape[:1] == (self.family.batch,) for tensor in self.contract.inputs)
            total = len(inputs[names[0]]) if by_event else 1
            pieces = range(0, total, size if by_event else 1)
            given = ({n: inputs[n][i : i + size] if by_event else inputs[n] for n in names} for i in pieces)
        else:
            events = inputs.events if isinstance(inputs, EventSet) else inputs
            starts = range(0, len(events), size)
            given = (self.family.collate(events[i : i + size], self.contract.layout) for i in starts)
        for call in given:
            self.contract.check(call)
            yield call

    def read(self, path: Path | str, limit: int) -> EventSet | Arrays:
        """Return what a file holds: an array for each input of the network, or events that the family reads.

        Raises
        ------
        EventFileError
            If the file is not what it should be.
        ConfigError
            If the family reads no files of events.
        """
        path = Path(path)
        if path.suffix == NPZ:
            arrays = read_npz(path)
            if all(tensor.name in arrays for tensor in self.contract.inputs):
                return {tensor.name: arrays[tensor.name] for tensor in self.contract.inputs}
        return self.family.read_events([path], self.hyperparameters, limit)


def load_checkpoint(
    path: Path | str,
    *,
    family: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
) -> TrainedModel:
    """Return the network of a checkpoint; nothing in the file is executed.

    Parameters
    ----------
    family
        One of modelferry's, or yours as ``package.module:Class``; by default the one that reads the file's tensors.
    hyperparameters
        What the file does not tell, by name.
    facts
        Name, version and accuracy, before those of the file.

    Raises
    ------
    CheckpointError
        If the file is not a checkpoint of this family; a byte CNN shows what is there and what is needed.
    ConfigError
        If no family reads the file or several do, or if a hyperparameter is unknown, or is another in the file.
    """
    path, given = Path(path), dict(hyperparameters or {})
    known = load_family(family or find_family(path))
    known.own_names(known.read_tensors(path), str(path))  # says best what is wrong with a file
    told = read_hyperparameters(known, path)
    beside = known.read_facts(path)
    told |= {name: value for name, value in beside.items() if name in known.hyperparameters and name not in told}
    resolved = known.resolve(given, told)
    configured = known.configured(resolved)
    trained = configured.deployable(resolved, configured.reference_layout)
    stated = {name: str(beside[name]) for name in ("name", "version", "accuracy") if beside.get(name) is not None}
    return TrainedModel(
        path=path,
        family=configured,
        hyperparameters=resolved,
        assumed=tuple(name for name in known.hyperparameters if name not in {**told, **given}),
        facts={"name": path.stem, "version": "1.0.0", **stated, **(facts or {})},
        weights=fit(configured.load_weights(path, resolved), trained, path),
    )
