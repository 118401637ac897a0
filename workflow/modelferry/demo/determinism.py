"""What makes the training of demo networks repeatable: the same model and events, the same bytes. Imports torch."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from modelferry.core.files import replacing


@contextmanager
def repeatable(model_id: str) -> Iterator[None]:
    """Seed torch by the model's id, keep it to one thread and deterministic kernels; put everything back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(model_id.encode()))
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


def save(content: Mapping[str, Any], out: Path) -> None:
    """Write a checkpoint, atomically; through memory, as torch.save puts a file's name into its bytes."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with replacing(out) as temporary:
        temporary.write_bytes(buffer.getvalue())
