#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace modelferry {

/// A few tensors by name: the inputs or the outputs of one call. Order counts for nothing but iteration.
class Tensors {
 public:
  using Entry = std::pair<std::string, at::Tensor>;

  Tensors() = default;
  Tensors(std::initializer_list<Entry> entries) : entries_(entries) {}
  explicit Tensors(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  /// Returns the tensor called `name`; throws `ContractError` with all names if there is none.
  const at::Tensor& operator[](std::string_view name) const;

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace modelferry
