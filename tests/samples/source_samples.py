"""Byte CNNs of any size, what they compute by the plainest of loops, and the reference file of the sheet."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelferry.families import load_family
from modelferry.families.transforms import FOLD_BATCH_NORM
from modelferry.formats import load_format
from sheets import expected_figures

FAMILY = load_family("bytecnn")
REFERENCE_FILE = "pinybytecnn/bytecnn_10k_reference.json"
FOLDED = frozenset([FOLD_BATCH_NORM])
SHEET: dict[str, float] = expected_figures("bytecnn")["scores"]
"""Scores of the reference file, from the sheet."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Network:
    """A byte CNN with random weights: its hyperparameters and a checkpoint's tensors, batch norms included."""

    hyperparameters: dict[str, Any]
    state: State

    @classmethod
    def random(cls, seed: int, **hyperparameters: Any) -> Network:
        sizes = {**FAMILY.hyperparameters, "embedding": 3, "dense": 4, "max_len": 24, **hyperparameters}
        generator = torch.Generator().manual_seed(seed)
        state = FAMILY.reference(sizes).state_dict()
        for name, tensor in state.items():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.1)
        return cls(sizes, state)

    @property
    def folded(self) -> State:
        """The weights that an artifact holds."""
        return dict(FAMILY.convert(self.state, self.hyperparameters, "bytes", FOLDED))

    def reference(self, texts: list[bytes]) -> np.ndarray:
        """Return scores of the network as trained, in float64."""
        network = FAMILY.reference(self.hyperparameters)
        network.load_state_dict(self.state)
        return scores(network.double().eval(), texts)

    def artifact(self, format_name: str, folder: Path, stem: str = "model", **facts: str) -> Path:
        """Write the artifact of a format."""
        target = load_format(format_name)
        contract = FAMILY.contract(self.hyperparameters, "bytes")
        deployable = FAMILY.deployable(self.hyperparameters, "bytes", FOLDED).eval()
        template, out = folder / f"template.{target.extension}", folder / f"{stem}.{target.extension}"
        example = collated([b"two", b"texts"])
        target.build_template(deployable, contract, example, target.resolve_options({}), template)
        target.fill(template, self.folded, {"model": "a/b", **facts}, out)
        return out


def collated(texts: list[bytes]) -> dict[str, np.ndarray]:
    return FAMILY.collate([{"text": np.frombuffer(text, np.uint8)} for text in texts], "bytes")


def scores(network: torch.nn.Module, texts: list[bytes]) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(collated(texts)["text"]))[:, 0].numpy()


def predict_of(module: Path) -> Callable[[str | bytes], float]:
    """Return the function of a generated module, imported here."""
    predict: Callable[[str | bytes], float] = runpy.run_path(str(module))["predict"]
    return predict


def plain_loops(state: State, text: bytes, max_len: int, pooling: str = "mean_max") -> float:
    """Return a score by nested loops over the padded text: the forward function of the sheet, word for word."""
    weights = {name: tensor.double().tolist() for name, tensor in state.items()}
    data = text[:max_len] + bytes(max_len - len(text[:max_len]))
    columns = [weights["embedding.weight"][byte] for byte in data]
    for layer in (1, 2, 3):
        if f"conv{layer}.weight" not in weights:
            break
        weight, bias = weights[f"conv{layer}.weight"], weights[f"conv{layer}.bias"]
        kernel = len(weight[0][0])
        around = [[0.0] * len(columns[0])] * (kernel // 2)
        padded, results = [*around, *columns, *around], []
        for position in range(len(padded) - kernel + 1):
            column = []
            for output, rows in enumerate(weight):
                total = bias[output]
                for channel, taps in enumerate(rows):
                    for tap, value in enumerate(taps):
                        total += value * padded[position + tap][channel]
                column.append(max(total, 0.0))
            results.append(column)
        columns = results
    channels = list(zip(*columns, strict=True))
    means, peaks = [sum(channel) / len(channel) for channel in channels], [max(channel) for channel in channels]
    values = {
        "mean_max": [(mean + peak) / 2 for mean, peak in zip(means, peaks, strict=True)],
        "mean": means,
        "max": peaks,
        "concat": means + peaks,
    }[pooling]
    for name in ("classifier", "output"):
        rows = zip(weights[f"{name}.weight"], weights[f"{name}.bias"], strict=True)
        values = [sum(w * v for w, v in zip(row, values, strict=True)) + b for row, b in rows]
        values = [max(value, 0.0) for value in values] if name == "classifier" else values
    return 1 / (1 + math.exp(-values[0]))
