"""Timing of several callables in turn: warm-up until steady, then samples interleaved so that drift hits all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

WINDOW = 7
"""Calls whose median is compared with that of the calls before, to see whether the time is steady."""
STEADY = 1.05
WARM_UP_SHARE = 0.5
"""Warm-up takes at most this share of the time that is then spent on samples, but two calls at least."""
PATIENCE = 3.0
"""Samples take at most this many times the time asked for, to reach the numbers below."""
MINIMUM_SAMPLES = 5
SAMPLES_FOR_P99 = 200
RESAMPLES = 500
CHECKED_EVERY = 10

Call = Callable[[], tuple[np.ndarray, float]]
"""Something to time: calls once, and returns the output and the seconds that it took, wherever it ran."""


@dataclass(frozen=True)
class Latency:
    """Percentiles of a call's time in milliseconds, with a 95 % bootstrap interval of the median."""

    samples: int
    p50: float
    low: float
    high: float
    p90: float
    p99: float | None
    correct: bool


def time_in_turn(
    calls: Mapping[str, Call], check: Callable[[str, np.ndarray], bool], seconds: float, tails: bool = True
) -> dict[str, Latency]:
    """Time each call for about `seconds`, one after the other in rounds.

    Parameters
    ----------
    calls
        What to time, by name.
    check
        Whether an output is right, by the name of its call; asked now and then, outside the timed region.
    seconds
        Time to spend on samples of each call.
    tails
        Whether to spend up to three times as long if p99 would lack samples.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    correct = dict.fromkeys(calls, True)
    with no_garbage_collection():
        for call in calls.values():
            warm_up(call, seconds * WARM_UP_SHARE)
        while unfinished := [name for name in calls if _wants_more(times[name], seconds, tails)]:
            for name in unfinished:
                output, spent = calls[name]()
                times[name].append(spent)
                if len(times[name]) % CHECKED_EVERY == 1:
                    correct[name] &= check(name, output)
    return {name: summarise(np.array(values) * 1e3, correct[name]) for name, values in times.items()}


def warm_up(call: Call, limit: float) -> int:
    """Call until the median of the last calls no longer falls, or `limit` seconds have passed; return the count."""
    times: list[float] = []
    began = time.perf_counter()
    while True:
        _, spent = call()
        times.append(spent)
        if len(times) >= 2 and time.perf_counter() - began > limit:
            return len(times)
        if len(times) >= 2 * WINDOW:
            before, now = np.median(times[-2 * WINDOW : -WINDOW]), np.median(times[-WINDOW:])
            if before <= STEADY * now:
                return len(times)


def summarise(milliseconds: np.ndarray, correct: bool = True) -> Latency:
    """Return percentiles of samples; p99 only where there are enough of them to speak of one."""
    p50, p90, p99 = (float(np.percentile(milliseconds, q)) for q in (50, 90, 99))
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(milliseconds, (RESAMPLES, len(milliseconds))), axis=1)
    low, high = (float(np.percentile(medians, q)) for q in (2.5, 97.5))
    enough = len(milliseconds) >= SAMPLES_FOR_P99
    return Latency(len(milliseconds), p50, low, high, p90, p99 if enough else None, correct)


def _wants_more(times: list[float], seconds: float, tails: bool) -> bool:
    spent = sum(times)
    if len(times) < MINIMUM_SAMPLES or spent < seconds:
        return True
    return tails and len(times) < SAMPLES_FOR_P99 and spent < PATIENCE * seconds


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector from running in the middle of a sample."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
