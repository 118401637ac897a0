"""Networks of every kind and any width export to every format and are the same function there, or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modelferry
from api_samples import SAMPLES, Detector, Sample
from modelferry.api.export import Artifact
from modelferry.core.errors import UnsupportedOperatorError

REFUSED = {("bfloat16", "onnx"): "ONNX Runtime cannot execute this network: .*Gemm"}
"""What a format cannot do, by network and format, and what its error says."""
LINEAR = ("mlp",)
"""What formats without a framework hold."""
EXPORTS = [
    ("torchscript", {}),
    ("torchscript", {"method": "script"}),
    ("torchscript", {"optimize": True}),
    ("torch_export", {}),
    ("onnx", {}),
    ("python", {}),
]
SLOW = ("onnx", "torch_export")


def outputs_of(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    network.eval()
    with torch.no_grad():
        found = torch.utils._pytree.tree_leaves(network(*inputs))
    return list(found)


def export(sample: Sample, width: int, seed: int, format: str, options: dict[str, object], path: Path) -> Artifact:
    network = sample.network(width, seed)
    return modelferry.export(
        network, path, format=format, inputs=sample.inputs(1 + seed % 3, seed), dynamic={0: "batch"}, options=options
    )


@pytest.mark.parametrize(("format", "options"), EXPORTS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", SAMPLES)
def test_network_is_the_same_function_after_export_or_refused(
    name: str, format: str, options: dict[str, object], tmp_path: Path
) -> None:
    sample, path = SAMPLES[name], tmp_path / "model"

    @settings(max_examples=1 if format in SLOW else 4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(width=st.integers(1, 9), seed=st.integers(0, 999), batch=st.sampled_from([1, 2, 5, 40]))
    def check(width: int, seed: int, batch: int) -> None:
        reason = REFUSED.get((name, format), "cannot hold this network" if format == "python" else "")
        if reason and not (format == "python" and name in LINEAR):
            with pytest.raises(UnsupportedOperatorError, match=reason):
                export(sample, width, seed, format, options, path)
            assert list(tmp_path.iterdir()) == []
            return
        artifact = export(sample, width, seed, format, options, path)
        assert artifact.comparison
        assert len(artifact.comparison.calls) > 4
        loaded = modelferry.load(path, format=format)
        network, inputs = sample.network(width, seed), sample.inputs(batch, seed + 1)
        found, wanted = loaded(*inputs), outputs_of(network, inputs)
        for value, truth in zip(found.values(), wanted, strict=True):
            assert value.shape == truth.shape
            tolerance = {torch.float64: 1e-10, torch.bfloat16: 2e-2}.get(truth.dtype, 2e-5)
            torch.testing.assert_close(value, truth, rtol=tolerance, atol=tolerance, check_dtype=format != "python")

    check()


@pytest.mark.parametrize("format", ["torchscript", "torch_export", "onnx"])
def test_outputs_have_the_names_of_the_networks_dict(format: str, tmp_path: Path) -> None:
    network = Detector(2)
    modelferry.export(network, tmp_path / "model", format=format, inputs=torch.randn(2, 1, 6, 6), dynamic={0: "batch"})
    artifact = modelferry.load(tmp_path / "model", format=format)
    images = torch.randn(3, 1, 6, 6)
    found = artifact(images)
    assert list(found) == ["boxes", "scores"]
    for name, value in network.eval()(images).items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    assert [tensor.shape for tensor in artifact.contract.outputs] == [("batch", 4, 36), ("batch", 2, 36)]


def test_compiled_package_is_the_same_function(tmp_path: Path) -> None:
    """One example: it compiles for ten seconds."""
    sample = SAMPLES["several outputs"]
    path = tmp_path / "model.aoti.pt2"
    artifact = export(sample, 3, 1, "aotinductor", {}, path)
    assert artifact.comparison
    inputs = sample.inputs(5, 7)
    found = modelferry.load(path)(x=inputs[0], y=inputs[1])
    for value, truth in zip(found.values(), outputs_of(sample.network(3, 1), inputs), strict=True):
        torch.testing.assert_close(value, truth, rtol=1e-5, atol=1e-5)
