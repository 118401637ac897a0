"""What an export must not disturb: the process around it, and other exports."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

ONE_AT_A_TIME = threading.RLock()
"""Exporters, and the filters of warnings that they need, are one to a process."""


@contextmanager
def isolated() -> Iterator[None]:
    """Leave the states of all generators of random numbers as they are; one thread at a time."""
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's, to be left alone
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002
