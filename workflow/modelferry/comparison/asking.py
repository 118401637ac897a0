"""A side that is asked: calls, answers, exact values, and what it does when its inputs move in their last places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modelferry.comparison.outputs import by_event
from modelferry.comparison.side import Function, Side
from modelferry.core.contract import Arrays
from modelferry.core.errors import one_line

MOVE, DIRECTIONS = 1e-6, 4
"""Relative size of a move of the inputs that finds near-ties, as in validation, and how many are tried."""
ROUNDING, DRAWS = 2.0**-24, 8
"""Relative size of rounding in float32, and of how many calls with inputs moved by it the mean is the exact value."""


@dataclass(frozen=True)
class Question:
    """One call of both functions.

    Attributes
    ----------
    reference, other
        The inputs of each, under its own names.
    events
        Numbers of the events of the call, in order: equal numbers are equal events. Empty if it is not known what an
        event is.
    alone
        The inputs of both for one of the events, by its position.
    moved
        The reference's inputs moved in a direction that a seed tells, by a relative size.
    """

    label: str
    reference: Arrays
    other: Arrays
    events: tuple[int, ...] = ()
    alone: Callable[[int], tuple[Arrays, Arrays]] | None = None
    moved: Callable[[int, float], Arrays] | None = None


@dataclass(frozen=True)
class Call:
    """A question with the answers of both, the other's under the reference's names, and those in float64, if known."""

    question: Question
    reference: Arrays
    other: Arrays
    truth: Arrays


class AskedSide:
    """A side that is asked, all events of a call together or, if it cannot do that, one by one."""

    def __init__(self, side: Side, which: str) -> None:
        self.side, self.which = side, which
        self.alone = ""
        """Why events are asked one by one; empty while they are not."""

    def answer(self, question: Question, function: Function | None = None) -> Arrays:
        """Return the outputs of a call; raise what the function raises."""
        call = function or self.side.call
        if len(question.events) < 2 or question.alone is None:
            return call(getattr(question, self.which))
        if not self.alone:
            failure: Exception | None = None
            try:
                outputs = call(getattr(question, self.which))
                if any(array.ndim and len(array) == len(question.events) for array in outputs.values()):
                    return outputs
                rows = ", ".join(f"'{name}' {list(array.shape)}" for name, array in outputs.items())
                why = f"{len(question.events)} events give {rows}"
            except Exception as error:  # a function may fail in any way
                failure, why = error, one_line(error)
            try:
                outputs = self._one_by_one(question, call)
            except Exception:
                if failure is not None:
                    raise failure from None
                return outputs
            self.alone = why
            return outputs
        return self._one_by_one(question, call)

    def _one_by_one(self, question: Question, call: Function) -> Arrays:
        assert question.alone is not None
        index = ("reference", "other").index(self.which)
        rows = [call(question.alone(position)[index]) for position in range(len(question.events))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def truth(self, question: Question) -> Arrays:
        """Return the outputs in float64; nothing where the function insists on its own type."""
        if self.side.double is None:
            return {}
        try:
            return self.answer(question, self.side.double)
        except Exception:  # tensors that `forward` makes in float32, say
            return {}

    def exact(self, call: Call, name: str) -> np.ndarray | None:
        """Return the exact values of a call, (events, values): in float64, or the mean over inputs moved by rounding.

        None where the function refuses both.
        """
        truth = call.truth or self.truth(call.question)
        if name in truth:
            return by_event(truth[name]).astype(np.float64)
        try:
            draws = [self._moved(call, name, self.side.call, seed, ROUNDING) for seed in range(DRAWS)]
        except Exception:  # a function may refuse moved inputs in any way
            return None
        return np.mean(draws, axis=0)

    def moves(self, call: Call, name: str) -> np.ndarray | None:
        """Return by how much the outputs of a call jump when its inputs are moved, (directions, events, values).

        A jump is what of a change is out of proportion to that of a move ten times as large: about zero for a smooth
        function, however steep. None where the function refuses inputs that are moved.
        """
        for function in filter(None, (self.side.double, self.side.call)):
            try:
                still = by_event(self.answer(call.question, function)[name]).astype(np.float64)
                jumps = []
                for seed in range(DIRECTIONS):
                    near, far = (self._moved(call, name, function, seed, m) - still for m in (MOVE, 10 * MOVE))
                    rest = near - far / 10
                    jumps.append(np.where(np.abs(rest) < np.abs(near), rest, near))
                return np.stack(jumps)
            except Exception:  # the next one may do, or none
                continue
        return None

    def noise(self, call: Call, name: str) -> np.ndarray | None:
        """Return the root-mean-square error in float32 of a call with moved inputs, (events, values).

        None if it is not known.
        """
        single, double = self.side.call, self.side.double
        if double is None:
            return None
        try:
            errors = [
                self._moved(call, name, single, seed, MOVE) - self._moved(call, name, double, seed, MOVE)
                for seed in range(DIRECTIONS)
            ]
        except Exception:  # a function may refuse moved inputs in any way
            return None
        return np.sqrt(np.mean(np.square(errors), axis=0))

    def _moved(self, call: Call, name: str, function: Function, seed: int, size: float) -> np.ndarray:
        """Return an output of a call whose inputs are moved."""
        question = call.question
        if question.moved is None or self.alone:
            raise NotImplementedError("not known how to move these inputs")
        inputs = question.moved(seed, size)
        return by_event(function(inputs)[name]).astype(np.float64)
