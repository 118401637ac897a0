"""Shapes of a checkpoint's tensors, read without torch and without running anything from the file.

Snakemake needs them at every start, to know which template a model will use. Formats: the zip and the older stream of
``torch.save`` (`torch/serialization.py`), and safetensors (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from modelferry.checkpoints.reader import SAFETENSORS, state_dict_in
from modelferry.core.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of a checkpoint's tensors by name."""

STREAM_PREFACE = 3
"""Pickles before the content in the older stream: magic number, protocol, system."""


class _Shape(tuple[int, ...]):
    __slots__ = ()


class _Nothing:
    """Stands in for any class that a pickle names; takes and ignores whatever is done with it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Nothing:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> _Nothing:
        return self

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None: ...


def _tensor(storage: Any, offset: int, size: tuple[int, ...], *rest: Any) -> _Shape:
    return _Shape(size)


def _parameter(data: Any, *rest: Any) -> Any:
    return data


class _ShapeReader(pickle.Unpickler):
    known = {
        ("torch._utils", "_rebuild_tensor"): _tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("collections", "OrderedDict"): OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        return self.known.get((module, name), _Nothing)

    def persistent_load(self, pid: Any) -> None:
        return None


def read_shapes(path: Path | str) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a checkpoint; raise `CheckpointError` if it holds none."""
    return dict(state_dict_in(read_content(path), path, _Shape))


def read_content(path: Path | str) -> Any:
    """Return all that a checkpoint holds, tensors as their shapes, and objects of classes as nothing of use."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file can break the parser anywhere
        raise CheckpointError(f"{path} is not a checkpoint", "is it complete?") from error


def _read(path: Path, file: BinaryIO) -> Any:
    if path.suffix == SAFETENSORS:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return {name: _Shape(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return _ShapeReader(io.BytesIO(archive.read(name))).load()
    file.seek(0)
    for _ in range(STREAM_PREFACE):
        _ShapeReader(file).load()
    return _ShapeReader(file).load()
