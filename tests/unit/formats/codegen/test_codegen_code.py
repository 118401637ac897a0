"""Generated code itself: what it passes, what it needs, and that nothing in it depends on the time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modelferry.core.errors import ArtifactError
from modelferry.formats import load_format
from source_samples import Network

ROOT = Path(__file__).parents[4]
THREE = [[28, 3, True], [28, 5, True], [24, 3, False]]
FORMATS = ("json", "python", "cpp")


@pytest.fixture(scope="module")
def network() -> Network:
    """The largest network of the sheet."""
    return Network.random(5, embedding=14, convolutions=THREE, dense=48, max_len=512)


@pytest.fixture(scope="module")
def module(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network.artifact("python", tmp_path_factory.mktemp("code"), accuracy="0.75", version="1.2")


@pytest.fixture(scope="module")
def header(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network.artifact("cpp", tmp_path_factory.mktemp("code"), name='Ünïcode "quoted" \\ name')


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "config", [["--isolated"], ["--config", str(ROOT / "pyproject.toml")]], ids=["default", "ours"]
)
def test_module_passes_ruff(module: Path, config: list[str]) -> None:
    run(sys.executable, "-m", "ruff", "check", "--no-cache", *config, module)
    run(sys.executable, "-m", "ruff", "format", "--check", "--no-cache", *config, module)


def test_module_passes_strict_mypy(module: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, module)


def test_header_compiles_without_a_warning(header: Path, tmp_path: Path) -> None:
    main = tmp_path / "main.cpp"
    namespace = re.search(r"^namespace (\w+) \{$", header.read_text(), re.MULTILINE)[1]
    calls = "".join(f"{namespace}::predict<{real}>(text) > 1 || " for real in ("float", "double"))
    main.write_text(
        f'#include "{header}"\nint main(int, char** text_) {{ auto text = text_[0]; return {calls}false; }}\n'
    )
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wdouble-promotion", "-Werror")
    run("g++", "-std=c++17", *warnings, "-fsyntax-only", main)


def test_two_headers_live_in_one_program(network: Network, tmp_path: Path) -> None:
    for name in ("first", "second"):
        network.artifact("cpp", tmp_path, name, name=name)
    main = tmp_path / "main.cpp"
    main.write_text(
        '#include "first.hpp"\n#include "second.hpp"\n#include "first.hpp"\n'
        'int main() { return first::predict("x") == second::predict("x") ? 0 : 1; }\n'
    )
    run("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", main, "-o", tmp_path / "main")
    run(tmp_path / "main")


def test_module_is_python_3_8(module: Path) -> None:
    tree = ast.parse(module.read_text(), feature_version=(3, 8))
    imported = {
        f"{node.module}.{alias.name}" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == {
        "__future__.annotations", "collections.Counter", "json.loads", "math.exp", "math.tanh", "operator.add",
        "operator.mul", "typing.TYPE_CHECKING",
    }  # fmt: skip
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not attributes & {"removeprefix", "removesuffix", "sumprod", "bit_count"}, "these are younger"


def test_module_is_imported_in_less_than_50_ms_with_the_standard_library_only(module: Path) -> None:
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(module.parent)!r})\n"
        "started = time.perf_counter()\n"
        "import model\n"
        "print(time.perf_counter() - started)\n"
        "assert 0 <= model.predict('some text') <= 1\n"
    )
    seconds = min(float(run(sys.executable, "-I", "-S", "-B", "-c", code)) for _ in range(5))
    assert seconds < 0.05


@pytest.mark.parametrize("name", FORMATS)
def test_equal_input_gives_equal_bytes_and_no_time(name: str, network: Network, tmp_path: Path) -> None:
    first = network.artifact(name, tmp_path, "first").read_bytes()
    assert network.artifact(name, tmp_path, "second").read_bytes() == first
    assert not re.search(rb"20\d\d-\d\d-\d\d", first)


def test_constants_have_the_names_and_values_of_the_weights(module: Path, network: Network) -> None:
    import runpy

    found = runpy.run_path(str(module))
    for name, tensor in network.folded.items():
        values = torch.tensor(found[name.replace(".", "_").upper()], dtype=torch.float64)
        assert torch.equal(values, tensor.double()), name
    assert found["MODEL_INFO"] == {
        "name": "a/b",
        "version": "1.2",
        "parameters": sum(tensor.numel() for tensor in network.folded.values()),
        "accuracy": 0.75,
        "architecture": "embed14_conv28_conv28_conv24_dense48",
        "exported": None,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", FORMATS)
def test_weights_that_are_not_finite_are_refused_by_name(
    name: str, value: float, network: Network, tmp_path: Path
) -> None:
    network.artifact(name, tmp_path)
    target = load_format(name)
    weights = {key: tensor.clone() for key, tensor in network.folded.items()}
    weights["conv2.bias"][3] = value
    with pytest.raises(ArtifactError, match=r"conv2\.bias: not all values are finite"):
        target.fill(tmp_path / f"template.{target.extension}", weights, {}, tmp_path / "broken")
    assert not (tmp_path / "broken").exists()
