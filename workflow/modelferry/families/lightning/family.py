"""LightningModules: any class by its import path, from its own checkpoints. The contract stands in the config.

Checkpoints are Lightning's (https://lightning.ai/docs/pytorch/stable/common/checkpointing_basic.html): hyperparameters
are read from the file, and never a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ConfigError
from modelferry.core.events import EventSet
from modelferry.families import Family
from modelferry.families.lightning.declaration import Declaration, declaration, in_order
from modelferry.families.transforms import NONE

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict

STATED, STATED_NAME = "hyper_parameters", "hparams_name"
"""Keys of a Lightning checkpoint: the hyperparameters, and the one argument that takes them all, if there is one."""


class Lightning(Family):
    """A LightningModule as it is: the same module is reference and deployable."""

    name = "lightning"
    layouts = ("inputs",)
    reference_layout = "inputs"
    packages = ("torch", "lightning", "pytorch-lightning")
    hyperparameters = {
        "class": "",
        "init": {},
        STATED: {},
        "ignore": [],
        "strict": True,
        "weights": "state_dict",
        "inputs": [],
        "outputs": [],
        "dimensions": {},
        "classes": [],
        "scores": None,
    }
    declaration: Declaration

    def __init__(self, hyperparameters: Mapping[str, Any] | None = None) -> None:
        if hyperparameters is not None:
            self.declaration = declaration(hyperparameters)
            self.batch, self.sizes = self.declaration.batch, self.declaration.sizes

    def configured(self, hyperparameters: Mapping[str, Any]) -> Family:
        """Return the family with the declared inputs."""
        return type(self)(hyperparameters)

    def modules(self, hyperparameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the module of the class."""
        return (hyperparameters["class"].partition(":")[0],)

    def stated(self, path: Path) -> dict[str, Any]:
        """Return the hyperparameters of a Lightning checkpoint that are plain values."""
        from modelferry.checkpoints.shapes import read_content

        content = read_content(path)
        values = content.get(STATED) if isinstance(content, Mapping) else None
        if not isinstance(values, Mapping):
            return {}
        plain = {str(name): _plain(value) for name, value in values.items() if _is_plain(value)}
        single = content.get(STATED_NAME)
        return {STATED: plain if single in (None, "", "kwargs") else {single: plain}}

    def resolve(self, given: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters; those of the module are the checkpoint's, but for those to ignore."""
        resolved = super().resolve(given, {})
        module, sign, name = str(resolved["class"]).partition(":")
        if not (module and sign and name.isidentifier()):
            remedy = "give its import path under `hyperparameters:`, {class: my_package.models:Tagger}"
            raise ConfigError(f"class '{resolved['class']}' is not an import path", remedy)
        stated = {**inferred.get(STATED, {}), **given.get(STATED, {})}
        resolved[STATED] = {name: value for name, value in stated.items() if name not in resolved["ignore"]}
        resolved |= {name: in_order(resolved[name]) for name in ("inputs", "outputs")}
        declaration(resolved)
        return resolved

    def load_weights(self, path: Path | str, hyperparameters: Mapping[str, Any]) -> StateDict:
        """Return the weights that `weights` names; without `strict`, those that the class has."""
        from modelferry.checkpoints.ema import weights_at

        state = weights_at(Path(path), hyperparameters["weights"])
        if hyperparameters["strict"]:
            return state
        known = self.reference(hyperparameters).state_dict()
        return {name: tensor for name, tensor in state.items() if name in known}

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return the contract that the config declares."""
        return declaration(hyperparameters).contract(layout)

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the user's class as it is; its outputs come in the order of the contract."""
        from modelferry.families.lightning.module import returning

        network, _ = _called(hyperparameters)
        return returning(network, list(declaration(hyperparameters).outputs))

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> torch.nn.Module:
        """Return the same module, whose properties do not raise outside training.

        One that returns a tensor needs no hook for the order of its outputs, and can be scripted.
        """
        from modelferry.core.network_copy import network_copy
        from modelferry.families.lightning.module import returning

        network, single = _called(hyperparameters)
        return network_copy(network if single else returning(network, list(declaration(hyperparameters).outputs)))

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return events with values as declared."""
        return self.declaration.sample(dims, seed)

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Join events, zeros behind the ends of smaller ones."""
        return self.declaration.collate(events)

    def read_events(
        self, paths: Sequence[Path], hyperparameters: Mapping[str, Any], limit: int, **options: Any
    ) -> EventSet:
        """Return events of ``.npz`` files with an array for each input, and `labels` if they are known."""
        return declaration(hyperparameters).read_events(paths, limit)


def _called(hyperparameters: Mapping[str, Any]) -> tuple[torch.nn.Module, bool]:
    """Return the user's class, called once to see that it does as declared, and whether it returns one tensor."""
    from modelferry.families.lightning.module import build, check

    declared = declaration(hyperparameters)
    network = build(hyperparameters["class"], hyperparameters[STATED], hyperparameters["init"])
    return network, check(network, declared.contract(Lightning.reference_layout), declared.example())


def _is_plain(value: Any) -> bool:
    """Return whether a value can stand in JSON; classes, tensors and the like cannot."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(entry) for key, entry in value.items())
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return type(value) in (bool, int, str, type(None)) or (type(value) in (list, tuple) and all(map(_is_plain, value)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value


FAMILY = Lightning()
