"""The text of a C++ header that is a network: C++17, weights as `constexpr`, no heap, no dependency, `predict`."""

from __future__ import annotations

import re
from string import Template
from typing import TYPE_CHECKING

from modelferry.core.contract import Contract
from modelferry.formats.codegen.layer_graph import Activation, Convolution, Description, Linear, architecture_name
from modelferry.formats.codegen.source_template import constant, contract_text, rows, slot

if TYPE_CHECKING:
    import numpy as np

HEADER = Template("""\
// A $what as C++17: $${identifier}::predict. Written by modelferry.
//
// Nothing is needed but the standard library. Weights are constexpr, and nothing is allocated$memory.
// Matrices are stored with their outputs last, unlike in PyTorch, so that compilers vectorise the loops over them.
#ifndef MODELFERRY_$${guard}
#define MODELFERRY_$${guard}

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
$includes
namespace $${identifier} {

inline constexpr std::string_view name = $${name};
inline constexpr std::string_view version = $${version};
inline constexpr std::string_view architecture = "$architecture";
inline constexpr std::size_t parameters = $parameters;
inline constexpr std::string_view contract = R"contract($contract)contract";

namespace weights {

$constants

}  // namespace weights

namespace detail {
$activations
template <typename Real, std::size_t Inputs, std::size_t Outputs, typename Activation>
std::array<Real, Outputs> linear(const std::array<Real, Inputs>& values, const float (&weight)[Inputs * Outputs],
                                 const float (&bias)[Outputs], Activation activation) {
  std::array<Real, Outputs> result{};
  for (std::size_t output = 0; output < Outputs; ++output) result[output] = static_cast<Real>(bias[output]);
  for (std::size_t input = 0; input < Inputs; ++input) {
    const float* row = weight + input * Outputs;
    for (std::size_t output = 0; output < Outputs; ++output)
      result[output] += values[input] * static_cast<Real>(row[output]);
  }
  for (Real& value : result) value = activation(value);
  return result;
}
$front
}  // namespace detail
$predict
}  // namespace $${identifier}

#endif  // MODELFERRY_$${guard}
""")

FRONT = """
// A convolution with ReLU over a sequence of columns that come one by one; it keeps as many as its kernel spans.
template <typename Real, std::size_t Inputs, std::size_t Outputs, std::size_t Kernel>
class Convolution {
 public:
  static constexpr std::size_t outside = Kernel / 2;

  Convolution(const float (&weight)[Kernel * Inputs * Outputs], const float (&bias)[Outputs])
      : weight_(weight), bias_(bias) {}

  // Takes the next column, or nullptr for the zeros behind the last; returns whether an output became ready.
  bool push(const Real* column) {
    std::array<Real, Inputs>& place = columns_[seen_ % Kernel];
    for (std::size_t input = 0; input < Inputs; ++input) place[input] = column ? column[input] : Real(0);
    ++seen_;
    if (seen_ + outside < Kernel) return false;
    compute();
    return true;
  }

  const Real* output() const { return output_.data(); }

 private:
  void compute() {
    for (std::size_t output = 0; output < Outputs; ++output) output_[output] = static_cast<Real>(bias_[output]);
    for (std::size_t tap = 0; tap < Kernel; ++tap) {
      const std::array<Real, Inputs>& column = columns_[(seen_ + tap) % Kernel];
      for (std::size_t input = 0; input < Inputs; ++input) {
        const Real value = column[input];
        if (value == Real(0)) continue;
        const float* row = weight_ + (tap * Inputs + input) * Outputs;
        for (std::size_t output = 0; output < Outputs; ++output)
          output_[output] += value * static_cast<Real>(row[output]);
      }
    }
    for (Real& value : output_) value = value > Real(0) ? value : Real(0);
  }

  const float* weight_;
  const float* bias_;
  std::size_t seen_ = 0;
  std::array<std::array<Real, Inputs>, Kernel> columns_{};
  std::array<Real, Outputs> output_{};
};

// Layers one behind the other, and the pooling of what the last gives; one position may stand for several.
template <typename Real, std::size_t Channels, typename... Layers>
class Pipeline {
 public:
  Pipeline(std::size_t repeated, std::size_t times, Layers... layers)
      : layers_(layers...), repeated_(repeated), times_(times) {}

  template <std::size_t Layer = 0>
  void push(const Real* column) {
    if constexpr (Layer == sizeof...(Layers)) {
      const double count = position_ == repeated_ ? static_cast<double>(times_) : 1.0;
      for (std::size_t channel = 0; channel < Channels; ++channel) {
        sum_[channel] += count * static_cast<double>(column[channel]);
        if (column[channel] > largest_[channel]) largest_[channel] = column[channel];  // after ReLU, 0 is the least
      }
      ++position_;
    } else {
      auto& layer = std::get<Layer>(layers_);
      if (layer.push(column)) push<Layer + 1>(layer.output());
    }
  }

  template <std::size_t Layer = 0>
  void finish() {
    if constexpr (Layer < sizeof...(Layers)) {
      auto& layer = std::get<Layer>(layers_);
      for (std::size_t count = 0; count < layer.outside; ++count)
        if (layer.push(nullptr)) push<Layer + 1>(layer.output());
      finish<Layer + 1>();
    }
  }

  Real mean(std::size_t channel, std::size_t positions) const {
    return static_cast<Real>(sum_[channel] / static_cast<double>(positions));
  }
  Real largest(std::size_t channel) const { return largest_[channel]; }

 private:
  std::tuple<Layers...> layers_;
  std::size_t repeated_, times_, position_ = 0;
  std::array<double, Channels> sum_{};
  std::array<Real, Channels> largest_{};
};
"""

