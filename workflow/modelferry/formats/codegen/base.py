"""What the formats json, python and cpp share: a template is code with slots, filling it writes the weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError
from modelferry.formats import Format
from modelferry.formats.codegen.source_template import SourceTemplate
from modelferry.formats.shared.weight_slots import WeightSlots

if TYPE_CHECKING:
    import numpy as np
    import torch

    from modelferry.formats.codegen.layer_graph import Description


class SourceFormat(Format):
    """A format whose artifacts are text, each weight a literal that is exactly its value."""

    packages: ClassVar[tuple[str, ...]] = ("torch",)
    general = False
    output_dtype = "float64"

    @abstractmethod
    def body(self, description: Description, contract: Contract) -> str:
        """Return the code with ``${conv1_weight}`` for each weight, and ``${name}`` for each of `FACTS`."""

    @abstractmethod
    def literals(self, name: str, values: np.ndarray) -> dict[str, str]:
        """Return the literal of a weight by the name of its slot."""

    @abstractmethod
    def facts(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the literals of what stands beside the weights: `given` has a name, and some of `FACTS`."""

    def build_template(
        self, deployable: torch.nn.Module, contract: Contract, example: Arrays, options: Mapping[str, Any], out: Path
    ) -> None:
        """Write the code of the network."""
        from modelferry.formats.codegen.layer_graph import describe

        description = describe(deployable, contract, self.name)
        weights = deployable.state_dict()
        slots = WeightSlots.of({name: weights[name] for name in description.shapes}, read=description.shapes)
        SourceTemplate(slots, self.body(description, contract)).write(out)

    def fill(self, template: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str], out: Path) -> None:
        """Put the weights in; raise `ArtifactError` if one is not finite, for which there is no literal."""
        source = SourceTemplate.read(template)
        source.slots.check(weights, template)
        if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
            raise ArtifactError(f"{', '.join(broken)}: not all values are finite", "train again")
        given = {"name": metadata.get("model", "network"), **metadata}
        if "accuracy" in given:  # the one fact that becomes code without quotes
            given["accuracy"] = _number(given["accuracy"])
        values = self.facts(given)
        for name, tensor in weights.items():
            values |= self.literals(name, tensor.detach().cpu().numpy())
        out.write_text(source.filled(values), encoding="utf-8")


def _number(text: str) -> str:
    """Return a number as Python, C++ and JSON write it; raise `ArtifactError` for anything else."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ArtifactError(f"the accuracy {text!r:.60} is not a number", "give one with --accuracy")
    return repr(number)
