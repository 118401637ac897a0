"""Rewritten ONNX graphs compute what they computed, with the operators that they should have."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
import pytest
import torch

from modelferry.formats.shared.onnx_rewrites import rewrite

NEAREST = """<ir_version: 8, opset_import: ["": 18]>
nearest (float[B, N, N] d, int64 n) => (int64[B, N, 3] index) {
    zero = Constant<value = int64 {0}>() step = Constant<value = int64 {STEP}>() inf = Constant<value = float {INF}>()
    numbers = Range(zero, n, step)
    i0 = ArgMin<axis = 2>(d) e0 = Equal(numbers, i0) d1 = Where(e0, inf, d)
    i1 = ArgMin<axis = 2>(d1) e1 = Equal(numbers, i1) d2 = Where(e1, inf, LEFT)
    i2 = ArgMin<axis = 2>(d2)
    index = Concat<axis = 2>(i0, i1, i2)
}"""
APART = """<ir_version: 8, opset_import: ["": 18]>
apart (float[B, N, F] x) => (float[B, N, N] d) {
    one = Constant<value = int64[1] {1}>() two = Constant<value = int64[1] {2}>()
    three = Constant<value = int64[1] {3}>()
    a = Unsqueeze(x, two) b = Unsqueeze(x, one) c = Sub(a, b) e = Mul(c, OTHER) d = ReduceSum<keepdims = 0>(e, AXIS)
}"""

NEAREST_POINTS = """<ir_version: 8, opset_import: ["": 18]>
nearest (float[B, N, F] x, float[B, N, N] s, int64 n) => (int64[B, N, 2] index) {
    zero = Constant<value = int64 {0}>() step = Constant<value = int64 {1}>() inf = Constant<value = float {INF}>()
    one = Constant<value = int64[1] {1}>() two = Constant<value = int64[1] {2}>()
    three = Constant<value = int64[1] {3}>()
    a = Unsqueeze(x, two) b = Unsqueeze(x, one) c = Sub(a, b) e = Mul(c, c) apart = ReduceSum<keepdims = 0>(e, three)
    d = Add(TERMS)
    numbers = Range(zero, n, step)
    i0 = ArgMin<axis = 2>(d) e0 = Equal(numbers, i0) d1 = Where(e0, inf, d)
    i1 = ArgMin<axis = 2>(d1)
    index = Concat<axis = 2>(i0, i1)
}"""


def rewritten(text: str, **words: str) -> tuple[ort.InferenceSession, ort.InferenceSession, set[str]]:
    for word, value in words.items():
        text = text.replace(word, value)
    before = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
    for node in before.graph.node:
        if node.op_type == "Constant" and node.attribute[0].t.data_type == onnx.TensorProto.FLOAT:
            value = np.float32(np.inf) if words["INF"] == "1" else np.float32(2)
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.array(value)))
    model = onnx_ir.from_proto(before)
    rewrite(model)
    after = onnx_ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    sessions = [
        ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]) for proto in (before, after)
    ]
    return *sessions, {node.op_type for node in after.graph.node}


@pytest.mark.parametrize("particles", [1, 2, 3, 4, 9])
def test_smallest_at_once_are_those_in_turns(particles: int) -> None:
    before, after, operators = rewritten(NEAREST, STEP="1", INF="1", LEFT="d1")
    assert "TopK" in operators
    assert "ArgMin" not in operators
    rng = np.random.default_rng(particles)
    for share in (0.0, 0.3, 0.8, 1.0):
        d = rng.integers(4, size=(50, particles, particles)).astype(np.float32)  # many equals
        d[rng.random(d.shape) < share] = np.inf
        inputs = {"d": d, "n": np.array(particles)}
        assert np.array_equal(before.run(None, inputs)[0], after.run(None, inputs)[0])


@pytest.mark.parametrize("other", [{"STEP": "2"}, {"INF": "2"}, {"LEFT": "d"}], ids=str)
def test_other_turns_stay(other: dict[str, str]) -> None:
    assert "ArgMin" in rewritten(NEAREST, **{"STEP": "1", "INF": "1", "LEFT": "d1", **other})[2]


def test_distances_by_product_are_no_further_from_the_truth() -> None:
    before, after, operators = rewritten(APART, OTHER="c", AXIS="three")
    assert "Einsum" in operators
    x = np.random.default_rng(0).normal(3, 1, (40, 12, 128)).astype(np.float32)
    wide = x.astype(np.float64)
    truth = np.square(wide[:, :, None] - wide[:, None]).sum(3)
    errors = [np.abs(session.run(None, {"x": x})[0] - truth).max() for session in (before, after)]
    assert errors[1] < errors[0] < 1e-3


def test_equal_points_stay_equally_far() -> None:
    after = rewritten(APART, OTHER="c", AXIS="three")[1]
    rng = np.random.default_rng(1)
    for particles in range(2, 41):
        x = rng.normal(3, 1, (3, particles, 128)).astype(np.float32)
        one, other = rng.choice(particles, 2, replace=False)
        x[:, one] = x[:, other]
        d = after.run(None, {"x": x})[0]
        assert np.array_equal(d[:, :, one], d[:, :, other])


@pytest.mark.parametrize("other", [{"OTHER": "a"}, {"AXIS": "two"}], ids=str)
def test_other_sums_stay(other: dict[str, str]) -> None:
    assert "Einsum" not in rewritten(APART, **{"OTHER": "c", "AXIS": "three", **other})[2]


@pytest.mark.parametrize("terms", ["apart, s", "s, apart"])
def test_nearest_points_are_found_without_their_distances(terms: str) -> None:
    before, after, operators = rewritten(NEAREST_POINTS, INF="1", TERMS=terms)
    assert {"Einsum", "TopK"} <= operators
    assert not {"ReduceSum", "ArgMin"} & operators
    rng = np.random.default_rng(2)
    for particles in range(1, 30):
        x = rng.integers(-3, 4, (20, particles, 5)).astype(np.float32)  # many equally far, and products are exact
        s = np.where(rng.random((20, particles, particles)) < 0.3, np.float32(np.inf), np.float32(0))
        inputs = {"x": x, "s": s, "n": np.array(particles)}
        assert np.array_equal(before.run(None, inputs)[0], after.run(None, inputs)[0])


GELU = """<ir_version: 8, opset_import: ["": 18]>
gelu (float[N] x) => (float[N] y) {
    root = Constant<value = float {1.41421356}>() one = Constant<value = float {1}>()
    half = Constant<value = float {HALF}>()
    a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(half, c) y = Mul(x, d)
}"""


def gelu(half: float) -> list[onnx.ModelProto]:
    """Return the graph as PyTorch exports it, and as it is rewritten."""
    before = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(GELU.replace("HALF", str(half))))
    model = onnx_ir.from_proto(before)
    rewrite(model)
    return [before, onnx_ir.to_proto(model)]


def optimised(proto: onnx.ModelProto, path: Path) -> tuple[ort.InferenceSession, set[str]]:
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, {node.op_type for node in onnx.load(path).graph.node}


def test_gelu_is_one_operator_for_onnx_runtime(tmp_path: Path) -> None:
    (before, apart), (after, together) = (optimised(proto, tmp_path / "graph.onnx") for proto in gelu(0.5))
    assert "Erf" in apart  # if not, ONNX Runtime knows this order too, and the rewrite can go
    assert together == {"Gelu"}
    x = np.random.default_rng(0).normal(0, 3, 100_000).astype(np.float32)
    wide = torch.from_numpy(x).double()
    truth = torch.nn.functional.gelu(wide).numpy()
    errors = [np.abs(session.run(None, {"x": x})[0] - truth).max() for session in (before, after)]
    assert errors[1] <= errors[0] * 1.1 < 1e-6


def test_another_function_than_gelu_stays() -> None:
    before, after = gelu(0.25)
    assert [node.op_type for node in before.graph.node] == [node.op_type for node in after.graph.node]


def test_no_product_is_fused_that_older_versions_cannot_execute_in_float64(tmp_path: Path) -> None:
    text = APART.replace("OTHER", "c").replace("AXIS", "three")
    model = onnx_ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))
    rewrite(model)
    assert "FusedMatMul" not in optimised(onnx_ir.to_proto(model), tmp_path / "graph.onnx")[1]
