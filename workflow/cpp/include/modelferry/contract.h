#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace modelferry {

/// A named size that may differ from call to call.
struct Dimension {
  std::string name;
  std::int64_t minimum;
  std::int64_t typical;
  std::int64_t maximum;
};

/// One axis: a fixed size, or the position of its dimension in the contract.
struct Size {
  std::int64_t fixed = -1;
  std::optional<std::size_t> dimension;
};

/// One input or output; `features` name the entries of the last axis, in order.
struct TensorSpec {
  std::string name;
  at::ScalarType dtype;
  std::vector<Size> shape;
  std::optional<Size> below;  ///< integers go from 0 to less than this: a number, or the size that they count along
  std::vector<std::string> features;
  std::string unit;
};

/// What may be fed to an artifact, in which order, and what comes back.
struct Contract {
  std::string layout;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Dimension> dimensions;
  std::vector<std::string> classes;

  /// Throws `ContractError` unless `tensors`, in the order of `inputs`, have the dtypes, sizes and integers asked for.
  /// Strides are free, and floating numbers are not looked at.
  void check(std::span<const at::Tensor> tensors) const;

  /// Returns where an input stands; throws `ContractError` with all names if there is none called `name`.
  std::size_t input(std::string_view name) const;

  /// Returns the shape as the contract words it: `(events, particles, 9)`.
  std::string shape_of(const TensorSpec& tensor) const;
};

/// Returns the contract that a manifest or an artifact holds as JSON; throws `ArtifactError` if it is none.
Contract parse_contract(std::string_view json);

/// Returns the dtype that contracts call `name` (`float32`, `int64`, `bool`, …); throws `ContractError` for another.
at::ScalarType dtype_called(std::string_view name);

/// Returns what contracts call `dtype`.
std::string name_of(at::ScalarType dtype);

}  // namespace modelferry
