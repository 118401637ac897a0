"""Whether a function gives one answer: called twice on the same inputs, network or artifact must repeat its outputs.

The second call of a network is watched: which operators draw random numbers, and which return memory that holds
whatever was there before. That memory is filled, so that a network that reads it gives another answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.module_tracker import ModuleTracker

from modelferry.comparison.difference import same_where_not_finite, within
from modelferry.core.contract import Arrays, DType
from modelferry.core.errors import NetworkError
from modelferry.core.tolerances import ANY, TABLE, Tolerance

OTHER_OUTPUTS = "gives other outputs for the same inputs"
ARTIFACT_IS_RANDOM = f"it {OTHER_OUTPUTS}, as a network in training mode does"
REPEATS = 24
"""Further calls of a network that draws random numbers, before they are taken to have no effect."""
EMPTY = frozenset(
    getattr(torch.ops.aten, name)
    for name in ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")
)
"""Operators that return memory without writing it."""


class _WatchedCall(TorchDispatchMode):
    """Notes operators with the modules that ran them, and fills memory that nobody has written.

    Attributes
    ----------
    ones
        Operators as in `blanks` whose memory is filled with 1, or from 1 to 2; that of others is 0, or from 0 to 1.
    draws, blanks
        Operators that drew random numbers, and those that returned unwritten memory: "aten.rand in 'Net.head'".
    integers
        Whether some of that memory is for integers: those that were there may be the very ones that were filled in.
    """

    def __init__(self, ones: Collection[str]) -> None:
        super().__init__()
        self.ones = ones
        self.draws: list[str] = []
        self.blanks: list[str] = []
        self.integers = False
        self._modules = ModuleTracker()
        self._generator = torch.Generator().manual_seed(21)

    def __enter__(self) -> _WatchedCall:
        self._modules.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._modules.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, state = kwargs or {}, torch.get_rng_state() if torch.Tag.nondeterministic_seeded in func.tags else None
        result = func(*args, **kwargs)
        if state is not None:  # attention has this tag with and without dropout
            if kwargs.get("generator") is not None or not torch.equal(state, torch.get_rng_state()):
                self.draws.append(self._name(func))
        elif func.overloadpacket in EMPTY and result.device.type == "cpu":
            self.blanks.append(name := self._name(func))
            memory, least = torch.view_as_real(result) if result.is_complex() else result, int(name in self.ones)
            if memory.is_floating_point():
                memory.uniform_(least, least + 1, generator=self._generator)
            else:
                self.integers = True
                memory.fill_(least)
        return result

    def _name(self, operator: Any) -> str:
        """Return the operator with the innermost module that is running."""
        innermost = max(self._modules.parents - {"Global"}, key=len, default="")
        return f"{operator.overloadpacket}{f' in {innermost!r}' if innermost else ''}"


def check_network(first: Arrays, call: Callable[[], Arrays]) -> None:
    """Call a network again, and raise `NetworkError` if its outputs are not those of its `first` call.

    The error names the operator that draws random numbers, or returns unwritten memory, and the module that ran it.
    Without either, differences within rounding are allowed: threads may add in any order.
    """
    watch, again = _watched(call)
    others = [again, *(call() for _ in range(REPEATS if watch.draws else 0))]
    if watch.integers:
        others.append(_watched(call, watch.blanks)[1])
    if all(repeats(first, outputs, rounding=not watch.draws) for outputs in others):
        return
    if watch.draws:
        cause = f": {watch.draws[0]} draws random numbers"
        remedy = "draw none in `forward`, and give F.dropout `training=self.training`"
    elif name := _never_written(call, watch.blanks, again):
        cause = f": it reads memory that was never written, as {name} returns it"
        remedy = "write all of it first, or use torch.zeros"
    else:
        cause, remedy = "", "make `forward` a pure function of its inputs"
    raise NetworkError(f"the network {OTHER_OUTPUTS}{cause}", remedy)


def _never_written(call: Callable[[], Arrays], blanks: Collection[str], filled: Arrays) -> str:
    """Return which operator's memory the outputs depend on, given those with all of it `filled`; empty if on none."""
    if not repeats(filled, _watched(call)[1], rounding=True):
        return ""
    every = dict.fromkeys(blanks)
    return next((name for name in every if not repeats(filled, _watched(call, [name])[1], rounding=True)), "")


def _watched(call: Callable[[], Arrays], ones: Collection[str] = ()) -> tuple[_WatchedCall, Arrays]:
    watch = _WatchedCall(ones)
    try:
        with watch:
            return watch, call()
    except Exception:  # a compiled or scripted part may refuse to be watched
        return watch, call()


def repeats(first: Arrays, again: Arrays, rounding: bool = False) -> bool:
    """Return whether two calls gave the same outputs: bit for bit, or within the tolerance of their types."""
    return all(_equal(values, again[name], rounding) for name, values in first.items())


def _equal(first: np.ndarray, again: np.ndarray, rounding: bool) -> bool:
    if first.shape != again.shape:
        return False
    tolerance = TABLE.get((ANY, cast("DType", first.dtype.name)), Tolerance())
    a, b = (values.astype(np.float64).reshape(-1, 1) for values in (first, again))
    if not rounding:
        return np.array_equal(a, b, equal_nan=True)
    return bool((same_where_not_finite(a, b) & (within(a, b, tolerance) | ~np.isfinite(b[:, 0]))).all())
