"""Which weights of a checkpoint: those of the last step, or averages over many (EMA), wherever trainers keep them.

A place is a path of keys in the file (``ema_state_dict``, ``callbacks.EMA.weights``) or a module of the network that
holds the averages (``model_ema``). Lightning's own `WeightAveraging` keeps the averages as `state_dict`, and the
weights of the last step as `current_model_state`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelferry.checkpoints.reader import load_content, load_state_dict, without_prefixes
from modelferry.checkpoints.shapes import SAFETENSORS, state_dict_in
from modelferry.core.errors import CheckpointError, did_you_mean

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

LAST, AVERAGED = "state_dict", "ema"
LIGHTNING_AVERAGES = "averaging_state"
"""Lightning's mark of a file whose `state_dict` holds the averages."""
WORDS = ("ema", "averag", "shadow")
COMPILED = "_orig_mod."
COUNTER = "n_averaged"
DEPTH = 4


def weights_at(path: Path, place: str) -> Tensors:
    """Return the tensors of a checkpoint, those of `place` instead of the ones they are averages of.

    ``state_dict`` is the checkpoint's own, ``ema`` the only place whose name tells that averages are there. Names have
    no ``_orig_mod.``, which ``torch.compile`` puts into them.

    Raises
    ------
    CheckpointError
        If there are no weights at that place, or they are not of a part of the network.
    """
    if path.suffix == SAFETENSORS:
        content: Any = load_state_dict(path)
    else:
        content = load_content(path)
    import torch

    state = _uncompiled(state_dict_in(content, path, torch.Tensor))
    if place == LAST or (place == AVERAGED and isinstance(content, Mapping) and LIGHTNING_AVERAGES in content):
        return state
    places = dict(_places(content, state))
    if place == AVERAGED:
        likely = [name for name in places if any(word in name.lower() for word in WORDS)]
        if len(likely) != 1:
            found = f"{len(likely)} places: {', '.join(likely)}" if likely else "none"
            raise CheckpointError(f"{path} has averaged weights at {found}", _remedy(places))
        (place,) = likely
    if place not in places:
        raise CheckpointError(f"{path} has no weights at '{place}'", did_you_mean(place, places))
    for candidate in without_prefixes(places[place]):
        prefixes = _prefixes(candidate, state, place)
        if len(prefixes) == 1:
            return {**state, **{prefixes[0] + name: tensor for name, tensor in candidate.items()}}
    raise CheckpointError(f"{path}: the weights at '{place}' are those of no one part of the network", _remedy(places))


def _places(content: Any, state: Tensors) -> Iterator[tuple[str, Tensors]]:
    """Yield what may be asked for: dicts of tensors in the file, and modules that are named like averages."""
    yield from _tensors_in(content, (), set())
    heads = dict.fromkeys(name[: name.index(".", end)] for name in state for end in _ends(name))
    for head in heads:
        yield head, _cleaned({n.removeprefix(f"{head}."): t for n, t in state.items() if n.startswith(f"{head}.")})


def _ends(name: str) -> Iterator[int]:
    """Yield where the first part of a name that tells of averages ends, if there is one before the last part."""
    start = 0
    for part in name.split(".")[:-1]:
        if any(word in part.lower() for word in WORDS):
            yield start + len(part)
            return
        start += len(part) + 1


def _tensors_in(content: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, Tensors]]:
    import torch

    if not isinstance(content, Mapping) or len(path) > DEPTH or "optimizer" in "".join(path) or id(content) in seen:
        return
    seen.add(id(content))
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors and len(tensors) == len(content) and path and path != (LAST,):
        yield ".".join(path), _cleaned(tensors)
    for key, value in content.items():
        yield from _tensors_in(value, (*path, str(key)), seen)


def _prefixes(found: Tensors, state: Tensors, place: str) -> list[str]:
    """Return where in the network the names of `found` lie, beside the place of the averages itself."""
    first = next(iter(found), "")
    ends = [name[: len(name) - len(first)] for name in state if name == first or name.endswith(f".{first}")]
    return [
        prefix
        for prefix in ends
        if not prefix.startswith(f"{place}.")
        and all(prefix + name in state and state[prefix + name].shape == t.shape for name, t in found.items())
    ]


def _cleaned(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in _uncompiled(tensors).items() if name != COUNTER}


def _uncompiled(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {name.replace(COMPILED, ""): tensor for name, tensor in tensors.items()}


def _remedy(places: Mapping[str, Any]) -> str:
    return f"give `weights:` one of {', '.join([LAST, *places])}"
