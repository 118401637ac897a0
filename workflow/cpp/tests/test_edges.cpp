#include <doctest.h>
#include <modelferry/edges.h>
#include <modelferry/errors.h>

#include <nlohmann/json.hpp>

#include "samples.h"

using modelferry::ContractError;
using modelferry::delta_r_edges;
using modelferry::knn_edges;

namespace {

/// The events that Python recorded, all in one list, with the edges that it found.
struct Recorded {
  nlohmann::json sizes = nlohmann::json::parse(content(made("edges.json")));
  at::Tensor x = array("edges.x", {sizes["nodes"], 9}, at::kFloat);
  at::Tensor batch = array("edges.batch", {sizes["nodes"]}, at::kLong);
  at::Tensor delta_r = array("edges.delta_r", {2, sizes["delta_r"]}, at::kLong);
  at::Tensor knn = array("edges.knn", {2, sizes["knn"]}, at::kLong);
};

}  // namespace

TEST_SUITE("edges") {
  TEST_CASE("edges of 10,000 events, ties included, are those of Python") {
    const Recorded recorded;
    REQUIRE(recorded.batch[-1].item<std::int64_t>() + 1 == 10'000);
    CHECK(at::equal(delta_r_edges(recorded.x, 4, recorded.batch), recorded.delta_r));
    CHECK(at::equal(knn_edges(recorded.x, 4, recorded.batch), recorded.knn));
  }

  TEST_CASE("the layout of the values in memory makes no difference") {
    const at::Tensor x = at::randn({20, 9});
    const at::Tensor columns = x.t().contiguous().t();
    REQUIRE_FALSE(columns.is_contiguous());
    CHECK(at::equal(delta_r_edges(columns), delta_r_edges(x)));
    CHECK(at::equal(knn_edges(columns, 4), knn_edges(x, 4)));
  }

  TEST_CASE("direction, ties and fewer particles than neighbours") {
    const at::Tensor equal = at::ones({3, 9});
    const at::Tensor all = at::tensor({0, 0, 1, 1, 2, 2, 1, 2, 0, 2, 0, 1}, at::kLong).view({2, 6});
    const at::Tensor first = at::tensor({1, 0, 0, 0, 1, 2}, at::kLong).view({2, 3});
    CHECK(at::equal(delta_r_edges(equal), all));
    CHECK(at::equal(knn_edges(equal, 1), first));
    CHECK((delta_r_edges(at::ones({1, 9})).sizes() == shape(2, 0)));
    CHECK((delta_r_edges(at::ones({0, 4})).sizes() == shape(2, 0)));
    CHECK((knn_edges(at::ones({0, 4}), 3).sizes() == shape(2, 0)));
    CHECK((knn_edges(at::ones({5, 2}), 0).sizes() == shape(2, 0)));
  }

  TEST_CASE("wrong arguments say what is expected") {
    CHECK_THROWS_WITH_AS(delta_r_edges(at::ones({3, 3})), doctest::Contains("'x' is (3, 3) float32"), ContractError);
    CHECK_THROWS_AS(delta_r_edges(at::ones({3, 9}, at::kLong)), ContractError);
    CHECK_THROWS_AS(knn_edges(at::ones({3}), 2), ContractError);
    CHECK_THROWS_WITH_AS(knn_edges(at::Tensor(), 2), doctest::Contains("'x' is undefined"), ContractError);
    CHECK_THROWS_AS(delta_r_edges(at::Tensor()), ContractError);
    CHECK_THROWS_AS(delta_r_edges(at::ones({3, 9}), 2, at::Tensor()), ContractError);
    CHECK_THROWS_WITH_AS(knn_edges(at::ones({3, 2}), -1), doctest::Contains("k is -1"), ContractError);
    const at::Tensor falling = at::tensor({1, 0, 0}, at::kLong);
    CHECK_THROWS_WITH_AS(knn_edges(at::ones({3, 2}), 1, falling), doctest::Contains("falls at 1"), ContractError);
    CHECK_THROWS_AS(knn_edges(at::ones({3, 2}), 1, at::zeros({2}, at::kLong)), ContractError);
  }
}
