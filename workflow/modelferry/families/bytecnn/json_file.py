"""Byte CNNs in JSON, read as checkpoints: `model_info`, `architecture`, `weights`.

Format `json` writes such files. Those of pinybytecnn (https://github.com/mitchins/pinybytecnn) are read as well: files
without pooling, and flat ones without the level `weights`, whose batch norms are not folded. Shapes are always those of
the arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ConfigDict, ValidationError

from modelferry.core.contract import Contract
from modelferry.core.errors import CheckpointError, ConfigError
from modelferry.core.model import Part
from modelferry.core.reading import read_bytes, read_json

if TYPE_CHECKING:
    import torch

Pooling = Literal["mean_max", "mean", "max", "concat"]
ENTRY = re.compile(r"(conv\d|bn\d|classifier|output|fc1|fc2)_(weight|bias|running_mean|running_var)")
LENGTH_KEYS = ("max_len", "max_seq_len")
LONGEST = 2**20
"""Bytes of a text at most: a network that pads to more would fill the memory."""
FOREIGN = "is it a byte CNN in JSON?"

Numbers = list[float]
Matrix = list[Numbers]
Kernels = list[Matrix]


class Level(Part):
    """A level of the file, whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class ModelInfo(Level):
    """What the network is; `parameters` counts the numbers below `weights`."""

    name: str
    version: str | None
    parameters: int
    accuracy: float | None
    size_kb: float
    architecture: str
    exported: str | None


class ConvolutionShape(Level):
    """A convolution with ReLU, padded with zeros by half its kernel on each side."""

    filters: int
    kernel_size: int


class Architecture(Level):
    """Sizes; `conv_filters` and `kernel_size` are those of the first convolution."""

    vocab_size: Literal[256]
    embed_dim: int
    conv_filters: int
    kernel_size: int
    convolutions: tuple[ConvolutionShape, ...]
    dense_dim: int
    max_len: int
    pooling: Pooling


class Weights(Level):
    """Arrays as in PyTorch: matrices [out][in], convolutions [out][in][kernel]; batch norms are folded in."""

    embedding: Matrix
    conv1_weight: Kernels
    conv1_bias: Numbers
    conv2_weight: Kernels | None = None
    conv2_bias: Numbers | None = None
    conv3_weight: Kernels | None = None
    conv3_bias: Numbers | None = None
    classifier_weight: Matrix
    classifier_bias: Numbers
    output_weight: Matrix
    output_bias: Numbers


class ByteCnnFile(Level):
    """A byte CNN as JSON, as format `json` writes it."""

    model_info: ModelInfo
    architecture: Architecture
    contract: Contract
    weights: Weights


def read_file(path: Path) -> ByteCnnFile:
    """Return what format `json` wrote, checked; raise `CheckpointError` if it is something else."""
    try:
        return ByteCnnFile.model_validate_json(read_bytes(path, CheckpointError, "export it"))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise CheckpointError(f"{path} is not a byte CNN in JSON: {key}: {first['msg']}", "export it again") from None


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the nested lists of any byte CNN in JSON by their names in a state dict.

    Raises
    ------
    CheckpointError
        If the file is not JSON, or has something that is not part of a byte CNN.
    """
    content = _content(path)
    levels = content.get("weights", content)
    if not isinstance(levels, dict):
        raise CheckpointError(f"{path}: 'weights' is a {type(levels).__name__} instead of an object", FOREIGN)
    arrays = dict(_renamed(path, {k: v for k, v in levels.items() if isinstance(v, list) and k != "test_cases"}))
    if not arrays:
        raise CheckpointError(f"{path} holds no weights", FOREIGN)
    return arrays


def stated(path: Path) -> dict[str, Any]:
    """Return the hyperparameters that a file states beside its arrays: `max_len`, `pooling`.

    Raises
    ------
    ConfigError
        If there is no such network.
    """
    content = _content(path)
    facts = {**_level(content, "model_info"), **_level(content, "architecture")}
    lengths = [facts[key] for key in LENGTH_KEYS if key in facts]
    said = {"max_len": lengths[-1]} if lengths else {}
    said |= {"pooling": facts["pooling"]} if "pooling" in facts else {}
    if "max_len" in said and not (type(said["max_len"]) is int and 1 <= said["max_len"] <= LONGEST):
        raise ConfigError(f"{path}: max_len is {said['max_len']!r:.40}", f"a whole number from 1 to {LONGEST:,}")
    if "pooling" in said and said["pooling"] not in get_args(Pooling):
        raise ConfigError(f"{path}: pooling is {said['pooling']!r:.40}", f"one of {', '.join(get_args(Pooling))}")
    return said


def info(path: Path) -> dict[str, Any]:
    """Return the file's `model_info`, whatever is in it."""
    return _level(_content(path), "model_info")


def numbers(path: Path, name: str, values: Any) -> torch.Tensor:
    """Return nested lists as a tensor in float32; raise `CheckpointError` if they are not of numbers."""
    import torch

    try:
        return torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise CheckpointError(f"{path}: '{name}' is not an array of numbers: {error}", "is it complete?") from None


def shape_of(values: Any, axes: int = 8) -> tuple[int, ...]:
    """Return the shape of nested lists, or raise ValueError if they are ragged, or have more levels than `axes`."""
    if not isinstance(values, list):
        return ()
    if axes == 0:
        raise ValueError("more levels than any array")
    shapes = {shape_of(row, axes - 1) for row in values}
    if len(shapes) > 1:
        raise ValueError("rows of different lengths")
    return (len(values), *(shapes.pop() if shapes else ()))


def _content(path: Path) -> Mapping[str, Any]:
    return read_json(path, CheckpointError)


def _level(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    level = content.get(name)
    return level if isinstance(level, dict) else {}


def _renamed(path: Path, arrays: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, values in arrays.items():
        match = ENTRY.fullmatch(key)
        if key != "embedding" and not match:
            raise CheckpointError(f"{path} has {key!r}, which is not part of a byte CNN", "remove it")
        try:
            shape_of(values)
        except ValueError as error:
            raise CheckpointError(f"{path}: '{key}' has {error}", "is it complete?") from None
        yield f"{match[1]}.{match[2]}" if match else "embedding.weight", values
