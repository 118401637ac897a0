"""What users get wrong: each mistake is an error of a type of its own, on one line, with the remedy."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import modelferry
from modelferry import export_to_torchscript
from modelferry.core.errors import (
    ArgumentError,
    ArtifactError,
    CheckpointError,
    ConfigError,
    ContractError,
    ControlFlowError,
    NetworkError,
    ScriptingError,
    UnsupportedOperatorError,
)

HERE = Path(__file__)
X = torch.randn(4, 5)


class Decides(nn.Module):
    """Takes a branch by a value."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # here
            return x * 2
        return x


class Reads(nn.Module):
    """Makes a Python number of a value."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()  # there


class Cuts(nn.Module):
    """Makes a size of a value."""

    def forward(self, x: Tensor) -> Tensor:
        return x[: int(x.sum().item())]  # cut


class BySize(nn.Module):
    """Takes a branch by a size."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 3 else x


class Asserts(nn.Module):
    """Checks a fixed size, as many networks do."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 5
        return x * 2


class Eigen(nn.Module):
    """Has an operator that ONNX has not."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x @ x.T).real


class Unscriptable(nn.Module):
    """Uses Python that TorchScript does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return sum(part for part in (x, x))  # generator


class Odd(nn.Module):
    """Returns something that is no tensor."""

    def forward(self, x: Tensor) -> Any:
        return {"x": x, "name": "odd"}


class Counts(nn.Module):
    """Changes a buffer whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2


@dataclasses.dataclass
class Found:
    boxes: Tensor


class Structured(nn.Module):
    """Returns a dataclass."""

    def forward(self, x: Tensor) -> Found:
        return Found(x * 2)


def line_with(comment: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.endswith(f"# {comment}"))


def raised(kind: type[Exception], call: Any) -> str:
    with pytest.raises(kind) as error:
        call()
    assert type(error.value) is kind
    text = str(error.value)
    assert "\n" not in text
    assert "; " in text, "no remedy"
    return text


def test_trace_without_example() -> None:
    assert 'method="script"' in raised(ArgumentError, lambda: export_to_torchscript(nn.Linear(5, 2)))


def test_unknown_method() -> None:
    text = raised(ArgumentError, lambda: export_to_torchscript(nn.Linear(5, 2), None, X, method="tracing"))
    assert "did you mean 'trace'?" in text


def test_scripting_what_cannot_be_scripted_names_the_line() -> None:
    text = raised(ScriptingError, lambda: export_to_torchscript(Unscriptable(), method="script"))
    assert f"{HERE}, line {line_with('generator')}" in text
    assert 'method="trace"' in text


@pytest.mark.parametrize(("network", "comment"), [(Decides, "here"), (Reads, "there")])
def test_trace_of_a_decision_by_values_names_the_line(network: type[nn.Module], comment: str) -> None:
    text = raised(ControlFlowError, lambda: export_to_torchscript(network(), None, X))
    assert f"{HERE}, line {line_with(comment)} (`" in text
    assert "torch.where" in text


@pytest.mark.parametrize("format", ["torch_export", "onnx", "aotinductor"])
def test_export_of_a_decision_by_values_names_the_line(format: str, tmp_path: Path) -> None:
    text = raised(ControlFlowError, lambda: modelferry.export(Decides(), tmp_path / "m", format=format, inputs=X))
    assert f"{HERE}, line {line_with('here')} (`" in text


def test_decision_by_a_fixed_size_passes(tmp_path: Path) -> None:
    for format in ("torchscript", "torch_export"):
        assert modelferry.export(Asserts(), tmp_path / "m", format=format, inputs=X, dynamic={0: "batch"}).comparison
        assert modelferry.export(BySize(), tmp_path / "m", format=format, inputs=X).comparison


def test_trace_of_a_decision_by_a_free_size_is_not_written(tmp_path: Path) -> None:
    def call() -> None:
        modelferry.export(BySize(), tmp_path / "m.pt", inputs=X, dynamic={0: "batch"})

    assert "it is not the network: 'output': " in raised(ArtifactError, call)
    assert list(tmp_path.iterdir()) == []


def test_export_of_a_decision_by_a_free_size_says_which(tmp_path: Path) -> None:
    def call() -> None:
        modelferry.export(BySize(), tmp_path / "m", format="torch_export", inputs=X, dynamic={0: "batch"})

    assert re.search("batch .*specified range", raised(NetworkError, call))


def test_operator_that_a_format_lacks_is_named(tmp_path: Path) -> None:
    text = raised(
        UnsupportedOperatorError, lambda: modelferry.export(Eigen(), tmp_path / "m.onnx", inputs=torch.randn(3, 3))
    )
    assert "aten.linalg_eig" in text
    assert list(tmp_path.iterdir()) == []


