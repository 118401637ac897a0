"""Every C++ snippet of the pages and the report runs; those of the report open shipped bytes with torch alone.

All of them are compiled as one program, each with its own includes before it: reading torch's headers takes longest.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from string import Template

import numpy as np
import pytest
import torch
from torch.utils.cpp_extension import include_paths, library_paths

from modelferry.core.contract import Arrays, Contract
from modelferry.families import load_family
from modelferry.formats import format_names, load_format
from modelferry.formats.shared.pt2_archive import CONTRACT, read_entries
from modelferry.runtimes import load_in
from modelferry.runtimes.native import build
from modelferry.stages.report import snippets

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
IN_PAGES = {
    page.relative_to(ROOT).as_posix(): re.findall(r"```(?:cpp|c\+\+)\n(.*?)```", page.read_text(), re.DOTALL)
    for page in PAGES
}
ELSEWHERE = {"docs/edge.md": "tests/docs/test_docs_edge.py"}
"""Pages whose snippet another test compiles."""
STOCK = ("torchscript", "aotinductor")
FAMILY = load_family("charged_higgs_particlenet")
CALLS = [
    FAMILY.collate(FAMILY.sample({"events": events, "particles": n}, n), "dense") for events, n in ((1, 2), (7, 20))
]
SEED = 5
HEADER = "results/texts/fold-0/cpp/model.hpp"
FEED = """\
#include <fstream>
#include <iterator>

torch::Tensor given(const std::string& name) {
  std::ifstream file(name + ".pt", std::ios::binary);
  return torch::pickle_load({std::istreambuf_iterator<char>(file), {}}).toTensor();
}

void give_back(const torch::Tensor& output) {
  const std::vector<char> bytes = torch::pickle_save(output);
  std::ofstream("returned.pt", std::ios::binary).write(bytes.data(), bytes.size());
}
"""
"""What replaces the made-up inputs and the printing, to compare bits: torch's own functions again."""


def artifact(samples: Path, name: str) -> Path:
    return next((samples / name).glob("model.*"))


def contract_of(path: Path) -> Contract:
    return Contract.model_validate_json(read_entries(path, None, CONTRACT)[CONTRACT])


def shown(samples: Path, name: str) -> str:
    """Return the code that the report shows for an artifact."""
    path = artifact(samples, name)
    return snippets.filled(load_format(name).snippets["C++"], "C++", str(path), contract_of(path))


def fed(samples: Path, name: str) -> str:
    """Return the same code with inputs from files, and the output into one."""
    inputs = [tensor.name for tensor in contract_of(artifact(samples, name)).inputs]
    return Template(load_format(name).snippets["C++"]).substitute(
        path=artifact(samples, name),
        inputs="\n".join(f'const torch::Tensor {name} = given("{name}");' for name in inputs),
        arguments=", ".join(inputs),
        first="logits",
        scores="give_back(logits);",
    )


def program(sources: dict[str, str]) -> str:
    """Return one program of many, which runs that whose name it is given."""
    text, calls = [], []
    for name, code in sources.items():
        includes, main, body = code.partition("int main() {")
        text.append(f"{includes}namespace {name} {{\nvoid run() {{{body}\n}}\n" if main else code)
        calls += [f'  if (std::string(words[1]) == "{name}") {name}::run();'] if main else []
    return "\n".join([*text, "int main(int, char** words) {", f"  torch::manual_seed({SEED});", *calls, "}"])


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    family = load_family("bytecnn")
    torch.manual_seed(12)
    return family.reference(family.hyperparameters).eval()


