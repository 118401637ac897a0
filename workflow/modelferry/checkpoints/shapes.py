"""Shapes of a checkpoint's tensors, read without torch and without running anything from the file.

Snakemake needs them at every start, to know which template a model will use, and nothing is given to torch before it
was read here. Formats: the zip and the older stream of ``torch.save`` (`torch/serialization.py`), and safetensors
(https://github.com/huggingface/safetensors#format).

A file may be hostile. So no name in a pickle is imported; keys of dicts are plain, since hashing a tuple that holds one
tuple twice, forty times over, takes years; and what a file declares has to be in it, before anybody makes room for it.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from modelferry.core.errors import CheckpointError
from modelferry.core.known_files import known_files
from modelferry.core.reading import MOST_TEXT, regular_file

T = TypeVar("T")
Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of a checkpoint's tensors by name."""

SAFETENSORS = ".safetensors"
STATE_DICT_KEYS = ("model_state_dict", "state_dict", "model", "net", "weights")
MISSING = "put it there or fix the pattern in the config"
STREAM_PREFACE = 3
"""Pickles before the content in the older stream: magic number, protocol, system."""
TIMES, SPARE = 16, 2**20
"""A file may declare so many times its own size, since tensors share storages, and so many bytes beside."""
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}
"""Types of safetensors; of others the file tells the sizes."""
ITEM_BYTES = {
    "DoubleStorage": 8, "LongStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "FloatStorage": 4,
    "IntStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "ShortStorage": 2,
}  # fmt: skip
"""Of an element in torch's storages; in all others it is one byte."""
HASHING = {
    pickle.SETITEM: slice(-2, -1), pickle.SETITEMS: slice(0, None, 2), pickle.DICT: slice(0, None, 2),
    pickle.ADDITEMS: slice(0, None), pickle.FROZENSET: slice(0, None),
}  # fmt: skip
"""Opcodes that hash, and what of the stack they do."""
LARGEST_KEY = 2**53
MOST_AXES = 64
_Unpickler: Any = pickle._Unpickler
"""The one in Python: that in C hashes before it can be stopped, and makes room for any number in its memo."""


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


class _Storage(_Nothing):
    """The storage of a tensor: how many bytes an element has, and how many all of them."""

    def __init__(self, item: int = 1, count: int = 0) -> None:
        self.item, self.bytes = item, item * count


class _File:
    """A file from which nothing is read that is longer than the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.readline = file, size, file.readline

    def read(self, count: int) -> bytes:
        if count > self.size:
            raise EOFError("the file declares more than it holds")
        return self.file.read(count)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _after_check(opcode: bytes, keys: slice) -> Any:
    """Return what an opcode does, once the keys that it hashes are known to be plain; they are a slice of the stack."""
    load = _Unpickler.dispatch[opcode[0]]

    def checked(reader: Any) -> None:
        _check_keys(reader.stack[keys])
        load(reader)

    return checked


class _ShapeReader(_Unpickler):
    """Reads a pickle: shapes for tensors, nothing for objects of classes, and plain values as they are."""

    dispatch = {**_Unpickler.dispatch, **{opcode[0]: _after_check(opcode, keys) for opcode, keys in HASHING.items()}}

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.declared = 0
        self.storages: dict[Any, int] = {}
        self.known = {
            ("torch._utils", "_rebuild_tensor"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
            ("collections", "OrderedDict"): _ordered,
            ("collections", "Counter"): _counter,
            ("builtins", "set"): _set,
            ("builtins", "frozenset"): _set,
            ("builtins", "bytearray"): _bytearray,
            ("torch", "Size"): lambda sizes=(): _Shape(sizes),
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for a class or function; nothing is imported."""
        if module in ("__builtin__", "builtins"):
            module = "builtins"
        if name.endswith("Storage") and module in ("torch", "torch.storage"):
            return _Storage(ITEM_BYTES.get(name, 1))
        return self.known.get((module, name), _Nothing)

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage that a tensor lies in, as far as the pickle tells."""
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
            return _Nothing()
        _, kind, key, _, count = pid[:5]
        if not isinstance(key, str | int) or not isinstance(count, int) or not 0 <= count < 2**60:
            raise ValueError("a storage of no size")
        storage = _Storage(kind.item if isinstance(kind, _Storage) else 1, count)
        self.storages[key] = storage.bytes
        return storage

    def tensor(self, storage: Any, offset: int, size: Any, *rest: Any) -> _Shape:
        """Return the shape of a tensor, and count its bytes."""
        shape = _Shape(size)
        if len(shape) > MOST_AXES or not all(isinstance(axis, int) and axis >= 0 for axis in shape):
            raise ValueError("a tensor of no shape")
        self.declared += math.prod(shape) * (storage.item if isinstance(storage, _Storage) else 1)
        return shape


def _check_keys(keys: Iterable[Any], inside: bool = False) -> None:
    """Raise `CheckpointError` for keys whose hashes take time that nobody has, or that are chosen to be the same."""
    for key in keys:
        if isinstance(key, tuple) and not inside and len(key) <= MOST_AXES:
            _check_keys(key, inside=True)
        elif isinstance(key, int | float) and not abs(key) < LARGEST_KEY:
            raise CheckpointError("it has a dict with huge numbers as keys", "save the state dict alone")
        elif not isinstance(key, str | bytes | int | float | _Nothing | None):
            raise CheckpointError(
                f"it has a dict with a nested {type(key).__name__} as key", "save the state dict alone"
            )


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    pairs = [tuple(pair) for pair in pairs]
    _check_keys(pair[0] for pair in pairs)
    return OrderedDict(pairs)


def _counter(counts: Any = ()) -> dict[Any, Any]:
    if not isinstance(counts, dict):
        _check_keys(counts)
    return dict(counts) if isinstance(counts, dict) else dict.fromkeys(counts)


def _set(items: Any = ()) -> set[Any]:
    items = list(items)
    _check_keys(items)
    return set(items)


def _bytearray(content: Any = b"", *rest: Any) -> bytes | str:
    if not isinstance(content, bytes | str):
        raise CheckpointError("it makes room for bytes that it does not hold", "save the state dict alone")
    return content


def read_shapes(path: Path | str) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a checkpoint; raise `CheckpointError` if it holds none.

    In the folder of a workflow they are known until the file changes.
    """
    regular_file(path, CheckpointError, MISSING)

    def find(path: Path) -> str:
        return json.dumps(state_dict_in(read_content(path), path, _Shape))

    return {name: tuple(shape) for name, shape in json.loads(known_files().ask(path, "shapes", find)).items()}