def test_network_that_changes_itself(tmp_path: Path) -> None:
    text = raised(NetworkError, lambda: modelferry.export(Counts(), tmp_path / "m", format="torch_export", inputs=X))
    assert "calls" in text


def test_output_that_is_no_tensor() -> None:
    assert "returns a str as 'name'" in raised(NetworkError, lambda: export_to_torchscript(Odd(), None, X))


def test_strict_trace_of_a_dict_or_dataclass_says_what_to_call(tmp_path: Path) -> None:
    from api_samples import Detector

    images = torch.randn(2, 1, 6, 6)
    assert "strict=False" in raised(NetworkError, lambda: export_to_torchscript(Detector(2), None, images))
    assert list(export_to_torchscript(Detector(2), None, images, strict=False)(images)) == ["boxes", "scores"]
    assert "use `export`" in raised(NetworkError, lambda: export_to_torchscript(Structured(), None, X))
    assert list(modelferry.export(Structured(), tmp_path / "m.pt", inputs=X)(X)) == ["boxes"]


@pytest.mark.parametrize(
    ("inputs", "dynamic", "said"),
    [
        ({"y": X}, None, "no parameter 'y'"),
        ((X, X), None, "2 example inputs"),
        ((), None, "no example of 'input'"),
        ([[1.0]], None, "is a list"),
        (X, {"y": {0: "batch"}}, "'y', which is not an input"),
        (X, {"input": {2: "batch"}}, "axes \\[2\\] for 'input'"),
        (X, {0: "n", 1: "n"}, "'n' = 4 and 5"),
        (X.half(), None, "is float16"),
        (X, {0: modelferry.Dimension(name="batch", minimum=5, typical=6, maximum=9)}, "allowed: 5 to 9"),
    ],
)
def test_example_that_does_not_fit(inputs: Any, dynamic: Any, said: str, tmp_path: Path) -> None:
    network = nn.Linear(5, 2)
    text = raised(ArgumentError, lambda: modelferry.export(network, tmp_path / "m.pt", inputs=inputs, dynamic=dynamic))
    assert re.search(said, text)


def test_format_option_and_file_that_do_not_exist(tmp_path: Path) -> None:
    network = nn.Linear(5, 2)
    assert "did you mean 'onnx'" in raised(
        ConfigError, lambda: modelferry.export(network, tmp_path / "m", format="onxx", inputs=X)
    )
    assert "say format=" in raised(ArgumentError, lambda: modelferry.export(network, tmp_path / "m.bin", inputs=X))
    assert "did you mean 'method'" in raised(
        ConfigError, lambda: modelferry.export(network, tmp_path / "m.pt", inputs=X, options={"metod": "script"})
    )
    raised(ArtifactError, lambda: modelferry.load(tmp_path / "nothing.pt"))
    raised(ArtifactError, lambda: modelferry.load_torchscript(tmp_path / "nothing.pt"))
    (tmp_path / "text.pt").write_text("text")
    raised(ArtifactError, lambda: modelferry.load_torchscript(tmp_path / "text.pt"))
    export_to_torchscript(network, tmp_path / "plain.pt", method="script")
    assert "load_torchscript" in raised(ArtifactError, lambda: modelferry.load(tmp_path / "plain.pt"))
    assert "no device" in raised(ArgumentError, lambda: modelferry.load_torchscript(tmp_path / "plain.pt", "cuda:77"))


def test_call_outside_the_contract(tmp_path: Path) -> None:
    artifact = modelferry.export(nn.Linear(5, 2), tmp_path / "m.pt", inputs=X, dynamic={0: "batch"})
    for inputs in ((torch.randn(4, 6),), (X.double(),), (X, X), (X[:0],), ()):
        raised(ContractError, lambda inputs=inputs: artifact(*inputs))
    raised(ContractError, lambda: artifact(y=X))


@pytest.mark.parametrize("extra", [argparse.Namespace(lr=0.1), HERE], ids=["Namespace", "Path"])
def test_checkpoint_that_needs_arbitrary_classes_is_refused(extra: object, tmp_path: Path) -> None:
    network = nn.Linear(5, 2)
    torch.save({"state_dict": network.state_dict(), "config": extra}, tmp_path / "m.ckpt")

    def call() -> None:
        modelferry.export_checkpoint_to_torchscript(tmp_path / "m.ckpt", tmp_path / "m.pt", nn.Linear, X)

    text = raised(CheckpointError, call)
    assert f"{type(extra).__module__}.{type(extra).__qualname__}" in text
    for way in ("torch.save", "safetensors", "add_safe_globals"):
        assert way in text
    assert not (tmp_path / "m.pt").exists()


