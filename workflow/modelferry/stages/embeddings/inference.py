"""Jets through an artifact: sorted by size, in batches that are only as long as their longest jet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelferry.comparison.scores import scores_of
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ConfigError
from modelferry.core.events import JetChunk
from modelferry.families import Family
from modelferry.formats import Runner

EMBEDDING = "embedding"
"""The output of a network that is its embedding; its first output gives the scores."""


@dataclass(frozen=True)
class Embedder:
    """An artifact that was loaded.

    Attributes
    ----------
    run
        The artifact.
    contract
        Its contract; `embedding` is among the outputs.
    sizes
        Names of the dimensions of jets in a call, and of particles in a jet.
    batch
        Jets a call.
    """

    run: Runner
    contract: Contract
    sizes: tuple[str, str | None]
    batch: int

    @classmethod
    def of(cls, run: Runner, contract: Contract, family: Family, batch: int) -> Embedder:
        """Return the embedder of an artifact; raise `ConfigError` if it takes none prepared or gives no embedding."""
        if contract.layout != family.reference_layout:
            reason = f"the artifact's layout is {contract.layout}, and jets are embedded as the data card prepares them"
            raise ConfigError(reason, f"export the layout {family.reference_layout} and name it: embed: {{export: …}}")
        outputs = [tensor.name for tensor in contract.outputs]
        if EMBEDDING not in outputs[1:]:
            raise ConfigError(f"the artifact gives {', '.join(outputs)}, and no 'embedding'", "export one that does")
        sizes = (family.batch, next(iter(family.sizes), None))
        return cls(run, contract, sizes, min(batch, contract.dimension(family.batch).maximum))

    @property
    def width(self) -> int:
        """The numbers of an embedding."""
        return int(next(tensor.shape[-1] for tensor in self.contract.outputs if tensor.name == EMBEDDING))

    def __call__(self, jets: JetChunk) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (jets, classes) and embeddings (jets, width) of jets, float32, in their order."""
        order = np.argsort(jets.particles, kind="stable")
        parts = [self._call(jets, order[start : start + self.batch]) for start in range(0, len(order), self.batch)]
        if not parts:
            return np.empty((0, len(self.contract.classes)), np.float32), np.empty((0, self.width), np.float32)
        back = np.argsort(order)
        scores, embeddings = (np.concatenate(columns)[back] for columns in zip(*parts, strict=True))
        return scores, embeddings

    def _call(self, jets: JetChunk, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = self.run(self._inputs(jets, rows))
        first = self.contract.outputs[0].name
        scores = scores_of(self.contract, outputs[first]).astype(np.float32)
        return scores, np.asarray(outputs[EMBEDDING], np.float32)

    def _inputs(self, jets: JetChunk, rows: np.ndarray) -> Arrays:
        """Return the inputs of a call: padding beyond the longest jet is cut off, within the contract."""
        size = self.sizes[1]
        longest = None
        if size is not None:
            limits = self.contract.dimension(size)
            longest = min(max(int(jets.particles[rows].max()), limits.minimum), limits.maximum)
        inputs = {}
        for tensor in self.contract.inputs:
            values = jets.inputs[tensor.name][rows]
            ragged = size is not None and size in tensor.shape
            inputs[tensor.name] = np.ascontiguousarray(values[..., :longest] if ragged else values)
        return inputs
