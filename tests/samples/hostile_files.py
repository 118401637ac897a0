"""Files that nobody should be given: each is to be refused in one line, in little time and memory."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

NESTING = 60
"""Levels of a tuple that holds another one twice: its hash takes 2 to this power steps."""


def nested_key() -> bytes:
    """Return a pickle of a dict whose key nobody lives to see hashed."""
    once = pickle.EMPTY_TUPLE + pickle.PUT + b"0\n"
    again = b"".join(
        pickle.GET + f"{n}\n".encode() + pickle.TUPLE2 + pickle.PUT + f"{n + 1}\n".encode() for n in range(NESTING)
    )
    return pickle.PROTO + b"\2" + pickle.EMPTY_DICT + once + again + pickle.NONE + pickle.SETITEM + pickle.STOP


def nested_member() -> bytes:
    """Return a pickle of a set that has it as a member."""
    nested = nested_key().removeprefix(pickle.PROTO + b"\2" + pickle.EMPTY_DICT)
    nested = nested.removesuffix(pickle.NONE + pickle.SETITEM + pickle.STOP)
    return pickle.PROTO + b"\4" + pickle.EMPTY_SET + pickle.MARK + nested + pickle.ADDITEMS + pickle.STOP


def call(name: str, argument: bytes, module: str = "builtins") -> bytes:
    """Return a pickle of a dict that holds the result of a function."""
    made = pickle.GLOBAL + f"{module}\n{name}\n".encode() + argument + pickle.TUPLE1 + pickle.REDUCE
    return pickle.PROTO + b"\2" + pickle.EMPTY_DICT + pickle.UNICODE + b"x\n" + made + pickle.SETITEM + pickle.STOP


def torch_zip(path: Path, content: bytes, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> None:
    """Write what ``torch.save`` might have written, with any pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x/data.pkl", content)
        archive.writestr("x/version", "3\n")
        archive.writestr("x/byteorder", "little")
        for name, data in entries.items():
            archive.writestr(f"x/{name}", data)


def stream(path: Path, content: bytes, keys: bytes = b"\x80\x02].") -> None:
    """Write an older file of ``torch.save`` with any pickle."""
    preface = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(preface) + content + keys)


def tensor(numbers: str, size: bytes, stride: bytes) -> bytes:
    """Return a pickle of one tensor: a storage of so many numbers, and a size and stride as the pickle has them."""
    storage = (
        (pickle.MARK + b"Vstorage\n" + b"ctorch\nFloatStorage\n" + b"V0\n" + b"Vcpu\n" + f"I{numbers}\n".encode())
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    made = b"ctorch._utils\n_rebuild_tensor_v2\n" + pickle.MARK + storage + b"I0\n" + size + stride
    made += pickle.NEWFALSE + b"ccollections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    entry = b"Vconv1.weight\n" + made + pickle.TUPLE + pickle.REDUCE
    return pickle.PROTO + b"\2" + pickle.EMPTY_DICT + entry + pickle.SETITEM + pickle.STOP


def tuple_of(*numbers: int) -> bytes:
    """Return a tuple of numbers as a pickle has it."""
    return pickle.MARK + b"".join(f"I{number}\n".encode() for number in numbers) + pickle.TUPLE


def safetensors(path: Path, header: object, data: bytes = b"") -> None:
    """Write a file of safetensors with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def bomb(path: Path) -> None:
    """Write 3 MB that inflate to 3 GB."""
    zeros = bytes(2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x/data.pkl", tensor("786432000", tuple_of(28672, 27428), tuple_of(27428, 1)))
        with archive.open("x/data/0", "w", force_zip64=True) as entry:
            for _ in range(700):
                entry.write(zeros)


CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "named_pipe.pt": lambda path: os.mkfifo(path),
    "link_to_nothing.pt": lambda path: path.symlink_to("nowhere.pt"),
    "link_to_a_device.pt": lambda path: path.symlink_to("/dev/zero"),
    "folder.pt": lambda path: path.mkdir(),
    "empty.pt": lambda path: path.touch(),
    "nested_key.pt": lambda path: torch_zip(path, nested_key()),
    "nested_key_in_a_stream.pt": lambda path: stream(path, nested_key()),
    "nested_key_among_the_storages.pt": lambda path: stream(path, b"\x80\x02}.", nested_key()),
    "nested_member_of_a_set.pt": lambda path: torch_zip(
        path, nested_key().replace(b"}", b"\x8f", 1).replace(b"Ns.", b"(\x90.")
    ),
    "room_for_bytes.pt": lambda path: torch_zip(path, call("bytearray", b"I60000000000\n")),
    "huge_memo.pt": lambda path: torch_zip(path, b"\x80\x02}r\xff\xff\xff\x7f."),
    "huge_frame.pt": lambda path: torch_zip(path, b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}."),
    "bomb.pt": bomb,
    "more_values_than_bytes.pt": lambda path: torch_zip(
        path, tensor("4", tuple_of(200000, 200000), tuple_of(0, 0)), **{"data/0": bytes(16)}
    ),
    "storage_that_is_not_there.pt": lambda path: torch_zip(
        path, tensor("40000", tuple_of(200, 200), tuple_of(200, 1)), **{"data/0": bytes(16)}
    ),
    "negative_size.pt": lambda path: torch_zip(
        path, tensor("4", tuple_of(-2, -2), tuple_of(2, 1)), **{"data/0": bytes(16)}
    ),
    "code.pt": lambda path: torch_zip(path, call("system", b"Vtouch PWNED\n", "posix")),
    "long_header.safetensors": lambda path: path.write_bytes(struct.pack("<Q", 2**60)),
    "deep_header.safetensors": lambda path: safetensors(path, b'{"a":' + b"[" * 100000),
    "larger_than_the_file.safetensors": lambda path: safetensors(
        path, {"conv1.weight": {"dtype": "F32", "shape": [200000, 200000], "data_offsets": [0, 16]}}, bytes(16)
    ),
    "outside_the_file.safetensors": lambda path: safetensors(
        path, {"conv1.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [2**40, 2**40 + 16]}}, bytes(16)
    ),
    "deep.json": lambda path: path.write_text("[" * 100000),
    "deep_array.json": lambda path: path.write_text('{"embedding": ' + "[" * 400 + "]" * 400 + "}"),
    "list_of_weights.json": lambda path: path.write_text('{"weights": [1, 2]}'),
    "words_for_numbers.json": lambda path: path.write_text('{"weights": {"embedding": [["a", null]]}}'),
    "huge_numbers.json": lambda path: path.write_text('{"weights": {"embedding": [[1' + "0" * 400 + "]]}}"),
    "surrogate.json": lambda path: path.write_text('{"weights": {"embedding\\ud800": [[1]]}}'),
}
"""By file name, what writes it."""


def write(folder: Path, name: str) -> Path:
    """Write one of them, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    CHECKPOINTS[name](folder / name)
    return folder / name
