"""A network in plain Python, 3.8 or later: what generated modules consist of, and what runs JSON files.

Generated modules hold this source itself, so it uses the standard library alone, and no file.
"""

from __future__ import annotations

from collections import Counter
from math import exp, tanh
from operator import add, mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Vector = Sequence[float]
    Matrix = Sequence[Vector]


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(-value)), for numbers of any size."""
    if value >= 0.0:
        return 1.0 / (1.0 + exp(-value))
    small = exp(value)
    return small / (1.0 + small)


def relu(value: float) -> float:
    """Return the value, or 0 where it is negative."""
    return max(value, 0.0)  # in this order NaN stays NaN, as in PyTorch


ACTIVATIONS: dict[str, Callable[[float], float]] = {"none": float, "relu": relu, "sigmoid": sigmoid, "tanh": tanh}


def dense(values: Vector, layers: Sequence[tuple[Matrix, Vector, str]]) -> Vector:
    """Return what linear layers make of values; each has a weight [out][in], a bias [out] and an activation."""
    for weight, bias, activation in layers:
        sums = [sum(map(mul, row, values)) for row in weight]
        values = list(map(ACTIVATIONS[activation], map(add, sums, bias)))
    return values


class ByteNetwork:
    """A byte CNN: an embedding [byte][width], convolutions with ReLU, pooling over all positions, linear layers.

    Nothing is computed twice. A layer is evaluated once for each distinct window of what it reads, as a sum of one
    product per tap; for the first layer these products are rows of a table that is kept, one per tap and byte. And
    padding is shortened until a single position stands for all those that see nothing else.

    A convolution has a weight [out][in][tap] and a bias [out].
    """

    def __init__(
        self,
        embedding: Matrix,
        convolutions: Sequence[tuple[Sequence[Matrix], Vector]],
        layers: Sequence[tuple[Matrix, Vector, str]],
        max_length: int,
        pooling: str,
    ) -> None:
        self.embedding, self.layers, self.max_length, self.pooling = embedding, layers, max_length, pooling
        self.convolutions = [(by_tap(weight), bias) for weight, bias in convolutions]
        kernels = [len(taps) for taps, _ in self.convolutions]
        self.before = sum(kernel // 2 for kernel in kernels)
        self.after = sum((kernel - 1) // 2 for kernel in kernels)
        self.table: list[dict[int, Vector]] = [{} for _ in range(kernels[0])]

    def __call__(self, text: str | bytes) -> Vector:
        """Return what the last layer gives for a text; characters that UTF-8 cannot encode are left out."""
        data = text.encode("utf-8", "ignore") if isinstance(text, str) else bytes(text)
        # Padding is byte 0, embedded like any other, so a byte 0 at the end of a text is padding as well.
        data = data[: self.max_length].rstrip(b"\0")
        length = min(self.max_length, len(data) + self.before + self.after + 1)
        symbols = list(data) + [0] * (length - len(data))
        columns, products = self.embedding, self.table
        for taps, bias in self.convolutions:
            symbols, columns = convolve(symbols, columns, taps, bias, products)
            products = []
        counts = Counter(symbols)
        if length < self.max_length:
            counts[symbols[len(data) + self.before]] += self.max_length - length
        return dense(self.pooled(columns, [float(counts[symbol]) for symbol in range(len(columns))]), self.layers)

    def pooled(self, columns: Matrix, counts: Vector) -> Vector:
        """Return mean and maximum of each channel, put together; a column counts as often as `counts` says."""
        channels = list(map(together, *columns))
        positions = sum(counts)
        means = [sum(map(mul, counts, channel)) / positions for channel in channels]
        peaks = [max(channel) for channel in channels]
        if self.pooling == "mean_max":
            return [0.5 * total for total in map(add, means, peaks)]
        return {"mean": means, "max": peaks, "concat": means + peaks}[self.pooling]


def together(*values: Any) -> tuple[Any, ...]:
    """Return values as a tuple: what `zip` does, within `map`."""
    return values


def by_tap(weight: Sequence[Matrix]) -> list[Matrix]:
    """Return the matrix [out][in] of each tap of a convolution [out][in][tap]."""
    return [[[channel[tap] for channel in row] for row in weight] for tap in range(len(weight[0][0]))]


def convolve(
    symbols: Sequence[int], columns: Matrix, taps: Sequence[Matrix], bias: Vector, products: list[dict[int, Vector]]
) -> tuple[list[int], list[Vector]]:
    """Return what a convolution with ReLU makes of a sequence, which reads ``columns[symbol]`` at each position.

    The result is of the same kind: one symbol a position, numbered as they come, and the column of each symbol.
    `products` keeps what each tap makes of each symbol. Symbol -1 is the zeros outside of the sequence.
    """
    products = products or [{} for _ in taps]
    outside, zero = [-1] * (len(taps) // 2), 0.0
    padded = [*outside, *symbols, *outside]
    windows = list(map(together, *(padded[tap:] for tap in range(len(taps)))))
    numbers = {window: number for number, window in enumerate(dict.fromkeys(windows))}
    results: list[Vector] = []
    for window in numbers:
        total: Iterable[float] = bias
        for tap, symbol in enumerate(window):
            if symbol >= 0:
                product = products[tap].get(symbol)
                if product is None:
                    column = columns[symbol]
                    product = [sum(map(mul, row, column)) for row in taps[tap]]
                    # The first tap's product holds the bias as well.
                    product = products[tap][symbol] = product if tap else list(map(add, bias, product))
                total = map(add, total, product) if tap else product
        results.append([value if value > 0.0 else zero for value in total])
    return [numbers[window] for window in windows], results
