"""What a network computes, layer by layer: the one description that all writers of source code share.

Two kinds of networks can be described: stacks of linear layers on a vector of numbers, and byte CNNs, which are such a
stack behind an embedding, convolutions with ReLU, and pooling.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, cast

from modelferry.core.contract import Contract
from modelferry.core.errors import UnsupportedOperatorError
from modelferry.core.model import Part
from modelferry.families.bytecnn.json_file import Pooling

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["none", "relu", "sigmoid", "tanh"]
Shape = tuple[int, ...]

WANTED = "these formats hold byte CNNs, and sequences of linear layers with ReLU, Sigmoid or Tanh"
UNFOLDED = "leave the transform fold_batch_norm on"


class Linear(Part):
    """A linear layer (outputs, inputs) with bias, and what follows it."""

    name: str
    inputs: int
    outputs: int
    activation: Activation


class Convolution(Part):
    """A convolution (outputs, inputs, kernel) with bias and ReLU, padded with zeros by half its kernel on each side."""

    name: str
    inputs: int
    outputs: int
    kernel: int


class Text(Part):
    """What turns a text into a vector: bytes padded to `max_length`, embedded, convolved, pooled."""

    max_length: int
    embedding: str
    vocabulary: int
    width: int
    convolutions: tuple[Convolution, ...]
    pooling: Pooling

    @property
    def before(self) -> int:
        """How many positions before its own an output of the last convolution sees."""
        return sum(layer.kernel // 2 for layer in self.convolutions)

    @property
    def after(self) -> int:
        """How many positions after its own an output of the last convolution sees."""
        return sum((layer.kernel - 1) // 2 for layer in self.convolutions)

    @property
    def positions(self) -> int:
        """How many positions are pooled: an even kernel adds one."""
        return self.max_length + self.before - self.after


class Description(Part):
    """A network: `text`, if it reads bytes, and a stack of linear layers."""

    text: Text | None
    dense: tuple[Linear, ...]

    @property
    def outputs(self) -> int:
        """How many numbers come out."""
        return self.dense[-1].outputs

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of all weights by their names in the state dict, in the order of the computation."""
        text = self.text
        shapes: dict[str, Shape] = {f"{text.embedding}.weight": (text.vocabulary, text.width)} if text else {}
        for layer in text.convolutions if text else ():
            shapes[f"{layer.name}.weight"] = (layer.outputs, layer.inputs, layer.kernel)
            shapes[f"{layer.name}.bias"] = (layer.outputs,)
        for linear in self.dense:
            shapes[f"{linear.name}.weight"] = (linear.outputs, linear.inputs)
            shapes[f"{linear.name}.bias"] = (linear.outputs,)
        return shapes

    @property
    def parameters(self) -> int:
        """The number of values that are written."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def describe(network: nn.Module, contract: Contract, target: str) -> Description:
    """Return the description of a sequence of layers; `target` is the format that an error names.

    Raises
    ------
    UnsupportedOperatorError
        If the network has a layer that cannot be described, and which.
    """
    import torch

    try:
        if len(contract.inputs) != 1 or len(contract.outputs) != 1:
            raise _Undescribable("it has several inputs or outputs")
        if odd := {tensor.dtype for tensor in network.parameters()} - {torch.float32}:
            raise _Undescribable(f"its weights are {str(odd.pop()).removeprefix('torch.')}")
        layers = _layers(network)
        text = _text(layers)
        return Description(text=text, dense=_dense(layers))
    except _Undescribable as error:
        remedy = UNFOLDED if "batch norm" in str(error) else WANTED
        raise UnsupportedOperatorError(f"format {target} cannot hold this network: {error}", remedy) from None


class _Undescribable(Exception):
    """Says which layer is not part of a description."""


Layers = list[tuple[str, "nn.Module"]]


def _layers(network: nn.Module) -> Layers:
    """Return the layers by name, without those that do nothing in evaluation mode."""
    from torch import nn

    if not isinstance(network, nn.Sequential):
        raise _Undescribable(f"it is a {type(network).__name__}, no nn.Sequential")
    layers = [(n, m) for n, m in network.named_children() if not isinstance(m, (nn.Identity, nn.Dropout))]
    if norm := next((name for name, layer in layers if isinstance(layer, nn.BatchNorm1d)), ""):
        raise _Undescribable(f"'{norm}' is a batch norm")
    return layers


def _text(layers: Layers) -> Text | None:
    """Take what makes a vector of a text from the front of `layers`, if they begin so."""
    from modelferry.families.bytecnn.deployable import ByteEmbedding, Pool

    name, embedding = layers[0] if layers else ("", None)
    if not isinstance(embedding, ByteEmbedding):
        return None
    layers.pop(0)
    convolutions = []
    while len(layers) > 1 and (convolution := _convolution(*layers[0], layers[1][1])):
        convolutions.append(convolution)
        del layers[:2]
    if not convolutions or not layers or not isinstance(layers[0][1], Pool):
        raise _Undescribable("its text is not embedded, convolved (stride 1, zeros outside, ReLU) and then pooled")
    vocabulary, width = embedding.weight.shape
    return Text(
        max_length=embedding.length,
        embedding=name,
        vocabulary=vocabulary,
        width=width,
        convolutions=tuple(convolutions),
        pooling=cast(Pooling, layers.pop(0)[1].kind),
    )


def _convolution(name: str, layer: nn.Module, activation: nn.Module) -> Convolution | None:
    """Return a plain convolution with its ReLU."""
    from torch import nn

    if not isinstance(layer, nn.Conv1d) or not isinstance(activation, nn.ReLU):
        return None
    (kernel,) = layer.kernel_size
    plain = (layer.stride, layer.dilation, layer.groups, layer.padding) == ((1,), (1,), 1, (kernel // 2,))
    if not plain or layer.bias is None or layer.padding_mode != "zeros":
        return None
    return Convolution(name=name, inputs=layer.in_channels, outputs=layer.out_channels, kernel=kernel)


def _dense(layers: Layers) -> tuple[Linear, ...]:
    """Return the linear layers, of which there must be at least one and nothing else."""
    from torch import nn

    activations: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}
    linears: list[Linear] = []
    rest = list(layers)
    while rest:
        name, linear = rest.pop(0)
        if not isinstance(linear, nn.Linear):
            raise _Undescribable(f"'{name}' is a {type(linear).__name__}")
        if linear.bias is None:
            raise _Undescribable(f"'{name}' has no bias")
        follows = activations.get(type(rest[0][1])) if rest else None
        if follows:
            rest.pop(0)
        sizes = {"inputs": linear.in_features, "outputs": linear.out_features}
        linears.append(Linear(name=name, **sizes, activation=follows or "none"))
    if not linears:
        raise _Undescribable("it has no linear layer")
    return tuple(linears)


def architecture_name(description: Description) -> str:
    """Return widths in a word: ``embed12_conv40_dense128``."""
    text = description.text
    front = [f"embed{text.width}", *(f"conv{layer.outputs}" for layer in text.convolutions)] if text else []
    return "_".join([*front, *(f"dense{layer.outputs}" for layer in description.dense[:-1])])
