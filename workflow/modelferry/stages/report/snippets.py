"""How each format is loaded, ready to paste: one entry a format, filled in with a contract and a path."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from modelferry.core.contract import Contract, Tensor
from modelferry.formats.codegen.source_template import identifier
from modelferry.records.summary import SummaryArtifact
from modelferry.stages.report.formatting import details, prose


@dataclass(frozen=True)
class Snippet:
    """Code that loads an artifact and calls it once; `legacy` says why to prefer another format, where one should."""

    python: Template | None = None
    cpp: Template | None = None
    legacy: str = ""


def _python_torch(load: str) -> Template:
    return Template(f"""\
import torch

network = {load}
$python_inputs
with torch.inference_mode():
    $output = network($arguments)
$python_after""")


_CPP_TORCHSCRIPT = Template("""\
#include <torch/script.h>

#include <iostream>

int main() {
  torch::NoGradGuard no_grad;
  torch::jit::script::Module network = torch::jit::load("$path");
  network.eval();
$cpp_inputs
  const $cpp_type $output = network.forward({$arguments})$cpp_cast;
$cpp_after
}""")

_CPP_AOTINDUCTOR = Template("""\
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <iostream>

int main() {
  c10::InferenceMode inference;
  torch::inductor::AOTIModelPackageLoader network("$path");
$cpp_inputs
  const std::vector<torch::Tensor> outputs = network.run({$arguments});
  std::cout << outputs[0] << std::endl;
}""")

_PYTHON_ONNX = Template("""\
import onnxruntime
import torch

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("$path", options, providers=["CPUExecutionProvider"])
$python_inputs
inputs = [$arguments]
feeds = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), inputs, strict=True)}
$output = torch.from_numpy(session.run(None, feeds)[0])
$python_after""")

_PYTHON_MODULE = Template("""\
import runpy

predict = runpy.run_path("$path")["predict"]  # or put it beside your code, and import it
print(predict($example))""")

_PYTHON_JSON = Template("""\
import json

with open("$path") as file:
    network = json.load(file)
print(network["model_info"], network["architecture"], network["weights"].keys())
# the generated module of format python shows how to compute with it""")

_CPP_HEADER = Template("""\
#include "$path"

#include <iostream>

int main() {
  std::cout << $namespace::predict($cpp_example) << std::endl;
}""")

SNIPPETS: dict[str, Snippet] = {
    "aotinductor": Snippet(_python_torch('torch._inductor.aoti_load_package("$path")'), _CPP_AOTINDUCTOR),
    "cpp": Snippet(cpp=_CPP_HEADER),
    "json": Snippet(python=_PYTHON_JSON),
    "onnx": Snippet(python=_PYTHON_ONNX),
    "ort": Snippet(python=_PYTHON_ONNX),
    "python": Snippet(python=_PYTHON_MODULE),
    "quantized": Snippet(python=_PYTHON_ONNX),
    "torch_export": Snippet(_python_torch('torch.export.load("$path").module()')),
    "torchscript": Snippet(
        _python_torch('torch.jit.load("$path", map_location="cpu").eval()'),
        _CPP_TORCHSCRIPT,
        legacy="TorchScript is deprecated since PyTorch 2.9: a legacy format, for analyses that load it already",
    ),
}

_MAKERS: dict[str, str] = {
    "float64": "rand", "float32": "rand", "bfloat16": "rand",
    "int64": "zeros", "int32": "zeros", "uint8": "zeros", "bool": "ones",
}  # fmt: skip
_CPP_DTYPES: dict[str, str] = {
    "float64": "torch::kFloat64", "float32": "torch::kFloat32", "bfloat16": "torch::kBFloat16",
    "int64": "torch::kInt64", "int32": "torch::kInt32", "uint8": "torch::kUInt8", "bool": "torch::kBool",
}  # fmt: skip


FENCES = {"Python": "python", "C++": "cpp"}


