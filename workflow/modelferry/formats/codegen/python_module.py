"""The text of a Python module that is a network: its weights as constants, the runtime, and `predict`."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from modelferry.core.contract import Contract
from modelferry.formats.codegen import python_runtime
from modelferry.formats.codegen.layer_graph import Description, Linear, architecture_name
from modelferry.formats.codegen.source_template import constant, contract_text, rows, slot

BEGINS, TEXT_BEGINS = "def sigmoid", "class ByteNetwork:"
KINDS = {1: "Vector", 2: "Matrix", 3: "Sequence[Matrix]"}

MODULE = Template('''\
"""A $what as plain Python: ``predict($argument)``.

Written by modelferry. It needs the standard library of Python 3.8 or later and no file but this one. Weights are those
that were trained, to the last digit, and computed with in float64. They stand here as text, which Python reads faster
than as many literals, and in less memory. $detail
"""

# fmt: off
from __future__ import annotations

$imports
from typing import TYPE_CHECKING

if TYPE_CHECKING:
$types
    Vector = Sequence[float]
    Matrix = Sequence[Vector]

__all__ = ["MODEL_INFO", "predict"]

MODEL_INFO: dict[str, str | int | float | None] = {
    "name": $${name},
    "version": $${version},
    "parameters": $parameters,
    "accuracy": $${accuracy},
    "architecture": "$architecture",
    "exported": $${exported},
}
CONTRACT = """\\
$contract
"""

$constants


$runtime

$predict''')

PREDICT_TEXT = Template('''\
_NETWORK = ByteNetwork(
    embedding=$embedding,
    convolutions=($convolutions,),
    layers=($dense,),
    max_length=$max_length,
    pooling="$pooling",
)


def predict(text: str | bytes) -> $result:
    """Return the score of a text$meaning.

    A text counts as its first $max_length bytes in UTF-8, padded with byte 0; it may be empty. What cannot be encoded
    is left out; bytes may be anything.
    """
    return $returned
''')

PREDICT_VECTOR = Template('''\
_LAYERS = ($dense,)


def predict(values: Vector) -> $result:
    """Return what the network gives for $inputs numbers; raise ValueError if there are more or fewer."""
    if len(values) != $inputs:
        raise ValueError(f"got {len(values)} values instead of $inputs")
    return $returned
''')

IMPORTS = "from json import loads\nfrom math import exp, tanh\nfrom operator import add, mul"
TYPES = "    from collections.abc import Callable, Sequence\n"
TEXT_TYPES = "    from collections.abc import Callable, Iterable, Sequence\n    from typing import Any\n"
TEXT_IMPORTS = f"from collections import Counter\n{IMPORTS}"


def module_body(description: Description, contract: Contract) -> str:
    """Return the module's text with slots."""
    text = description.text
    source = Path(python_runtime.__file__).read_text(encoding="utf-8")
    code = source[source.index(BEGINS) : None if text else source.index(TEXT_BEGINS)]
    facts = {
        "dense": ", ".join(map(_linear, description.dense)),
        "inputs": description.dense[0].inputs,
        "result": "float" if description.outputs == 1 else "list[float]",
    }
    if text:
        call, template = "_NETWORK(text)", PREDICT_TEXT
        facts |= {
            "embedding": constant(f"{text.embedding}.weight").upper(),
            "convolutions": ", ".join(f"({_weight(c.name)}, {_bias(c.name)})" for c in text.convolutions),
            "max_length": text.max_length,
            "pooling": text.pooling,
            "meaning": f": {contract.outputs[0].description}" if contract.outputs[0].description else "",
        }
    else:
        call, template = "dense(values, _LAYERS)", PREDICT_VECTOR
    facts["returned"] = f"{call}[0]" if description.outputs == 1 else f"list({call})"
    return MODULE.substitute(
        what="byte CNN" if text else "network",
        argument="text" if text else "values",
        detail="The first call fills a table, later ones are faster." if text else "",
        imports=TEXT_IMPORTS if text else IMPORTS,
        types=TEXT_TYPES if text else TYPES,
        parameters=description.parameters,
        architecture=architecture_name(description),
        contract=contract_text(contract, 1).replace("\\", "\\\\"),
        constants="\n".join(
            f"{constant(name).upper()}: {KINDS[len(shape)]} = loads({slot(name)})"
            for name, shape in description.shapes.items()
        ),
        runtime=code.rstrip() + "\n\n",
        predict=template.substitute(facts),
    )


def quoted(values: Any) -> str:
    """Return nested lists of numbers as a string of JSON, its lines no wider than they may be."""
    return f'"""\n{_lines(values, 0)}\n"""'


def _lines(values: Any, indent: int) -> str:
    margin = " " * indent
    if isinstance(values[0], list):
        return f"{margin}[\n" + ",\n".join(_lines(row, indent + 1) for row in values) + f"\n{margin}]"
    lines = list(rows([repr(value) for value in values], indent + 1))
    return f"{margin}[" + "\n".join(lines).strip().rstrip(",") + "]"


def _linear(layer: Linear) -> str:
    return f'({_weight(layer.name)}, {_bias(layer.name)}, "{layer.activation}")'


def _weight(layer: str) -> str:
    return constant(f"{layer}.weight").upper()


def _bias(layer: str) -> str:
    return constant(f"{layer}.bias").upper()