def read_content(path: Path | str) -> Any:
    """Return all that a checkpoint holds, tensors as their shapes, and objects of classes as nothing of use.

    Raises
    ------
    CheckpointError
        If the file is missing, no checkpoint, or declares more than it holds.
    """
    path = Path(path)
    size = regular_file(path, CheckpointError, MISSING).st_size
    try:
        with path.open("rb") as file:
            content, declared = _read(path, file, size)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from None
    except Exception as error:  # a damaged file can break the parser anywhere
        raise CheckpointError(f"{path} is not a checkpoint", "is it complete?") from error
    if declared > TIMES * size + SPARE:
        said = f"{path} has {size:,} bytes, and declares tensors or entries of {declared:,}"
        raise CheckpointError(said, "is it complete? save expanded tensors as .clone(), and no compressed archive")
    return content


def check_content(file: BinaryIO, size: int) -> None:
    """Raise an error of any kind for what ``torch.save`` did not write, or what hangs or fills the memory."""
    _, declared = _read(Path(), file, size)
    if declared > TIMES * size + SPARE:
        raise CheckpointError(f"it declares {declared:,} bytes")


def _read(path: Path, file: BinaryIO, size: int) -> tuple[Any, int]:
    """Return the content and the bytes that it declares."""
    if path.suffix == SAFETENSORS:
        return _safetensors(file, size)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return _zip(archive, size)
    file.seek(0)
    return _stream(file, size)


def _safetensors(file: BinaryIO, size: int) -> tuple[Any, int]:
    length = int.from_bytes(file.read(8), "little")
    if length > min(size, MOST_TEXT):
        raise ValueError("the header is longer than the file")
    header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    shapes, declared = {}, 0
    for name, entry in header.items():
        shape, (start, stop) = _Shape(entry["shape"]), entry["data_offsets"]
        if not all(type(axis) is int and axis >= 0 for axis in shape) or not 0 <= start <= stop <= size - length - 8:
            raise ValueError(f"'{name}' lies outside the file")
        if math.prod(shape) * BITS.get(entry["dtype"], 0) > 8 * (stop - start):
            raise ValueError(f"'{name}' has more values than bytes")
        shapes[name], declared = shape, declared + stop - start
    return shapes, declared


def _zip(archive: zipfile.ZipFile, size: int) -> tuple[Any, int]:
    entries = {info.filename: info for info in archive.infolist()}
    inflated = sum(info.file_size for info in archive.infolist())
    name = next(name for name in entries if name.endswith("/data.pkl"))
    if inflated > TIMES * size + SPARE or entries[name].file_size > MOST_TEXT:
        return None, max(inflated, TIMES * size + SPARE + 1)
    reader = _ShapeReader(io.BytesIO(archive.read(name)))
    content = reader.load()
    folder = name.removesuffix("data.pkl")
    for key, wanted in reader.storages.items():
        if (info := entries.get(f"{folder}data/{key}")) is None or info.file_size < wanted:
            raise CheckpointError(f"it lacks the values of the storage '{key}'", "is it complete?")
    return content, reader.declared


def _stream(file: BinaryIO, size: int) -> tuple[Any, int]:
    limited = _File(file, size)
    for _ in range(STREAM_PREFACE):
        _ShapeReader(limited).load()
    reader = _ShapeReader(limited)
    content = reader.load()
    _ShapeReader(limited).load()  # the keys of the storages, in the order of the file
    if sum(reader.storages.values()) > size - file.tell():
        raise CheckpointError("it ends before its values do", "is it complete?")
    return content, reader.declared


def state_dict_in(content: Any, path: Path | str, kind: type[T]) -> dict[str, T]:
    """Return the state dict that `content` is or holds; its values are of type `kind`."""
    holders = [content]
    if isinstance(content, Mapping):
        holders += [content[key] for key in STATE_DICT_KEYS if key in content]
    for holder in holders:
        if isinstance(holder, Mapping) and holder and all(isinstance(value, kind) for value in holder.values()):
            return {str(key): value for key, value in holder.items()}
    found = sorted(map(str, content))[:8] if isinstance(content, Mapping) else type(content).__name__
    wanted = ", ".join(STATE_DICT_KEYS[:2])
    raise CheckpointError(f"{path} holds no state dict (found: {found})", f"expected one, or a dict with {wanted}")