def test_checkpoint_of_another_network(tmp_path: Path) -> None:
    torch.save(nn.Linear(5, 3).state_dict(), tmp_path / "m.pt")
    for arguments, said in (({"out_features": 2}, "weight"), ({}, "out_features")):
        kind = CheckpointError if arguments else ArgumentError

        def call(arguments: dict[str, int] = arguments) -> None:
            modelferry.export_checkpoint(
                tmp_path / "m.pt", tmp_path / "m.onnx", nn.Linear, inputs=X, in_features=5, **arguments
            )

        assert said in raised(kind, call)


def test_broken_artifact_is_not_the_network(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    module = export_to_torchscript(network, tmp_path / "m.pt", X, optimize=False)
    assert modelferry.validate_torchscript_export(network, tmp_path / "m.pt", X, 1e-6, 1e-7)
    with torch.no_grad():
        dict(module.named_parameters())["2.bias"][1] += 1e-3
    found = modelferry.validate_torchscript_export(network, module, X, 1e-5, 1e-6)
    assert not found
    assert found.outputs[0].max_abs == pytest.approx(1e-3, rel=1e-2)
    assert "8 of 16 values differ from the reference by up to 0.001" in str(found)
    assert modelferry.validate_torchscript_export(network, module, X, rtol=0, atol=2e-3)
    artifact = modelferry.export(network, tmp_path / "a.onnx", inputs=X, dynamic={0: "batch"})
    with torch.no_grad():
        network[2].bias[0] += 1e-3  # not a weight of a unit that may never fire
    assert not modelferry.validate(network, artifact, X)
    assert not modelferry.validate(network, tmp_path / "a.onnx", X)


class ByKeyword(nn.Linear):
    """Takes its input by keyword only."""

    def forward(self, *, x: Tensor) -> Tensor:
        return super().forward(x)


@pytest.mark.parametrize(
    ("inputs", "dynamic", "said"),
    [
        (torch.ones(3, 5).double(), None, "the network fails on inputs 'input' of float64, .*: .*Double"),
        (
            torch.ones(3, 4),
            None,
            r"the network fails on inputs 'input' of float32, \[3, 4\]: .*; give an example of the",
        ),
        (None, None, "the example inputs are a NoneType; give a tensor"),
        (torch.ones(3, 5), "batch", "`dynamic` is a str; give"),
        (torch.ones(3, 5), {"input": ["batch"]}, "`dynamic` has .* for 'input'; give"),
        (torch.ones(3, 5), {0: None}, "`dynamic` calls a size of 'input' None; give"),
        (torch.ones(3, 5), {0: -1}, "`dynamic` calls a size of 'input' -1; give"),
    ],
)
def test_example_and_sizes_of_the_wrong_kind(inputs: Any, dynamic: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=said) as caught:
        modelferry.export(nn.Linear(5, 2), tmp_path / "m.pt", inputs=inputs, dynamic=dynamic)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_input_by_keyword_only(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="takes 'x' by keyword only; let it take tensors by position"):
        modelferry.export(ByKeyword(5, 2), tmp_path / "m.pt", inputs={"x": torch.ones(3, 5)})


def test_place_where_no_file_can_lie(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, said in ((tmp_path, "is a directory; name a file in it"), (tmp_path / "file/m.pt", "cannot be written")):
        with pytest.raises(ArgumentError, match=said):
            modelferry.export(nn.Linear(5, 2), place, format="torchscript", inputs=torch.ones(3, 5))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arguments_in_the_other_order_are_said_to_be(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    modelferry.export(network, tmp_path / "m.pt", inputs=torch.zeros(2, 2))
    with pytest.raises(ArgumentError, match=r"the network to compare with is a str; write validate\(network, exported"):
        modelferry.validate(str(tmp_path / "m.pt"), network, torch.zeros(2, 2))
    with pytest.raises(ArgumentError, match="a Linear is not the path of a file"):
        modelferry.load(network)


@pytest.mark.parametrize("network", [Decides(), Cuts()])
@pytest.mark.parametrize("name", ["n.onnx", "n.exported.pt2"])
def test_nothing_is_printed_before_an_error(
    network: nn.Module, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ControlFlowError):
        modelferry.export(network, tmp_path / name, inputs=X, dynamic={0: "events"})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["weights.pt", "weights.onnx", "weights.exported.pt2", "weights.pth"])
def test_checkpoint_in_the_place_of_an_artifact_is_named(name: str, tmp_path: Path) -> None:
    torch.save(nn.Linear(5, 2).state_dict(), tmp_path / name)
    for call in (modelferry.load, lambda path: modelferry.validate(nn.Linear(5, 2), path, X)):
        with pytest.raises(ArtifactError, match=r"is no artifact but a checkpoint: .*; export it: ") as caught:
            call(tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1
