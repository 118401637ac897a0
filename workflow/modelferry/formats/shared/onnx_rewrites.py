"""Rewrites of an ONNX graph: what PyTorch says with many operators and a runtime computes faster with few.

Each looks for one exact shape of a computation and leaves all others alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir


def rewrite(model: ir.Model) -> None:
    """Replace repeated minima and squared distances between all pairs, and reorder GELUs, in place."""
    from onnxscript.optimizer import remove_unused_nodes

    for concat in [node for node in model.graph if node.op_type == "Concat"]:
        _smallest_at_once(concat)
    for total in [node for node in model.graph if node.op_type == "ReduceSum"]:
        _distances_by_product(total)
    for erf in [node for node in model.graph if node.op_type == "Erf"]:
        _gelu_to_be_fused(erf)
    remove_unused_nodes(model)


def _smallest_at_once(concat: ir.Node) -> None:
    """Let one ``TopK`` find the indices that argmin finds in turns, each time with the last minimum made infinite.

    Both put the first of equals first. Once nothing finite is left, argmin says 0; so does what takes its place, which
    pads with infinity for axes shorter than the number of turns.
    """
    turns = [turn for value in concat.inputs if (turn := _made_by(value, "ArgMin"))]
    values = turns[0].inputs[0] if len(turns) == len(concat.inputs) else None
    if values is None or values.shape is None or values.dtype is None:
        return
    last = len(values.shape) - 1
    if not all(_is_first_minimum(turn, last) for turn in turns) or _integer(concat, "axis") not in (-1, last):
        return
    for before, after in pairwise(turns):
        if not any(left is after.inputs[0] for left in _without_minimum(before)):
            return
    values = _ranked_alike(concat, values)
    assert values.dtype is not None
    infinity = _constant(concat, np.array(math.inf, values.dtype.numpy()))
    pads, count = [0] * (2 * last + 1) + [len(turns)], [len(turns)]
    padded = _insert(concat, "Pad", values, _constant(concat, np.array(pads)), infinity)
    top = ir.node("TopK", [padded, _constant(concat, np.array(count))], {"axis": last, "largest": 0}, num_outputs=2)
    concat.prepend(top)
    finite = _insert(concat, "Less", top.outputs[0], infinity)
    _replace(concat, _insert(concat, "Where", finite, top.outputs[1], _constant(concat, np.array(0))))


def _is_first_minimum(argmin: ir.Node, axis: int) -> bool:
    asked = _integer(argmin, "axis"), _integer(argmin, "keepdims", 1), _integer(argmin, "select_last_index", 0)
    return asked in ((axis, 1, 0), (-1, 1, 0))


def _without_minimum(argmin: ir.Node) -> Iterator[ir.Value]:
    """Yield each ``Where(Equal(range, argmin(values)), inf, values)``."""
    (values,), (index,) = argmin.inputs, argmin.outputs
    for equal in index.consumers():
        numbers = [_made_by(value, "Range") for value in equal.inputs if value is not index]
        if equal.op_type != "Equal" or len(numbers) != 1 or numbers[0] is None:
            continue
        start, _, step = numbers[0].inputs
        if (_number(start), _number(step)) != (0, 1):
            continue
        for where in equal.outputs[0].consumers():
            if where.op_type == "Where" and where.inputs[2] is values and _number(where.inputs[1]) == math.inf:
                yield where.outputs[0]


def _ranked_alike(before: ir.Node, values: ir.Value) -> ir.Value:
    """Return, for |x_i − x_j|² + s, |x_j|² − 2 x_i·x_j + s in float64, which orders each row alike; else `values`."""
    added = _made_by(values, "Add")
    for total, other in (added.inputs, reversed(added.inputs)) if added else ():
        if other is not None and (x := _points(_made_by(total, "ReduceSum"))):
            sizes, products = _sizes_and_products(before, x)
            wide = _insert(before, "Cast", other, to=ir.DataType.DOUBLE)
            row = _insert(before, "Unsqueeze", sizes, _constant(before, np.array([1])))
            ranked = _insert(before, "Add", _insert(before, "Sub", row, products), wide)
            ranked.dtype = ir.DataType.DOUBLE
            return ranked
    return values


def _distances_by_product(total: ir.Node) -> None:
    """Compute |x_i − x_j|² of all pairs, in float32 the sum of squared differences, as |x_i|² + |x_j|² − 2 x_i·x_j.

    No (N, N, F) is stored. What cancels does so in float64: its error is 1e-15 |x|², well below what the rounding of x
    to float32 does to a distance, and equal points stay equally far. Only for points closer than 1e-4 |x| are float32
    differences, taken as given, more exact.
    """
    x = _points(total)
    if x is None:
        return
    sizes, products = _sizes_and_products(total, x)
    row, column = (_insert(total, "Unsqueeze", sizes, _constant(total, np.array([axis]))) for axis in (1, 2))
    distance = _insert(total, "Sub", _insert(total, "Add", row, column), products)
    _replace(total, _insert(total, "Cast", distance, to=ir.DataType.FLOAT))


def _points(total: ir.Node | None) -> ir.Value | None:
    """Return x (B, N, F), float32, for a node that sums (x_i − x_j)² over the features."""
    product = _made_by(total.inputs[0], "Mul") if total else None
    if total is None or product is None or product.inputs[0] is not product.inputs[1]:
        return None
    difference = _made_by(product.inputs[0], "Sub")
    ends = [end for value in difference.inputs if (end := _made_by(value, "Unsqueeze"))] if difference else []
    if len(ends) != 2 or ends[0].inputs[0] is not ends[1].inputs[0]:
        return None
    x, axes = ends[0].inputs[0], [_number(node.inputs[1]) for node in (*ends, total)]
    if x is None or x.dtype != ir.DataType.FLOAT or x.shape is None or len(x.shape) != 3:
        return None
    return x if axes in ([2, 1, 3], [2, 1, -1]) and _integer(total, "keepdims", 1) == 0 else None


def _sizes_and_products(before: ir.Node, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return |x_i|² (B, N) and 2 x_i·x_j (B, N, N) in float64.

    A product with a transposed matrix would do: but ONNX Runtime makes one operator of both, which in float64 the older
    versions, 1.17 among them, cannot execute.
    """
    wide = _insert(before, "Cast", x, to=ir.DataType.DOUBLE)
    sizes = _insert(before, "ReduceSumSquare", wide, _constant(before, np.array([2])), keepdims=0)
    products = _insert(before, "Einsum", wide, wide, equation="bif,bjf->bij")
    return sizes, _insert(before, "Mul", products, _constant(before, np.array(2.0)))


