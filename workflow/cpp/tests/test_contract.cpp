#include <doctest.h>
#include <modelferry/contract.h>
#include <modelferry/errors.h>

#include "samples.h"

using modelferry::ArtifactError;
using modelferry::Contract;
using modelferry::ContractError;
using modelferry::parse_contract;

namespace {

constexpr auto JSON = R"({"layout": "flat", "classes": ["s", "b"],
  "dimensions": [{"name": "nodes", "minimum": 1, "typical": 4, "maximum": 8, "description": ""}],
  "inputs": [{"name": "x", "dtype": "float32", "shape": ["nodes", 3], "features": ["a", "b", "c"], "unit": "GeV"},
             {"name": "index", "dtype": "int64", "shape": ["nodes"], "below": "nodes"}],
  "outputs": [{"name": "logits", "dtype": "float32", "shape": ["nodes", 2]}]})";

void refused(const std::string& reason, std::vector<at::Tensor> tensors) {
  CHECK_THROWS_WITH_AS(parse_contract(JSON).check(tensors), doctest::Contains(reason.c_str()), ContractError);
}

}  // namespace

TEST_SUITE("contract") {
  const at::Tensor x = at::zeros({4, 3}), index = at::arange(4, at::kLong);

  TEST_CASE("what the contract asks for is accepted, with any strides") {
    parse_contract(JSON).check(std::vector{x, index});
    parse_contract(JSON).check(std::vector{at::zeros({3, 4}).t(), index});
  }

  TEST_CASE("what it does not is refused with the input, its shape and dtype") {
    refused("1 inputs were given; the contract asks for x, index", {x});
    refused("input 'x' is (4, 2) float32; expected (nodes, 3) float32", {at::zeros({4, 2}), index});
    refused("input 'x' is (4, 3) float64", {at::zeros({4, 3}, at::kDouble), index});
    refused("input 'x' is (4) float32", {at::zeros({4}), index});
    refused("input 'x' has nodes = 0 (allowed: 1 to 8)", {at::zeros({0, 3}), index});
    refused("input 'x' has nodes = 9", {at::zeros({9, 3}), index});
    refused("input 'index' has nodes = 3, another input has 4", {x, at::arange(3, at::kLong)});
    refused("input 'index' holds 4; allowed: 0 to 3", {x, index + 1});
    refused("input 'index' holds -1", {x, index - 1});
    refused("input 'x' is missing", {at::Tensor(), index});
    refused("input 'x' is not a dense tensor", {x.to_sparse(), index});
  }

  TEST_CASE("what is nested 100,000 deep is an error, known or not") {
    const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
    std::string unknown = JSON;
    unknown.insert(1, "\"unknown\": " + deep + ", ");
    for (const std::string& text : {unknown, deep}) {
      CHECK_THROWS_WITH_AS(parse_contract(text), doctest::Contains("more than 100 levels"), ArtifactError);
    }
  }

  TEST_CASE("sizes are whole numbers from 0") {
    const auto with = [](const std::string& old, const std::string& fresh) {
      std::string text = JSON;
      return text.replace(text.find(old), old.size(), fresh);
    };
    for (const char* wrong : {"1e300", "-1", "8.0", "18446744073709551615", "true", "null", "0"}) {
      CAPTURE(wrong);
      CHECK_THROWS_AS(parse_contract(with("\"maximum\": 8", std::string("\"maximum\": ") + wrong)), ArtifactError);
    }
    CHECK_THROWS_AS(parse_contract(with("3]", "-3]")), ArtifactError);
    CHECK_THROWS_AS(parse_contract(with("\"below\": \"nodes\"", "\"below\": -1")), ArtifactError);
    CHECK_THROWS_WITH_AS(parse_contract(with("int64", "float16")), doctest::Contains("unknown dtype 'float16'"), ArtifactError);
    CHECK(parse_contract(with("\"maximum\": 8", "\"maximum\": 9223372036854775807")).dimensions[0].maximum > 0);
  }

  TEST_CASE("a contract that cannot be read is an error") {
    for (const char* broken : {"", "{", "[]", "{}", R"({"layout": 3})"}) CHECK_THROWS_AS(parse_contract(broken), ArtifactError);
  }

  TEST_CASE("features and units are known") {
    const Contract contract = parse_contract(JSON);
    CHECK((contract.inputs[0].features == std::vector<std::string>{"a", "b", "c"}));
    CHECK(contract.inputs[0].unit == "GeV");
    CHECK(contract.shape_of(contract.outputs[0]) == "(nodes, 2)");
    CHECK(contract.input("index") == 1);
    CHECK_THROWS_WITH_AS(contract.input("y"), "there is no input 'y'; the contract asks for x, index", ContractError);
  }
}
