#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <modelferry/errors.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace modelferry {

/// Returns the distance in elements between the columns of a blob whose columns are padded to `alignment` bytes.
constexpr std::int64_t padded(std::int64_t rows, std::size_t element_bytes, std::size_t alignment = 128) {
  const auto elements = std::max<std::int64_t>(static_cast<std::int64_t>(alignment / element_bytes), 1);
  if (rows < 0 || rows > std::numeric_limits<std::int64_t>::max() - elements) throw ContractError("no memory has so many rows");
  return (rows + elements - 1) / elements * elements;
}

/// Columns of a structure of arrays, as tensors that borrow their memory: nothing is copied.
///
///     SoAView particles(n);
///     particles.column("E", e).column("Px", px).column("Py", py);
///     at::Tensor x = particles.tensor({"E", "Px", "Py"});  // (n, 3), strides (1, py - px)
///
/// Columns that make one tensor must have one element type, and lie at equal distances in ascending order, as the columns
/// of one buffer do, whatever their alignment and padding.
///
/// Lifetime: tensors point into the caller's memory. It must outlive them and stay where it is, unless an `owner` was
/// given: then every tensor keeps that alive. The view itself may go at any time.
class SoAView {
 public:
  /// @param rows   rows of every column; 0 is allowed
  /// @param owner  what owns the memory; kept alive by all tensors
  explicit SoAView(std::int64_t rows, std::shared_ptr<const void> owner = nullptr);

  /// Adds a column of one number a row. `stride` is the distance of two rows in elements: more than 1 for members of an
  /// array of structures.
  template <class T>
  SoAView& column(std::string name, T* data, std::int64_t stride = 1) {
    return add(std::move(name), data, {stride, {}, {}});
  }

  /// Adds a column of one number for all rows: a tensor of it has stride 0.
  template <class T>
  SoAView& scalar(std::string name, T* value) {
    return add(std::move(name), value, {0, {}, {}});
  }

  /// Adds a column of vectors of `size` components: component i of row n is at `data[i * distance + n]`.
  template <class T>
  SoAView& vector(std::string name, T* data, std::int64_t size, std::int64_t distance) {
    return add(std::move(name), data, {1, {size}, {distance}});
  }

  /// Adds a column of matrices, column-major: entry (i, j) of row n is at `data[(j * height + i) * distance + n]`.
  template <class T>
  SoAView& matrix(std::string name, T* data, std::int64_t height, std::int64_t width, std::int64_t distance) {
    return add(std::move(name), data, {1, {height, width}, {distance, product(distance, height)}});
  }

  /// Returns the same columns from row `begin` to before row `end`: an event, or a mini-batch.
  SoAView rows(std::int64_t begin, std::int64_t end) const;

  std::int64_t rows() const { return rows_; }

  /// Returns columns as one tensor: (rows, c) for c columns of numbers, (rows, c, size) and (rows, c, height, width) for
  /// columns of vectors and matrices, and (rows, size), (rows, height, width) for a single one of those.
  ///
  /// A tensor of const columns is for reading: libtorch cannot promise it, and no network writes to its inputs.
  ///
  /// @throws ContractError  if a column is unknown, or they do not make one tensor
  at::Tensor tensor(std::span<const std::string_view> columns) const;
  at::Tensor tensor(std::initializer_list<std::string_view> columns) const {
    return tensor(std::span(columns.begin(), columns.size()));
  }

  /// Writes a network's output into columns, (rows, c) or, for a single one, (rows).
  ///
  /// @throws ContractError  if shape or dtype differ from the columns', or one of them is const or a scalar
  void write(std::span<const std::string_view> columns, const at::Tensor& values) const;
  void write(std::initializer_list<std::string_view> columns, const at::Tensor& values) const {
    write(std::span(columns.begin(), columns.size()), values);
  }

 private:
  struct Layout {
    std::int64_t stride;
    std::vector<std::int64_t> sizes;    // of one row's value
    std::vector<std::int64_t> strides;  // within it
    bool operator==(const Layout&) const = default;
  };
  struct Column {
    std::string name;
    std::byte* data;
    at::ScalarType dtype;
    bool writable;
    Layout layout;
  };

  template <class T>
  SoAView& add(std::string name, T* data, Layout layout) {
    using Value = std::remove_const_t<T>;
    auto* bytes = reinterpret_cast<std::byte*>(const_cast<Value*>(data));
    constexpr bool writable = !std::is_const_v<T>;
    return add(Column{std::move(name), bytes, c10::CppTypeToScalarType<Value>::value, writable, std::move(layout)});
  }

  SoAView& add(Column column);
  static std::int64_t product(std::int64_t distance, std::int64_t height);
  const Column& find(std::string_view name) const;

  std::int64_t rows_;
  std::shared_ptr<const void> owner_;
  std::vector<Column> columns_;
};

}  // namespace modelferry
