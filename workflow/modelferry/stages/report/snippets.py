"""How artifacts are loaded, ready to paste: the code of their formats, filled in with a contract and a path."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from string import Template

from modelferry.core.contract import Contract, DType, Tensor
from modelferry.formats import load_format
from modelferry.formats.codegen.source_template import identifier
from modelferry.records.summary import SummaryArtifact
from modelferry.stages.report.blocks import Block, Folded, blocks, folded
from modelferry.stages.report.formatting import fenced, prose
from modelferry.stages.report.page import OVERVIEW, Page
from modelferry.stages.report.recommendation import CAMPAIGNS, best


@dataclass(frozen=True)
class Language:
    """How a language writes an input, the scores of an output, and a list of numbers."""

    margin: str
    comment: str
    input: str
    softmax: str
    sigmoid: str
    show: str
    numbers: str


LANGUAGES = {
    "Python": Language(
        margin="",
        comment="  # ",
        input="{name} = torch.{maker}([{sizes}], dtype=torch.{dtype})",
        softmax="scores = torch.softmax({output}, dim={axis})",
        sigmoid="scores = torch.sigmoid({output})",
        show="print({value})",
        numbers="[{values}]",
    ),
    "C++": Language(
        margin="  ",
        comment="  // ",
        input="const torch::Tensor {name} = torch::{maker}({{{sizes}}}, torch::k{kind});",
        softmax="const torch::Tensor scores = torch::softmax({output}, {axis});",
        sigmoid="const torch::Tensor scores = torch::sigmoid({output});",
        show="std::cout << {value} << std::endl;",
        numbers="{{{values}}}",
    ),
}
_DTYPES: dict[DType, tuple[str, str]] = {
    "float64": ("rand", "Float64"), "float32": ("rand", "Float32"), "bfloat16": ("rand", "BFloat16"),
    "int64": ("zeros", "Int64"), "int32": ("zeros", "Int32"), "uint8": ("zeros", "UInt8"), "bool": ("ones", "Bool"),
}  # fmt: skip
"""What makes a tensor of each type, and the type's name in C++."""


LOADERS = (
    "The code below needs the runtime alone, and checks nothing: inputs in another order or of another size may give "
    "numbers without a meaning. `modelferry.load(path)` opens the same files and refuses inputs that the contract does "
    "not allow."
)


def loading(page: Page) -> list[Block]:
    """Return how each format and layout of a campaign is loaded, of a model that passed if there is one.

    An overview has the export to ship of the first campaigns only.
    """
    texts: dict[tuple[str, str, str], Folded | None] = {}
    for campaign, models in list(page.groups.items())[:CAMPAIGNS]:
        shipped = best(models) if page.kind == OVERVIEW else None
        whose = f"{campaign}: " if shipped else ""
        for model in sorted(models, key=lambda model: model.status != "passed"):
            for artifact in model.artifacts:
                key = campaign, artifact.format, artifact.layout
                contract = page.contracts.get(f"{campaign}/{artifact.layout}")
                if contract and key not in texts and shipped in (None, artifact.export):
                    texts[key] = section(artifact, contract, whose)
    return blocks(*texts.values())


def section(artifact: SummaryArtifact, contract: Contract, whose: str = "") -> Folded | None:
    """Return how an artifact is loaded in each language, folded; None for a format that does not say it."""
    target = load_format(artifact.format)
    if not target.snippets:
        return None
    fences = {language: language.lower().replace("+", "p") for language in target.snippets}
    texts = [
        fenced(filled(text, language, artifact.path, contract), fences[language])
        for language, text in target.snippets.items()
    ]
    texts += ["\n".join(f"- {prose(note)}" for note in contract.notes)] if contract.notes else []
    texts += [f"{target.legacy}."] if target.legacy else []
    title = f"{whose}{target.name}, {artifact.layout} layout: {' and '.join(target.snippets)}"
    return folded(title, texts)


def filled(text: str, language: str, path: str, contract: Contract) -> str:
    """Return the code of a format for the artifact at `path`; `Format.snippets` says what is filled in."""
    if (style := LANGUAGES.get(language)) is None:  # an own format's: only the path is known in any language
        return Template(text).safe_substitute(path=literal(path))
    contract = _with_identifiers(contract)
    lines = {
        "inputs": [_input(tensor, contract, style) for tensor in contract.inputs],
        "scores": _scores(contract, style),
    }
    return Template(text).safe_substitute(
        {name: "\n".join(f"{style.margin}{line}" for line in of) for name, of in lines.items()},
        path=literal(path),
        arguments=", ".join(tensor.name for tensor in contract.inputs),
        outputs=", ".join(tensor.name for tensor in contract.outputs),
        first=contract.outputs[0].name,
        example=_example(contract, style),
        namespace=identifier("/".join(path.split("/")[1:-2])),
    )


def _scores(contract: Contract, style: Language) -> list[str]:
    """Return the lines that print the scores of the first output; the contract says what makes them."""
    output = contract.outputs[0]
    makers = {"softmax": style.softmax, "sigmoid": style.sigmoid}
    if contract.scores not in makers:
        return [style.show.format(value=output.name)]
    line = makers[contract.scores].format(output=output.name, axis=len(output.shape) - 1)
    classes = f"{style.comment}{comment(', '.join(contract.classes))}" if contract.classes else ""
    return [line + classes, style.show.format(value="scores")]


def _example(contract: Contract, style: Language) -> str:
    """Return an argument of a function that takes a text or a list of numbers."""
    (*_, width) = contract.inputs[0].shape
    return style.numbers.format(values=", ".join(["0.5"] * width)) if isinstance(width, int) else '"some text"'


def _input(tensor: Tensor, contract: Contract, style: Language) -> str:
    sizes = [size if isinstance(size, int) else contract.dimension(size).typical for size in tensor.shape]
    maker, kind = _DTYPES[tensor.dtype]
    if maker == "rand" and tensor.below is not None:
        maker = "ones"  # whole numbers, as an input of floating point
    meaning = ", ".join(tensor.features) or tensor.description
    line = style.input.format(
        name=tensor.name, maker=maker, sizes=", ".join(map(str, sizes)), dtype=tensor.dtype, kind=kind
    )
    said = f"({', '.join(map(str, tensor.shape))})" + (f": {meaning}" if meaning else "")
    return f"{line}{style.comment}{comment(said)}"


def comment(text: str) -> str:
    """Return a text as a comment to the end of the line: nothing in it begins another, nor a backslash at its end."""
    plain = "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))
    return plain.replace("??/", "?/").rstrip("\\ ")


def literal(text: str) -> str:
    """Return a text as it stands between double quotes, in Python, C++ and most other languages."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(sign if sign.isprintable() else "?" for sign in escaped)


def _with_identifiers(contract: Contract) -> Contract:
    """Return a contract whose inputs and outputs have names that variables can have."""

    def named(tensor: Tensor) -> Tensor:
        name = re.sub(r"[^A-Za-z0-9_]", "_", tensor.name)
        plain = name if name.isidentifier() and not keyword.iskeyword(name) else f"value_{name}"
        return tensor.model_copy(update={"name": plain})

    tensors = {"inputs": tuple(map(named, contract.inputs)), "outputs": tuple(map(named, contract.outputs))}
    return contract.model_copy(update=tensors)
