#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <modelferry/contract.h>
#include <modelferry/errors.h>
#include <modelferry/soa.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "describe.h"

namespace modelferry {
namespace {

/// Returns a * b + c of numbers that are not negative; empty if memory has not so many places.
std::optional<std::int64_t> places(std::int64_t a, std::int64_t b, std::int64_t c = 0) {
  std::int64_t product = 0, sum = 0;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum)) return {};
  return sum;
}

/// Returns whether values of `sizes` and `strides`, and the distance of the first from the last, are numbers of bytes.
bool fits(std::span<const std::int64_t> sizes, std::span<const std::int64_t> strides, std::int64_t bytes) {
  std::optional<std::int64_t> values = bytes, last = 0;
  for (std::size_t axis = 0; axis < sizes.size() && values && last; ++axis) {
    values = places(*values, sizes[axis]);
    last = places(std::max<std::int64_t>(sizes[axis] - 1, 0), strides[axis], *last);
  }
  return values && last && places(*last, bytes, bytes);
}

std::vector<std::int64_t> with(std::int64_t first, const std::vector<std::int64_t>& others) {
  std::vector<std::int64_t> all{first};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

}  // namespace

SoAView::SoAView(std::int64_t rows, std::shared_ptr<const void> owner) : rows_(rows), owner_(std::move(owner)) {
  if (rows < 0) throw ContractError(text("a structure of arrays cannot have ", rows, " rows"));
}

std::int64_t SoAView::product(std::int64_t distance, std::int64_t height) {
  const std::optional<std::int64_t> found = places(distance, height);
  if (!found) throw ContractError("a matrix of a structure of arrays is larger than memory can be");
  return *found;
}

SoAView& SoAView::add(Column column) {
  const auto named = [&](const Column& other) { return other.name == column.name; };
  if (std::ranges::any_of(columns_, named)) throw ContractError(text("two columns are called '", column.name, "'"));
  if (column.data == nullptr && rows_ > 0) throw ContractError(text("column '", column.name, "' points nowhere"));
  const Layout& layout = column.layout;
  const auto positive = [](std::int64_t number) { return number > 0; };
  if (layout.stride < 0 || !std::ranges::all_of(layout.sizes, positive) || !std::ranges::all_of(layout.strides, positive)) {
    throw ContractError(text("column '", column.name, "' has a size or distance that is not positive"));
  }
  const auto bytes = static_cast<std::int64_t>(c10::elementSize(column.dtype));
  if (!fits(with(rows_, layout.sizes), with(layout.stride, layout.strides), bytes)) {
    throw ContractError(text("column '", column.name, "' is larger than memory can be"));
  }
  if (reinterpret_cast<std::uintptr_t>(column.data) % static_cast<std::uintptr_t>(bytes) != 0) {
    throw ContractError(text("column '", column.name, "' is not aligned to its type ", name_of(column.dtype)));
  }
  columns_.push_back(std::move(column));
  return *this;
}

const SoAView::Column& SoAView::find(std::string_view name) const {
  const auto found = std::ranges::find(columns_, name, &Column::name);
  if (found == columns_.end()) {
    const auto names = joined(columns_ | std::views::transform(&Column::name));
    throw ContractError(text("there is no column '", name, "'; there are ", names));
  }
  return *found;
}

SoAView SoAView::rows(std::int64_t begin, std::int64_t end) const {
  if (begin < 0 || begin > end || end > rows_) {
    throw ContractError(text("rows ", begin, " to ", end, " of a structure of arrays with ", rows_));
  }
  SoAView part(end - begin, owner_);
  part.columns_ = columns_;
  for (Column& column : part.columns_) {
    if (column.data == nullptr) continue;
    column.data += begin * column.layout.stride * static_cast<std::int64_t>(c10::elementSize(column.dtype));
  }
  return part;
}

at::Tensor SoAView::tensor(std::span<const std::string_view> columns) const {
  if (columns.empty()) throw ContractError("a tensor needs at least one column");
  const Column& first = find(columns.front());
  const auto bytes = static_cast<std::int64_t>(c10::elementSize(first.dtype));
  std::int64_t distance = 0;
  for (std::size_t i = 1; i < columns.size(); ++i) {
    const Column& before = find(columns[i - 1]);
    const Column& here = find(columns[i]);
    if (here.dtype != first.dtype) {
      const auto dtypes = text("is ", name_of(here.dtype), ", and '", first.name, "' is ", name_of(first.dtype));
      throw ContractError(text("column '", here.name, "' ", dtypes, "; columns of one tensor need one type"));
    }
    if (here.layout != first.layout) {
      throw ContractError(text("columns '", first.name, "' and '", here.name, "' have rows of different shape or stride"));
    }
    const std::int64_t apart = here.data - before.data;
    if (i == 1) distance = apart;
    if (rows_ > 0 && (apart <= 0 || apart != distance || apart % bytes != 0)) {
      const auto where = text("column '", here.name, "' lies ", apart, " bytes behind '", before.name, "'");
      const auto wanted = i == 1 ? std::string("columns of one tensor lie in ascending order") : text("expected ", distance);
      throw ContractError(text(where, "; ", wanted));
    }
  }
  const bool numbers = first.layout.sizes.empty();
  std::vector<std::int64_t> sizes{rows_}, strides{first.layout.stride};
  if (numbers || columns.size() > 1) {
    sizes.push_back(static_cast<std::int64_t>(columns.size()));
    strides.push_back(columns.size() > 1 ? std::max<std::int64_t>(distance / bytes, 1) : 1);
  }
  sizes.insert(sizes.end(), first.layout.sizes.begin(), first.layout.sizes.end());
  strides.insert(strides.end(), first.layout.strides.begin(), first.layout.strides.end());
  if (!fits(sizes, strides, bytes)) throw ContractError(text("columns ", joined(columns), " are larger than memory can be"));
  const auto keep = [owner = owner_](void*) {};
  return at::from_blob(first.data, sizes, strides, keep, at::TensorOptions(first.dtype));
}

void SoAView::write(std::span<const std::string_view> columns, const at::Tensor& values) const {
  for (const std::string_view name : columns) {
    const Column& column = find(name);
    if (!column.writable) throw ContractError(text("column '", name, "' is const"));
    if (column.layout.stride == 0) throw ContractError(text("'", name, "' is a scalar: it has no rows to write to"));
  }
  if (!is_dense(values)) throw ContractError(text("what goes into columns ", joined(columns), " is no dense tensor"));
  const at::NoGradGuard no_gradients;
  const at::Tensor target = tensor(columns);
  const bool flat = values.dim() == 1 && target.dim() == 2 && target.size(1) == 1;
  const at::Tensor shaped = flat ? values.unsqueeze(1) : values;
  if (shaped.sizes() != target.sizes() || shaped.scalar_type() != target.scalar_type()) {
    const auto expected = text("expected ", shape_and_dtype(target));
    throw ContractError(text("columns ", joined(columns), " cannot hold ", shape_and_dtype(values), "; ", expected));
  }
  target.copy_(shaped);
}

}  // namespace modelferry
