#include <doctest.h>
#include <modelferry/errors.h>
#include <modelferry/model.h>
#include <modelferry/soa.h>

#include <thread>

#include "samples.h"

using modelferry::ContractError;
using modelferry::Model;
using modelferry::SoAView;
using modelferry::Tensors;

namespace {

constexpr std::array FORMATS{"torchscript", "aotinductor"};

at::Tensor logits(const Model& model, const Tensors& inputs) { return model.run(inputs)["logits"]; }

}  // namespace

TEST_SUITE("model") {
  TEST_CASE("outputs are those that Python recorded") {
    const Tensors inputs{
        {"x", array("dense.x", {8, 20, 9}, at::kFloat)},
        {"mask", array("dense.mask", {8, 20}, at::kBool)},
        {"graph_input", array("dense.graph_input", {8, 4}, at::kFloat)},
    };
    for (const char* format : FORMATS) {
      CAPTURE(format);
      const at::Tensor recorded = array(std::string(format) + ".logits", {8, 4}, at::kFloat);
      CHECK(at::equal(logits(Model(made(format)), inputs), recorded));
    }
  }

  TEST_CASE("inputs go by name or by position, and may be strided") {
    for (const char* format : FORMATS) {
      CAPTURE(format);
      const Model model(made(format));
      const Tensors inputs = dense_inputs(2, 7);
      const at::Tensor expected = logits(model, inputs);
      CHECK((at::equal(model.run(std::vector{inputs["x"], inputs["mask"], inputs["graph_input"]})[0], expected)));
      const at::Tensor columns = inputs["x"].permute({2, 0, 1}).contiguous().permute({1, 2, 0});
      REQUIRE_FALSE(columns.is_contiguous());
      const Tensors strided{{"graph_input", inputs["graph_input"]}, {"mask", inputs["mask"]}, {"x", columns}};
      CHECK(at::allclose(logits(model, strided), expected, 1e-5, 1e-6));
    }
  }

  TEST_CASE("images of one channel are the same with the strides of channels-last") {
    const Model model(made("images.aoti.pt2"));
    for (const std::int64_t images : {1, 2, 5}) {
      CAPTURE(images);
      const at::Tensor rows = at::randn({images, 1, 8, 8});
      const at::Tensor last = rows.as_strided(rows.sizes(), {64, 1, 8, 1});
      REQUIRE((at::equal(last, rows)));
      CHECK((at::equal(model.run(std::vector{last})[0], model.run(std::vector{rows})[0])));
    }
  }

  TEST_CASE("columns of a structure of arrays go in, and scores come back into columns") {
    const std::int64_t rows = 11, pad = modelferry::padded(rows, sizeof(float));
    std::vector<float> values(9 * pad), scores(4 * pad);
    SoAView particles(rows), event(1);
    const at::Tensor x = dense_inputs(1, rows)["x"];
    std::vector<std::string> names;
    for (std::int64_t i = 0; i < 9; ++i) names.push_back("f" + std::to_string(i));
    for (std::int64_t i = 0; i < 9; ++i) particles.column(names[i], values.data() + i * pad);
    const std::vector<std::string_view> columns(names.begin(), names.end());
    particles.write(columns, x[0]);
    event.column("s0", scores.data()).column("s1", scores.data() + pad);
    event.column("s2", scores.data() + 2 * pad).column("s3", scores.data() + 3 * pad);
    for (const char* format : FORMATS) {
      const Model model(made(format));
      const Tensors inputs{{"x", particles.tensor(columns).unsqueeze(0)},
                           {"mask", at::ones({1, rows}, at::kBool)},
                           {"graph_input", at::eye(4).narrow(0, 0, 1)}};
      CHECK(inputs["x"].data_ptr() == values.data());
      event.write({"s0", "s1", "s2", "s3"}, logits(model, inputs));
      CHECK((at::allclose(event.tensor({"s0", "s1", "s2", "s3"}), logits(model, dense_inputs(1, rows)), 1e-5, 1e-6)));
    }
  }

  TEST_CASE("eight threads on one model compute what one does") {
    for (const char* format : FORMATS) {
      for (const std::size_t runners : {1, 8}) {
        CAPTURE(format);
        CAPTURE(runners);
        const Model model(made(format), {.runners = runners});
        std::vector<at::Tensor> serial, found(64);
        for (std::uint64_t i = 0; i < 64; ++i) serial.push_back(logits(model, dense_inputs(1, 2 + i % 20, i)));
        {
          std::vector<std::jthread> threads;
          for (std::uint64_t t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
              for (std::uint64_t i = t; i < 64; i += 8) found[i] = logits(model, dense_inputs(1, 2 + i % 20, i));
            });
          }
        }
        for (std::size_t i = 0; i < 64; ++i) CHECK(at::equal(found[i], serial[i]));
      }
    }
  }

  TEST_CASE("models may be opened by several threads at once") {
    std::vector<at::Tensor> found(4);
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < found.size(); ++t) {
        threads.emplace_back([&, t] { found[t] = logits(Model(made(FORMATS[t % 2])), dense_inputs(1, 5)); });
      }
    }
    for (const at::Tensor& one : found) CHECK(at::allclose(one, found[0], 1e-4, 1e-5));
  }

  TEST_CASE("wrong inputs are refused, and the model goes on") {
    for (const char* format : FORMATS) {
      const Model model(made(format));
      const Tensors good = dense_inputs(2, 5);
      const auto with = [&](const char* name, const at::Tensor& tensor) {
        std::vector<Tensors::Entry> entries(good.begin(), good.end());
        for (auto& [other, value] : entries) {
          if (other == name) value = tensor;
        }
        return Tensors(entries);
      };
      const at::Tensor x = good["x"], mask = good["mask"];
      CHECK_THROWS_WITH_AS(model.run(with("x", x.to(at::kDouble))), doctest::Contains("(2, 5, 9) float64"), ContractError);
      CHECK_THROWS_WITH_AS(model.run(with("x", x.narrow(2, 0, 8))), doctest::Contains("(2, 5, 8)"), ContractError);
      CHECK_THROWS_WITH_AS(model.run(with("mask", mask.narrow(1, 0, 4))), doctest::Contains("particles = 4"), ContractError);
      CHECK_THROWS_WITH_AS(model.run({{"x", x}, {"mask", mask}}), doctest::Contains("'graph_input' is missing"), ContractError);
      CHECK_THROWS_WITH_AS(model.run({{"x", x}, {"x", x}}), doctest::Contains("given twice"), ContractError);
      CHECK_THROWS_WITH_AS(model.run({{"y", x}}), doctest::Contains("no input 'y'"), ContractError);
      CHECK_THROWS_AS(model.run(std::vector<at::Tensor>{}), ContractError);
      CHECK_THROWS_WITH_AS(model.run(good)["scores"], doctest::Contains("there are logits"), ContractError);
      CHECK(model.run(good)["logits"].sizes() == shape(2, 4));
    }
  }

  TEST_CASE("a model has 1 to 1024 runners") {
    for (const std::size_t wrong : {std::size_t{0}, std::size_t{1025}, std::numeric_limits<std::size_t>::max()}) {
      CHECK_THROWS_WITH_AS(Model(made("failing"), {.runners = wrong}), doctest::Contains("1 to 1024"), modelferry::ArtifactError);
    }
  }

  TEST_CASE("what the network itself refuses names all inputs") {
    const Model model(made("failing"));
    const Tensors beyond{{"x", at::zeros({3, 2})}, {"index", at::full({1}, 7, at::kLong)}};
    CHECK_THROWS_WITH_AS(model.run(beyond), doctest::Contains("x (3, 2) float32, index (1) int64"), modelferry::ExecutionError);
    CHECK((model.run({{"x", at::ones({3, 2})}, {"index", at::full({1}, 2, at::kLong)}}).size() == 2));
  }
}
