#pragma once

#include <ATen/core/Tensor.h>
#include <modelferry/contract.h>

#include <exception>
#include <ranges>
#include <sstream>
#include <string>
#include <string_view>

namespace modelferry {

/// Returns anything that streams take, one after the other, as text.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Returns names as `a, b, c`.
template <std::ranges::input_range Names>
std::string joined(const Names& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + std::string(name);
  return all;
}

/// Returns `(20, 9) float32`.
inline std::string shape_and_dtype(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  const auto sizes = tensor.sizes() | std::views::transform([](std::int64_t size) { return std::to_string(size); });
  return text("(", joined(sizes), ") ", name_of(tensor.scalar_type()));
}

/// Returns whether a tensor is there, in main memory, and has a value at every place.
inline bool is_dense(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cpu() && tensor.layout() == at::kStrided && !tensor.is_nested();
}

/// Returns what an exception of libtorch says before it goes on about stacks.
inline std::string first_line(const std::exception& error) {
  const std::string_view what = error.what();
  return std::string(what.substr(0, what.find('\n')));
}

}  // namespace modelferry