def _gelu_to_be_fused(erf: ir.Node) -> None:
    """Compute x · (½ · (1 + erf(x / √2))) as (x · (1 + erf(x / √2))) · ½, the order in which ONNX Runtime knows a GELU.

    It then computes one operator instead of five. Halving is exact, so both orders give the same.
    """
    quotient = _made_by(erf.inputs[0], "Div")
    sums = _only_user(erf.outputs[0], "Add")
    half = _only_user(sums.outputs[0], "Mul") if sums else None
    product = _only_user(half.outputs[0], "Mul") if half else None
    if quotient is None or sums is None or half is None or product is None:
        return
    x = quotient.inputs[0]
    if x is None or not any(value is x for value in product.inputs) or 0.5 not in map(_number, half.inputs):
        return
    whole = _insert(product, "Mul", x, sums.outputs[0])
    _replace(product, _insert(product, "Mul", whole, next(value for value in half.inputs if _number(value) == 0.5)))


def _only_user(value: ir.Value, operator: str) -> ir.Node | None:
    users = list(value.consumers())
    return users[0] if len(users) == 1 and users[0].op_type == operator else None


def _made_by(value: ir.Value | None, operator: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == operator else None


def _integer(node: ir.Node, attribute: str, default: int | None = None) -> int | None:
    return node.attributes[attribute].as_int() if attribute in node.attributes else default


def _number(value: ir.Value | None) -> float | None:
    """Return a constant with one entry."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return tensor.numpy().item() if tensor is not None and tensor.size == 1 else None


def _constant(before: ir.Node, array: np.ndarray) -> ir.Value:
    return _insert(before, "Constant", value=ir.tensor(array))


def _insert(before: ir.Node, operator: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
    """Put a node with one output before another and return that output."""
    node = ir.node(operator, inputs, attributes)
    before.prepend(node)
    return node.outputs[0]


def _replace(node: ir.Node, value: ir.Value) -> None:
    old = node.outputs[0]
    value.shape, value.type = old.shape, old.type
    old.name, value.name = f"{old.name}_replaced", old.name
    old.replace_all_uses_with(value, replace_graph_outputs=True)
