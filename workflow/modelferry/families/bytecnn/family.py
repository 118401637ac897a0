"""Byte CNNs: texts as bytes to one score, small enough to run where no framework does.

Source: `mitchins/pinybytecnn`; the forward function is the one of its reference scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.checkpoints.reader import without_prefixes
from modelferry.checkpoints.shapes import Shapes
from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.errors import CheckpointError
from modelferry.families import Family
from modelferry.families.bytecnn.json_file import info, numbers, read_arrays, shape_of, stated
from modelferry.families.bytecnn.tensors import BYTES, misfits, mismatch_table, number_of_layers, reference_names
from modelferry.families.transforms import FOLD_BATCH_NORM, NONE

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict

JSON = ".json"
POOLINGS = ("mean_max", "mean", "max", "concat")
EVENTS = Dimension(name="events", minimum=1, typical=8, maximum=128, description="texts of a call")
ALPHABETS = (
    tuple(sign.encode() for sign in "etaoinshrdlu etaoinshr cmfwypvbgk ETAOIN .,!?'0123456789\n"),
    tuple(sign.encode() for sign in "äöüßéñçøłπλЖя中日한🙂 "),
    tuple(bytes([byte]) for byte in range(BYTES)),
)
"""What texts are drawn from: letters as they are frequent, characters of several bytes, any bytes."""
BLANK = ord(" ")


class ByteCNN(Family):
    """Embedding of bytes, one to three convolutions, pooling over all positions, two dense layers, a sigmoid."""

    name = "bytecnn"
    formats = ("json", "python")
    layouts = ("bytes",)
    reference_layout = "bytes"
    hyperparameters = {
        "embedding": 12,
        "convolutions": [[40, 3, False]],
        "dense": 128,
        "max_len": 512,
        "pooling": POOLINGS[0],
        "eps": 1e-5,
    }
    sizes = ("bytes",)

    def read_shapes(self, path: Path) -> Shapes:
        """Return the shapes of any checkpoint, and of the arrays of a JSON file."""
        if path.suffix != JSON:
            return super().read_shapes(path)
        return {name: shape_of(values) for name, values in read_arrays(path).items()}

    def read_tensors(self, path: Path | str) -> StateDict:
        """Return the tensors of any checkpoint, and the arrays of a JSON file in float32."""
        if Path(path).suffix != JSON:
            return super().read_tensors(path)
        return {name: numbers(Path(path), name, values) for name, values in read_arrays(Path(path)).items()}

    def read_facts(self, path: Path | str) -> Mapping[str, Any]:
        """Return the plain values beside the tensors of any checkpoint, and the `model_info` of a JSON file."""
        return info(Path(path)) if Path(path).suffix == JSON else super().read_facts(path)

    def stated(self, path: Path) -> dict[str, Any]:
        """Return what a JSON file states beside its arrays: `max_len`, `pooling`."""
        return stated(path) if path.suffix == JSON else {}

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Read embedding, convolutions (channels, kernel, batch norm) and dense width off the shapes."""
        shapes = reference_names(shapes)
        if misfits(shapes):
            return {}
        layers = number_of_layers(shapes)
        channels = shapes[f"conv{layers}.weight"][0]
        inferred = {
            "embedding": shapes["embedding.weight"][1],
            "convolutions": [
                [*shapes[f"conv{n}.weight"][::2], f"bn{n}.running_var" in shapes] for n in range(1, layers + 1)
            ],
            "dense": shapes["classifier.weight"][0],
        }
        return inferred | ({"pooling": "concat"} if shapes["classifier.weight"][1] == 2 * channels else {})

    def own_names(self, state_dict: StateDict, source: str) -> StateDict:
        """Rename tensors as the reference names them, and give a convolution without bias one of zeros.

        Raises
        ------
        CheckpointError
            With the table of what the checkpoint has and what a byte CNN needs.
        """
        import torch

        for candidate in without_prefixes(state_dict):
            state = reference_names(candidate)
            shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
            if not misfits(shapes):
                for number in range(1, number_of_layers(shapes) + 1):
                    weight = state[f"conv{number}.weight"]
                    state.setdefault(f"conv{number}.bias", torch.zeros(len(weight), dtype=weight.dtype))
                return state
        raise CheckpointError(
            mismatch_table(source, {name: tuple(tensor.shape) for name, tensor in state_dict.items()})
        )

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return the contract: bytes in, a probability out."""
        longest = hyperparameters["max_len"]
        size = Dimension(
            name="bytes",
            minimum=0,
            typical=60,
            maximum=4 * longest,
            turning=(longest,),
            description="bytes of the longest text",
        )
        text = Tensor(
            name="text", dtype="uint8", shape=("events", "bytes"), description="UTF-8 bytes, 0 behind the end"
        )
        score = Tensor(
            name="score", dtype="float32", shape=("events", 1), description="probability; positive above 0.5"
        )
        return Contract(
            layout=layout,
            inputs=(text,),
            outputs=(score,),
            dimensions=(size, EVENTS),
            scores="nothing",
            notes=(
                f"a text is cut after {longest} bytes, which may be in the middle of a character",
                f"a shorter one is padded with byte 0 to {longest} bytes, embedded and pooled like text",
                "an empty text is legal; bytes need not be valid UTF-8",
            ),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the network as trained."""
        from modelferry.families.bytecnn.reference import ByteCNN

        return ByteCNN(**hyperparameters)

    def transforms(self, layout: str) -> tuple[str, ...]:
        """Return batch-norm folding."""
        return (FOLD_BATCH_NORM,)

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> torch.nn.Module:
        """Return the sequence of layers."""
        from modelferry.families.bytecnn.deployable import layers

        return layers(**hyperparameters, transforms=transforms)

    def convert(
        self, state_dict: StateDict, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> StateDict:
        """Return the weights as they are, or with batch norms folded in."""
        from modelferry.families.bytecnn.deployable import converted

        return converted(state_dict, hyperparameters["eps"], transforms)

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return texts of letters mostly, of characters of several bytes (the end may cut one), and of any bytes."""
        rng = np.random.default_rng(seed)
        kinds = rng.choice(len(ALPHABETS), dims["events"], p=(0.7, 0.2, 0.1))
        return [_event(_text(rng, ALPHABETS[kind], dims["bytes"])) for kind in kinds]

    def special(self, seed: int) -> dict[str, list[Arrays]]:
        """Return texts that are empty, of one byte, of NULs, with line breaks, or no valid UTF-8."""
        texts = {
            "empty text": [b""],
            "NUL bytes": [b"\0", b"\0\0\0", b"a\0b", b"a\0"],
            "line breaks": [b"one\ntwo\r\nthree\r"],
            "no valid UTF-8": [b"\xff\xfe\xfd", b"caf\xc3", b"\x80"],
            "one repeated byte": [b"a" * 40],
        }
        return {label: [_event(text) for text in group] for label, group in texts.items()}

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Join texts, byte 0 behind the ends of those that are shorter than the longest."""
        text = np.zeros((len(events), max(len(event["text"]) for event in events)), np.uint8)
        for row, event in zip(text, events, strict=True):
            row[: len(event["text"])] = event["text"]
        return {"text": text}

    def broken_inputs(self, layout: str | None = None) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        """Return texts read backwards, without their first byte, and padded with blanks."""
        return {
            "bytes in reverse order": lambda inputs, _: {"text": inputs["text"][:, ::-1].copy()},
            "first byte lost": lambda inputs, _: {"text": inputs["text"][:, 1:].copy()},
            "padded with blanks": lambda inputs, _: {"text": _padded_with(BLANK, inputs["text"])},
        }


def _event(text: bytes) -> Arrays:
    return {"text": np.frombuffer(text, np.uint8)}


def _text(rng: np.random.Generator, alphabet: Sequence[bytes], count: int) -> bytes:
    return b"".join(alphabet[index] for index in rng.integers(len(alphabet), size=count))[:count]


def _padded_with(byte: int, text: np.ndarray) -> np.ndarray:
    return np.pad(np.where(text == 0, np.uint8(byte), text), ((0, 0), (0, 1)), constant_values=byte)


FAMILY = ByteCNN()