def section(artifact: SummaryArtifact, contract: Contract, whose: str = "") -> str:
    """Return how an artifact is loaded in each language, folded; empty for a format without a snippet."""
    name, path = artifact.format, artifact.path
    texts = {"Python": python(name, path, contract), "C++": cpp(name, path, contract)}
    blocks = [f"```{FENCES[language]}\n{text}\n```" for language, text in texts.items() if text]
    if not blocks:
        return ""
    blocks += ["\n".join(f"- {prose(note)}" for note in contract.notes)] if contract.notes else []
    blocks += [f"{legacy(name)}."] if legacy(name) else []
    languages = " and ".join(language for language, text in texts.items() if text)
    return details(f"{whose}{prose(name)}, {prose(artifact.layout)} layout: {languages}", "\n\n".join(blocks))


def python(format_: str, path: str, contract: Contract) -> str:
    """Return Python code that loads the artifact at `path`, or nothing for a format without a snippet."""
    template = SNIPPETS[format_].python if format_ in SNIPPETS else None
    return _filled(template, path, contract) if template else ""


def cpp(format_: str, path: str, contract: Contract) -> str:
    """Return C++ code that loads the artifact at `path`, or nothing for a format without such a snippet."""
    template = SNIPPETS[format_].cpp if format_ in SNIPPETS else None
    return _filled(template, path, contract) if template else ""


def legacy(format_: str) -> str:
    """Return why a format is a legacy one, or nothing."""
    return SNIPPETS[format_].legacy if format_ in SNIPPETS else ""


def returns_logits(contract: Contract) -> bool:
    """Return whether the contract calls its only output logits, of which a softmax makes scores."""
    output = contract.outputs[0]
    words = f"{output.name} {output.description} {output.unit}".lower()
    return len(contract.outputs) == 1 and len(contract.classes) > 1 and "logit" in words


def _filled(template: Template, path: str, contract: Contract) -> str:
    single = len(contract.outputs) == 1
    output = contract.outputs[0].name if single else "outputs"
    axis = len(contract.outputs[0].shape) - 1
    classes = ", ".join(contract.classes)
    python_after, cpp_after = f"print({output})", [f"std::cout << {output} << std::endl;"]
    if returns_logits(contract):
        python_after = f"scores = torch.softmax({output}, dim={axis})  # {classes}"
        cpp_after = [
            f"const torch::Tensor scores = torch::softmax({output}, {axis});  // {classes}",
            "std::cout << scores << std::endl;",
        ]
    return template.substitute(
        path=path,
        example=_example(contract, "[", "]"),
        cpp_example=_example(contract, "{", "}"),
        namespace=identifier("/".join(path.split("/")[1:-2])),
        arguments=", ".join(tensor.name for tensor in contract.inputs),
        output=output,
        cpp_type="torch::Tensor" if single else "torch::jit::IValue",
        cpp_cast=".toTensor()" if single else "",
        python_inputs="\n".join(_python_input(tensor, contract) for tensor in contract.inputs),
        cpp_inputs=_indented([_cpp_input(tensor, contract) for tensor in contract.inputs]),
        python_after=python_after,
        cpp_after=_indented(cpp_after),
    )


def _example(contract: Contract, opening: str, closing: str) -> str:
    """Return an argument of a `predict` that takes a text or a list of numbers."""
    (*_, width) = contract.inputs[0].shape
    return f"{opening}{', '.join(['0.5'] * width)}{closing}" if isinstance(width, int) else '"some text"'


def _indented(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _sizes(tensor: Tensor, contract: Contract) -> str:
    sizes = [size if isinstance(size, int) else contract.dimension(size).typical for size in tensor.shape]
    return ", ".join(str(size) for size in sizes)


def _meaning(tensor: Tensor) -> str:
    shape = ", ".join(str(size) for size in tensor.shape)
    what = ", ".join(tensor.features) or " ".join(tensor.description.split())
    return f"({shape})" + (f": {what}" if what else "")


def _python_input(tensor: Tensor, contract: Contract) -> str:
    sizes = _sizes(tensor, contract)
    sizes += "" if "," in sizes else ","
    call = f"torch.{_MAKERS[tensor.dtype]}(({sizes}), dtype=torch.{tensor.dtype})"
    return f"{tensor.name} = {call}  # {_meaning(tensor)}"


def _cpp_input(tensor: Tensor, contract: Contract) -> str:
    call = f"torch::{_MAKERS[tensor.dtype]}({{{_sizes(tensor, contract)}}}, {_CPP_DTYPES[tensor.dtype]})"
    return f"const torch::Tensor {tensor.name} = {call};  // {_meaning(tensor)}"
