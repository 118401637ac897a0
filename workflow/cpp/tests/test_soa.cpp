#include <doctest.h>
#include <modelferry/errors.h>
#include <modelferry/soa.h>

#include <numeric>
#include <vector>

#include "samples.h"

using modelferry::ContractError;
using modelferry::padded;
using modelferry::SoAView;

namespace {

/// Columns of `rows` floats in one buffer, each padded; value of row r in column c is 100 c + r.
struct Blob {
  Blob(std::int64_t rows_, std::int64_t columns, std::size_t alignment = 128)
      : rows(rows_), distance(padded(rows_, sizeof(float), alignment)), values(columns * distance, -1) {
    for (std::int64_t c = 0; c < columns; ++c) {
      for (std::int64_t r = 0; r < rows; ++r) column(c)[r] = static_cast<float>(100 * c + r);
    }
  }
  float* column(std::int64_t c) { return values.data() + c * distance; }

  std::int64_t rows, distance;
  std::vector<float> values;
};

at::Tensor expected(std::int64_t rows, std::int64_t columns) {
  return at::arange(rows).unsqueeze(1) + 100 * at::arange(columns) + at::zeros({1}, at::kFloat);
}

}  // namespace

TEST_SUITE("soa") {
  TEST_CASE("padding is to the alignment, whatever the type") {
    CHECK(padded(5, sizeof(float)) == 32);
    CHECK(padded(32, sizeof(float)) == 32);
    CHECK(padded(33, sizeof(float)) == 64);
    CHECK(padded(5, sizeof(double)) == 16);
    CHECK(padded(5, sizeof(char), 64) == 64);
    CHECK(padded(0, sizeof(float)) == 0);
  }

  TEST_CASE("columns become one tensor without a copy") {
    for (const std::size_t alignment : {std::size_t{4}, std::size_t{32}, std::size_t{128}}) {
      CAPTURE(alignment);
      Blob blob(5, 3, alignment);
      SoAView view(5);
      view.column("a", blob.column(0)).column("b", blob.column(1)).column("c", blob.column(2));
      const at::Tensor tensor = view.tensor({"a", "b", "c"});
      CHECK(tensor.data_ptr() == blob.values.data());
      CHECK(tensor.sizes() == shape(5, 3));
      CHECK(tensor.strides() == shape(1, blob.distance));
      CHECK(at::equal(tensor, expected(5, 3)));
      blob.column(1)[4] = 7;
      CHECK(tensor[4][1].item<float>() == 7);
      CHECK((at::equal(view.tensor({"b", "c"}), tensor.narrow(1, 1, 2))));
      CHECK((view.tensor({"c"}).sizes() == shape(5, 1)));
    }
  }

  TEST_CASE("members of an array of structures are columns too") {
    struct Hit {
      float x, y;
      std::int32_t layer;
    };
    std::vector<Hit> hits{{1, 2, 3}, {4, 5, 6}};
    SoAView view(2);
    view.column("x", &hits[0].x, 3).column("y", &hits[0].y, 3).column("layer", &hits[0].layer, 3);
    CHECK((at::equal(view.tensor({"x", "y"}), at::tensor({1.F, 2.F, 4.F, 5.F}).view({2, 2}))));
    CHECK((at::equal(view.tensor({"layer"}), at::tensor({3, 6}, at::kInt).view({2, 1}))));
  }

  TEST_CASE("a slice of rows points into the same memory") {
    Blob blob(10, 2);
    SoAView view(10);
    view.column("a", blob.column(0)).column("b", blob.column(1)).scalar("scale", blob.column(0));
    const SoAView part = view.rows(3, 7);
    const at::Tensor tensor = part.tensor({"a", "b"});
    CHECK(tensor.data_ptr() == blob.values.data() + 3);
    CHECK(at::equal(tensor, expected(10, 2).slice(0, 3, 7)));
    CHECK((part.tensor({"scale"})[3][0].item<float>() == 0));
    CHECK((view.rows(4, 4).tensor({"a", "b"}).sizes() == shape(0, 2)));
    CHECK_THROWS_WITH_AS(view.rows(3, 11), doctest::Contains("rows 3 to 11"), ContractError);
    CHECK_THROWS_AS(view.rows(5, 4), ContractError);
  }

  TEST_CASE("a scalar is broadcast to all rows") {
    float value = 2.5;
    SoAView view(4);
    view.scalar("scale", &value);
    const at::Tensor tensor = view.tensor({"scale"});
    CHECK(tensor.sizes() == shape(4, 1));
    CHECK(tensor.stride(0) == 0);
    CHECK((at::equal(tensor, at::full({4, 1}, 2.5F))));
    CHECK(tensor.data_ptr() == &value);
  }

  TEST_CASE("columns of vectors and matrices have the strides of a blob") {
    const std::int64_t rows = 3, pad = padded(rows, sizeof(float));
    std::vector<float> values(2 * 6 * pad);
    std::iota(values.begin(), values.end(), 0.F);
    SoAView view(rows);
    view.vector("u", values.data(), 2, pad).vector("v", values.data() + 2 * pad, 2, pad);
    view.matrix("m", values.data(), 2, 3, pad).matrix("n", values.data() + 6 * pad, 2, 3, pad);
    CHECK((view.tensor({"u"}).sizes() == shape(3, 2)));
    CHECK((view.tensor({"u"}).strides() == shape(1, pad)));
    CHECK((view.tensor({"u", "v"}).sizes() == shape(3, 2, 2)));
    CHECK((view.tensor({"u", "v"}).strides() == shape(1, 2 * pad, pad)));
    const at::Tensor matrices = view.tensor({"m", "n"});
    CHECK(matrices.sizes() == shape(3, 2, 2, 3));
    CHECK(matrices.strides() == shape(1, 6 * pad, pad, 2 * pad));
    CHECK(matrices[2][1][1][2].item<float>() == values[6 * pad + (2 * 2 + 1) * pad + 2]);
    CHECK((view.tensor({"m"}).sizes() == shape(3, 2, 3)));
  }

  TEST_CASE("no rows give a tensor without rows, memory or not") {
    SoAView view(0);
    float* nowhere = nullptr;
    view.column("a", nowhere).column("b", nowhere);
    CHECK((view.tensor({"a", "b"}).sizes() == shape(0, 2)));
    view.write({"a", "b"}, at::empty({0, 2}));
  }

  TEST_CASE("outputs are written into columns, padding untouched") {
    Blob blob(5, 2);
    SoAView view(5);
    view.column("a", blob.column(0)).column("b", blob.column(1));
    const at::Tensor scores = at::arange(10, at::kFloat).view({5, 2});
    view.write({"a", "b"}, scores);
    CHECK(blob.column(0)[4] == 8);
    CHECK(blob.column(1)[4] == 9);
    CHECK(blob.column(0)[5] == -1);
    view.write({"b"}, at::full({5}, 3.F));
    CHECK(blob.column(1)[0] == 3);
    CHECK(blob.column(0)[0] == 0);
  }

  TEST_CASE("what cannot be written says why") {
    Blob blob(5, 2);
    const float constant = 1;
    SoAView view(5);
    view.column("a", blob.column(0)).column("fixed", static_cast<const float*>(blob.column(1)));
    float value = 1;
    view.scalar("scale", &value);
    CHECK_THROWS_WITH_AS(view.write({"fixed"}, at::zeros({5})), "column 'fixed' is const", ContractError);
    CHECK_THROWS_WITH_AS(view.write({"scale"}, at::zeros({5})), doctest::Contains("is a scalar"), ContractError);
    CHECK_THROWS_WITH_AS(
        view.write({"a"}, at::zeros({4})), "columns a cannot hold (4) float32; expected (5, 1) float32", ContractError);
    CHECK_THROWS_WITH_AS(view.write({"a"}, at::zeros({5}, at::kDouble)), doctest::Contains("float64"), ContractError);
    CHECK(constant == 1);
  }

  TEST_CASE("columns that make no tensor say why") {
    Blob blob(5, 3);
    std::vector<double> doubles(5);
    std::vector<float> elsewhere(8);
    SoAView view(5);
    view.column("a", blob.column(0)).column("b", blob.column(1)).column("c", blob.column(2));
    view.column("double", doubles.data()).column("strided", elsewhere.data(), 1).vector("vector", blob.column(1), 2, 8);
    CHECK_THROWS_WITH_AS(view.tensor({"a", "x"}), doctest::Contains("there is no column 'x'; there are a, b, c"), ContractError);
    CHECK_THROWS_WITH_AS(view.tensor({"a", "double"}), doctest::Contains("is float64, and 'a' is float32"), ContractError);
    CHECK_THROWS_WITH_AS(view.tensor({"b", "a"}), doctest::Contains("ascending"), ContractError);
    CHECK_THROWS_WITH_AS(view.tensor({"a", "vector"}), doctest::Contains("different shape"), ContractError);
    Blob far(5, 4);
    SoAView uneven(5);
    uneven.column("a", far.column(0)).column("b", far.column(1)).column("d", far.column(3));
    CHECK_THROWS_WITH_AS(uneven.tensor({"a", "b", "d"}), doctest::Contains("256 bytes behind 'b'; expected 128"), ContractError);
    CHECK_THROWS_AS(view.tensor(std::span<const std::string_view>()), ContractError);
    CHECK_THROWS_WITH_AS(view.column("a", blob.column(0)), doctest::Contains("two columns"), ContractError);
    CHECK_THROWS_AS(SoAView(-1), ContractError);
    float* nowhere = nullptr;
    CHECK_THROWS_WITH_AS(SoAView(1).column("a", nowhere), doctest::Contains("points nowhere"), ContractError);
    auto* crooked = reinterpret_cast<float*>(reinterpret_cast<char*>(blob.values.data()) + 1);
    CHECK_THROWS_WITH_AS(SoAView(1).column("a", crooked), doctest::Contains("aligned"), ContractError);
  }

  TEST_CASE("what no memory can hold is refused") {
    constexpr std::int64_t HUGE_ROWS = std::int64_t{1} << 62;
    float value = 1;
    const auto refused = [](const auto& make) { CHECK_THROWS_WITH_AS(make(), doctest::Contains("memory"), ContractError); };
    refused([&] { SoAView(HUGE_ROWS).column("a", &value); });
    refused([&] { SoAView(3).column("a", &value, HUGE_ROWS); });
    refused([&] { SoAView(HUGE_ROWS).scalar("a", &value); });
    refused([&] { SoAView(3).vector("a", &value, 2, HUGE_ROWS); });
    refused([&] { SoAView(3).matrix("a", &value, HUGE_ROWS, 2, 8); });
    refused([&] { padded(std::numeric_limits<std::int64_t>::max(), sizeof(float)); });
    std::vector<std::byte> bytes(8);
    SoAView scalars(std::int64_t{1} << 60);  // two columns of them are too many
    scalars.scalar("a", reinterpret_cast<float*>(bytes.data())).scalar("b", reinterpret_cast<float*>(bytes.data() + 4));
    refused([&] { scalars.tensor({"a", "b"}); });
    CHECK(scalars.tensor({"a"}).size(0) == std::int64_t{1} << 60);
    CHECK(padded(3, sizeof(double), 4) == 3);
  }

  TEST_CASE("only dense tensors are written") {
    Blob blob(3, 1);
    SoAView view(3);
    view.column("a", blob.column(0));
    for (const at::Tensor& wrong : {at::Tensor(), at::ones({3, 1}).to_sparse(), at::empty({3, 1}, at::kMeta)}) {
      CHECK_THROWS_WITH_AS(view.write({"a"}, wrong), doctest::Contains("no dense tensor"), ContractError);
    }
    view.write({"a"}, at::ones({3, 1}).requires_grad_());
    CHECK(blob.column(0)[2] == 1);
  }

  TEST_CASE("an owner lives as long as a tensor does") {
    auto values = std::make_shared<std::vector<float>>(4, 1.F);
    const std::weak_ptr<std::vector<float>> watched = values;
    at::Tensor tensor;
    {
      SoAView view(4, values);
      view.column("a", values->data());
      tensor = view.rows(1, 3).tensor({"a"});
    }
    values.reset();
    CHECK_FALSE(watched.expired());
    CHECK(tensor.sum().item<float>() == 2);
    tensor.reset();
    CHECK(watched.expired());
  }
}
