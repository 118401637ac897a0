"""A sign of life during work that takes long: on a terminal and in notebooks only, and erased afterwards."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

PATIENCE = 2.0
"""Seconds in which nothing is shown."""
REDRAWN = 1.0


@contextmanager
def long_work(what: str) -> Iterator[None]:
    """Show what is done and for how long, once it takes longer than two seconds."""
    stream = sys.stderr
    if not (stream.isatty() or "ipykernel" in sys.modules):
        yield
        return
    ended = threading.Event()
    clock = threading.Thread(target=_show, args=(what, stream, ended), name="long work", daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


def _show(what: str, stream: TextIO, ended: threading.Event) -> None:
    begun, line = time.monotonic(), ""
    if ended.wait(PATIENCE):
        return
    with suppress(OSError, ValueError):  # nobody reads any more
        while not ended.is_set():
            line = f"{what} … {time.monotonic() - begun:.0f} s"
            stream.write(f"\r{line}")
            stream.flush()
            ended.wait(REDRAWN)
        stream.write(f"\r{' ' * len(line)}\r")
        stream.flush()