PREDICT_TEXT = Template("""
// The text counts as its first $max_length bytes, padded with byte 0; it may be empty and need not be valid UTF-8.
// Padding is embedded and pooled like text. It is shortened here until one position stands for all that see nothing
// else, which changes nothing. $meaning
template <typename Real = float>
$result predict(std::string_view text) {
  constexpr std::size_t max_length = $max_length, before = $before, after = $after, positions = $positions;
  text = text.substr(0, max_length);
  while (!text.empty() && text.back() == 0) text.remove_suffix(1);
  const std::size_t shortened = text.size() + before + after + 1;
  const std::size_t length = shortened < max_length ? shortened : max_length;
  using namespace weights;
  detail::Pipeline<Real, $channels, $types> layers(
      text.size() + before, max_length - length + 1, $layers);
  for (std::size_t position = 0; position < length; ++position) {
    const auto byte = position < text.size() ? static_cast<unsigned char>(text[position]) : 0U;
    std::array<Real, $width> column;
    for (std::size_t place = 0; place < $width; ++place)
      column[place] = static_cast<Real>($embedding[byte * $width + place]);
    layers.push(column.data());
  }
  layers.finish();
  std::array<Real, $pooled> values{};
  for (std::size_t channel = 0; channel < $channels; ++channel) {
    $pooling
  }
  return $dense;
}
""")

PREDICT_VECTOR = Template("""
$meaning
template <typename Real = float>
$result predict(const std::array<Real, $inputs>& values) {
  using namespace weights;
  return $dense;
}
""")

OUTPUTS_LAST = "outputs_last_"
"""Begins the slot of a weight whose axes are written in reverse order."""
POOLINGS = {
    "mean": "values[channel] = layers.mean(channel, positions);",
    "max": "values[channel] = layers.largest(channel);",
    "mean_max": "values[channel] = (layers.mean(channel, positions) + layers.largest(channel)) / Real(2);",
    "concat": "values[channel] = layers.mean(channel, positions);\n"
    "    values[$channels + channel] = layers.largest(channel);",
}
ACTIVATIONS: dict[Activation, str] = {
    "none": "return value;",
    "relu": "return value < Real(0) ? Real(0) : value;  // NaN stays NaN, as in PyTorch",
    "tanh": "return std::tanh(value);",
    "sigmoid": "return Real(1) / (Real(1) + std::exp(-value));",
}


def header_body(description: Description, contract: Contract) -> str:
    """Return the header's text with slots."""
    text = description.text
    single = description.outputs == 1
    meaning = " ".join(contract.outputs[0].description.replace("${", "$ {").split())  # one line of a comment
    facts = {
        "dense": _dense(description) + ("[0]" if single else ""),
        "inputs": str(description.dense[0].inputs),
        "result": "Real" if single else f"std::array<Real, {description.outputs}>",
        "meaning": f"// Returns the {contract.outputs[0].name}{f': {meaning}' if meaning else ''}.",
    }
    if text:
        channels = str(text.convolutions[-1].outputs)
        facts |= {
            "meaning": facts["meaning"][3:],
            "max_length": str(text.max_length),
            "before": str(text.before),
            "after": str(text.after),
            "positions": str(text.positions),
            "channels": channels,
            "pooled": str(description.dense[0].inputs),
            "width": str(text.width),
            "embedding": constant(f"{text.embedding}.weight"),
            "types": ", ".join(map(_type, text.convolutions)),
            "layers": ", ".join(f"{_type(c)}({_weight(c.name)}, {_bias(c.name)})" for c in text.convolutions),
            "pooling": POOLINGS[text.pooling].replace("$channels", channels),
        }
    used = dict.fromkeys(layer.activation for layer in description.dense)
    return HEADER.substitute(
        what="byte CNN" if text else "network",
        memory=": a call takes some kB of stack" if text else "",
        includes="#include <tuple>\n" if text else "",
        architecture=architecture_name(description),
        parameters=description.parameters,
        contract=contract_text(contract),
        constants="\n".join(
            _constant(name, text is not None and name == f"{text.embedding}.weight") for name in description.shapes
        ),
        activations="\n".join(map(_activation, used)),
        front=FRONT if text else "",
        predict=(PREDICT_TEXT if text else PREDICT_VECTOR).substitute(facts),
    )


def braced(values: np.ndarray) -> str:
    """Return all numbers, the last axis fastest, as a braced list of literals of type float."""
    literals = [f"{value}F" for value in values.flatten().astype(str)]
    return "{\n" + "\n".join(rows(literals, 2)) + "\n}"


def quoted(text: str) -> str:
    """Return a string literal."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f]", " ", plain) + '"'


def _constant(name: str, embedding: bool) -> str:
    value = slot(name) if embedding or name.endswith(".bias") else slot(OUTPUTS_LAST + name)
    return f"inline constexpr float {constant(name)}[] = {value};"


def _activation(name: Activation) -> str:
    return f"template <typename Real>\nReal {name}(Real value) {{\n  {ACTIVATIONS[name]}\n}}\n"


def _dense(description: Description) -> str:
    """Return the layers as calls within one another."""
    nested = "values"
    for layer in description.dense:
        nested = f"detail::linear({nested}, {_weight(layer.name)}, {_bias(layer.name)}, detail::{_call(layer)})"
    return nested


def _call(layer: Linear) -> str:
    return f"{layer.activation}<Real>"


def _type(layer: Convolution) -> str:
    return f"detail::Convolution<Real, {layer.inputs}, {layer.outputs}, {layer.kernel}>"


def _weight(layer: str) -> str:
    return constant(f"{layer}.weight")


def _bias(layer: str) -> str:
    return constant(f"{layer}.bias")
