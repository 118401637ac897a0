"""Noise is never agreement: what gives two answers is refused, and a comparison says how near to its limit it came."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modelferry
from modelferry.core.contract import Arrays
from modelferry.core.errors import ArtifactError, NetworkError
from noise_samples import NOISE, named, noisy

FORMATS = ("torchscript", "torch_export", "onnx", "aotinductor")
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, modelferry.Artifact]:
    """The network of `noisy` without its noise, in every format."""
    network, folder = nn.Sequential(nn.Linear(5, 40), nn.Identity(), nn.Linear(40, 2)), tmp_path_factory.mktemp("calm")
    return {name: modelferry.export(network, folder / name, format=name, inputs=X) for name in FORMATS}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", NOISE)
def test_network_that_makes_noise_is_neither_exported_nor_the_same(
    kind: str, format: str, exported: dict[str, modelferry.Artifact], tmp_path: Path
) -> None:
    said = re.escape(named(kind, "Sequential.1"))
    with pytest.raises(NetworkError, match=said):
        modelferry.export(noisy(kind), tmp_path / "m", format=format, inputs=X, dynamic={0: "batch"})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NetworkError, match=said):
        modelferry.validate(noisy(kind), exported[format], X)


@pytest.mark.parametrize("kind", ["torch.rand", "dropout left on"])
def test_torchscript_calls_refuse_noise(kind: str, tmp_path: Path) -> None:
    for method in ("trace", "script"):
        with pytest.raises(NetworkError, match="draws random numbers"):
            modelferry.export_to_torchscript(noisy(kind), tmp_path / "m.pt", X, method=method)
    module = modelferry.export_to_torchscript(nn.Sequential(nn.Linear(5, 40), nn.Linear(40, 2)), None, X)
    with pytest.raises(NetworkError, match="draws random numbers"):
        modelferry.validate_torchscript_export(noisy(kind), module, X)


class WhereLarge(nn.Module):
    """Draws random numbers in calls of more than 100 events only."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(5) if len(x) > 100 else 2 * x


def test_noise_at_one_size_is_found(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"aten\.rand in 'WhereLarge'"):
        modelferry.export(WhereLarge(), tmp_path / "m.pt", inputs=X, dynamic={0: "batch"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_artifact_that_makes_noise_is_not_the_network(format: str, exported: dict[str, modelferry.Artifact]) -> None:
    """Its noise is within the tolerance that was asked for."""
    rng, artifact = np.random.default_rng(1), exported[format]
    network = nn.Sequential(nn.Linear(5, 40), nn.Identity(), nn.Linear(40, 2))

    def run(inputs: Arrays) -> Arrays:
        return {name: values + rng.normal(size=values.shape) for name, values in artifact.run(inputs).items()}

    comparison = modelferry.validate(network, dataclasses.replace(artifact, run=run), X, rtol=0, atol=1e3)
    assert not comparison
    assert comparison.reason.startswith("it gives other outputs for the same inputs")
    assert "max abs" not in str(comparison)


class NotFinite(nn.Module):
    """Returns NaN for everything."""

    def forward(self, x: Tensor) -> Tensor:
        return x * float("nan")


def test_comparison_of_nothing_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none of its 40 values is finite, and nothing was compared"):
        modelferry.export(NotFinite(), tmp_path / "m.pt", inputs=X)


class NearZero(nn.Module):
    """An output that is rounding only, among others of size 1."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.sum(1, keepdim=True), x.sum(1, keepdim=True) - x.flip(1).sum(1, keepdim=True) + 1e-12], 1)


def test_comparison_says_which_share_of_the_allowed_difference_was_used_and_where(tmp_path: Path) -> None:
    network = NearZero()
    artifact = modelferry.export(network, tmp_path / "m.pt", inputs=X, dynamic={0: "batch"})

    def run(inputs: Arrays) -> Arrays:
        values = artifact.run(inputs)["output"].copy()
        values[-1, 1] += 2e-7 if len(inputs["x"]) == 3 else 0
        return {"output": values}

    comparison = modelferry.validate(network, dataclasses.replace(artifact, run=run), X)
    (output,) = comparison.outputs
    assert comparison
    assert output.max_rel > 0.1
    assert output.share == pytest.approx(0.2, rel=0.3)
    first, line = str(comparison).splitlines()
    used = f"{100 * output.share:.3g} % of the allowed difference at batch=3"
    assert first == f"the same ({len(comparison.calls)} calls, at most {used} in 'output')"
    assert line.startswith(f"  output: {used} (rtol 1e-05, atol 1e-06), max abs 2")
    assert "max rel" not in str(comparison)


def test_share_of_a_difference_that_is_too_large_is_above_one(tmp_path: Path) -> None:
    network = nn.Linear(5, 2)
    artifact = modelferry.export(network, tmp_path / "m.pt", inputs=X)
    with torch.no_grad():
        network.bias += 3e-3
    comparison = modelferry.validate(network, artifact, X, rtol=0, atol=1e-3)
    assert comparison.outputs[0].share == pytest.approx(3, rel=1e-2)
    assert "at most 300 % of the allowed difference at the example" in str(comparison)
