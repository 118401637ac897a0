"""Rewritten ONNX graphs compute what they computed, with the operators that they should have."""

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
import pytest

from modelferry.onnx_rewrites import rewrite

APART = """<ir_version: 8, opset_import: ["": 18]>
apart (float[B, N, F] x) => (float[B, N, N] d) {
    one = Constant<value = int64[1] {1}>() two = Constant<value = int64[1] {2}>()
    three = Constant<value = int64[1] {3}>()
    a = Unsqueeze(x, two) b = Unsqueeze(x, one) c = Sub(a, b) e = Mul(c, OTHER) d = ReduceSum<keepdims = 0>(e, AXIS)
}"""


def rewritten(text: str, **words: str) -> tuple[ort.InferenceSession, ort.InferenceSession, set[str]]:
    for word, value in words.items():
        text = text.replace(word, value)
    before = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
    model = onnx_ir.from_proto(before)
    rewrite(model)
    after = onnx_ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    sessions = [
        ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]) for proto in (before, after)
    ]
    return *sessions, {node.op_type for node in after.graph.node}


def test_distances_by_product_are_no_further_from_the_truth() -> None:
    before, after, operators = rewritten(APART, OTHER="c", AXIS="three")
    assert "MatMul" in operators
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
    assert "MatMul" not in rewritten(APART, **{"OTHER": "c", "AXIS": "three", **other})[2]
