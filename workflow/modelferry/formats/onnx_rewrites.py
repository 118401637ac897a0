"""Exact rewrites of an ONNX graph: what PyTorch says with several operators and ONNX with fewer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir


def rewrite(model: ir.Model) -> None:
    """Replace repeated minima by one ``TopK``, and sums of squares by ``ReduceSumSquare``, in place."""
    from onnxscript.optimizer import remove_unused_nodes

    for node in list(model.graph):
        if node.op_type == "Concat":
            _take_smallest_at_once(node)
        if node.op_type == "ReduceSum":
            _square_apart(node)
    remove_unused_nodes(model)


def _take_smallest_at_once(concat: ir.Node) -> None:
    """Let one ``TopK`` find the indices that argmin finds in turns, each time with the last minimum made infinite.

    Both put the first of equals first. Once nothing finite is left, argmin says 0; so does what takes its place, which
    pads with infinity for axes shorter than the number of turns.
    """
    turns = [_made_by(value, "ArgMin") for value in concat.inputs]
    values = turns[0].inputs[0] if turns[0] else None
    if values is None or values.shape is None or values.dtype is None:
        return
    last = len(values.shape) - 1
    if _attribute(concat, "axis") not in (-1, last):
        return
    left = values
    for turn in turns:
        if turn is None or turn.inputs[0] is not left or _attribute(turn, "axis") not in (-1, last):
            return
        if _attribute(turn, "keepdims", 1) != 1 or _attribute(turn, "select_last_index", 0) != 0:
            return
        if turn is not turns[-1]:
            left = _without(left, turn.outputs[0])
            if left is None:
                return
    infinity = _constant(concat, np.array(math.inf, values.dtype.numpy()))
    pads = _constant(concat, np.array([0] * (2 * last + 1) + [len(turns)], np.int64))
    padded = _before(concat, "Pad", [values, pads, infinity])[0]
    count = _constant(concat, np.array([len(turns)], np.int64))
    smallest, index = _before(concat, "TopK", [padded, count], {"axis": last, "largest": 0, "sorted": 1}, 2)
    finite = _before(concat, "Less", [smallest, infinity])[0]
    _replace(concat, _before(concat, "Where", [finite, index, _constant(concat, np.array(0, np.int64))])[0])


def _without(values: ir.Value, index: ir.Value) -> ir.Value | None:
    """Return ``Where(Equal(0, 1, 2, …; index), inf, values)`` if the graph has it."""
    for equal, _ in index.uses():
        numbers = [_made_by(value, "Range") for value in equal.inputs if value is not index]
        if equal.op_type != "Equal" or len(numbers) != 1 or numbers[0] is None:
            continue
        if [_scalar(numbers[0].inputs[0]), _scalar(numbers[0].inputs[2])] != [0, 1]:
            continue
        for where, place in equal.outputs[0].uses():
            if where.op_type == "Where" and place == 0 and where.inputs[2] is values:
                if _scalar(where.inputs[1]) == math.inf:
                    return where.outputs[0]
    return None


def _square_apart(total: ir.Node) -> None:
    """Compute squared distances between all pairs, ``ReduceSum(d · d)`` with d = x_i − x_j, as |x_i|² + |x_j|² − 2 x_i·x_j.

    In float64 that is closer to the distance of float32 coordinates than a sum of float32 squares, and no difference of
    a pair is stored.
    """
    product = _made_by(total.inputs[0], "Mul")
    difference = _made_by(product.inputs[0], "Sub") if product and product.inputs[0] is product.inputs[1] else None
    ends = [_made_by(value, "Unsqueeze") for value in difference.inputs] if difference else []
    if not ends or ends[0] is None or ends[1] is None or ends[0].inputs[0] is not ends[1].inputs[0]:
        return
    x = ends[0].inputs[0]
    axes = [_scalar(node.inputs[1]) for node in (*ends, total)]
    if x is None or x.dtype != ir.DataType.FLOAT or x.shape is None or len(x.shape) != 3:
        return
    if axes not in ([2, 1, 3], [2, 1, -1]) or _attribute(total, "keepdims", 1) != 0:
        return
    exact = _before(total, "Cast", [x], {"to": ir.DataType.DOUBLE})[0]
    squares = _before(total, "Mul", [exact, exact])[0]
    axis = _constant(total, np.array([2], np.int64))
    own = _before(total, "ReduceSum", [squares, axis], {"keepdims": 1})[0]
    both = _before(total, "Add", [own, _before(total, "Transpose", [own], {"perm": [0, 2, 1]})[0]])[0]
    other = _before(total, "Transpose", [exact], {"perm": [0, 2, 1]})[0]
    product_2 = _before(total, "Mul", [_before(total, "MatMul", [exact, other])[0], _constant(total, np.array(2.0))])[0]
    _replace(total, _before(total, "Cast", [_before(total, "Sub", [both, product_2])[0]], {"to": ir.DataType.FLOAT})[0])


def _made_by(value: ir.Value | None, operator: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == operator else None


def _attribute(node: ir.Node, name: str, default: int | None = None) -> int | None:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _scalar(value: ir.Value | None) -> float | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return tensor.numpy().item() if tensor is not None and tensor.size == 1 else None


def _constant(place: ir.Node, array: np.ndarray) -> ir.Value:
    return _before(place, "Constant", [], {"value": ir.tensor(array)})[0]


def _before(
    place: ir.Node, operator: str, inputs: list[ir.Value | None], attributes: dict[str, Any] | None = None, outputs: int = 1
) -> tuple[ir.Value, ...]:
    """Put a new node before another and return its outputs."""
    node = ir.node(operator, inputs, attributes, num_outputs=outputs)
    place.prepend(node)
    return tuple(node.outputs)


def _replace(node: ir.Node, value: ir.Value) -> None:
    old = node.outputs[0]
    value.shape, value.dtype = old.shape, old.dtype
    old.replace_all_uses_with(value)