@pytest.fixture(scope="module")
def compiled(samples: Path, network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of all snippets; torch's own come first, so that they see no header of ours."""
    folder = tmp_path_factory.mktemp("snippets")
    family, target, header = load_family("bytecnn"), load_format("cpp"), folder / HEADER
    settings, (layout,) = family.hyperparameters, family.layouts
    contract, deployable = family.contract(settings, layout), family.deployable(settings, layout)
    example = family.collate(family.sample({d.name: d.typical for d in contract.dimensions}, 1), layout)
    weights = family.convert(network.state_dict(), settings, layout)
    header.parent.mkdir(parents=True)
    target.export(deployable, contract, example, target.resolve_options({}), weights, {"model": "texts/fold-0"}, header)
    (page,) = IN_PAGES["docs/cpp.md"]
    sources = {name: shown(samples, name) for name in STOCK}
    sources |= {"feed": FEED, **{f"{name}_fed": fed(samples, name) for name in STOCK}}
    sources["page"] = re.sub(r'"results/[^"]*"', f'"{samples / "aotinductor"}"', page)
    sources["header"] = snippets.filled(target.snippets["C++"], "C++", HEADER, contract)
    (folder / "all.cpp").write_text(program(sources))
    prefix, libraries = build.build(), library_paths()
    command = ["g++", "-std=c++20", "-O0", "all.cpp", "-o", "all", f"-I{prefix}/include", f"-I{folder}"]
    command += [f"-isystem{path}" for path in include_paths()]
    command += [f"{prefix}/lib/libmodelferry.a", *(f"-L{path}" for path in libraries)]
    command += [f"-Wl,-rpath,{path}" for path in libraries] + ["-ltorch", "-ltorch_cpu", "-lc10"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "all"


def run(compiled: Path, name: str, folder: Path) -> np.ndarray:
    """Return the numbers that a snippet prints."""
    done = subprocess.run([compiled, name], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    scale = re.match(r"(\S+) \*\n", done.stdout)
    values = re.sub(r"^\S+ \*\n|\[ .* \]", "", done.stdout).split()
    return np.array(values, np.float64) * (float(scale[1]) if scale else 1)


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), dim=-1).numpy().flatten()


def test_every_snippet_of_the_pages_is_compiled_by_a_test() -> None:
    assert {page for page, found in IN_PAGES.items() if found} == {"docs/cpp.md", *ELSEWHERE}
    assert all(f'"{page}", "cpp"' in (ROOT / test).read_text() for page, test in ELSEWHERE.items())
    assert {name for name in format_names() if "C++" in load_format(name).snippets} == {*STOCK, "cpp"}


@pytest.mark.parametrize("name", STOCK)
def test_shipped_bytes_give_the_validated_outputs_with_the_headers_of_torch_alone(
    name: str, samples: Path, compiled: Path, tmp_path: Path
) -> None:
    assert re.findall(r"#include [<\"](\w+)/", load_format(name).snippets["C++"]).count("torch") >= 1
    assert "modelferry" not in load_format(name).snippets["C++"]
    validated = load_in(name, "cpp", artifact(samples, name), 1)
    for inputs in CALLS:
        for tensor, array in inputs.items():
            torch.save(torch.from_numpy(array), tmp_path / f"{tensor}.pt")
        run(compiled, f"{name}_fed", tmp_path)
        returned = torch.load(tmp_path / "returned.pt", weights_only=True).numpy()
        np.testing.assert_array_equal(returned, validated(inputs)["logits"])


@pytest.mark.parametrize("name", STOCK)
def test_code_of_the_report_prints_the_scores(name: str, samples: Path, compiled: Path, tmp_path: Path) -> None:
    inputs = drawn(contract_of(artifact(samples, name)))
    expected = softmax(load_in(name, "cpp", artifact(samples, name), 1)(inputs)["logits"])
    np.testing.assert_allclose(run(compiled, name, tmp_path), expected, atol=1e-4)


def drawn(contract: Contract) -> Arrays:
    """Return the inputs that the code of the report makes up: the program draws its random numbers from a seed."""
    generator = torch.Generator().manual_seed(SEED)
    makers = {
        "float32": lambda sizes: torch.rand(sizes, generator=generator),
        "bool": lambda sizes: torch.ones(sizes).bool(),
    }
    sizes = {dimension.name: dimension.typical for dimension in contract.dimensions}
    return {t.name: makers[t.dtype]([sizes.get(size, size) for size in t.shape]).numpy() for t in contract.inputs}


def test_code_of_the_page_prints_the_scores(samples: Path, compiled: Path, tmp_path: Path) -> None:
    inputs = {
        "x": np.zeros((1, 20, 9), np.float32),
        "mask": np.ones((1, 20), np.bool_),
        "graph_input": np.eye(4, dtype=np.float32)[3:],
    }
    expected = softmax(load_in("aotinductor", "cpp", artifact(samples, "aotinductor"), 1)(inputs)["logits"])
    np.testing.assert_allclose(run(compiled, "page", tmp_path), expected, atol=1e-4)


def test_code_of_the_report_for_a_header_prints_the_score(
    network: torch.nn.Module, compiled: Path, tmp_path: Path
) -> None:
    with torch.inference_mode():
        expected = float(network(torch.tensor([list(b"some text")], dtype=torch.uint8)))
    assert run(compiled, "header", tmp_path) == pytest.approx([expected], abs=1e-4)
