#include <ATen/ATen.h>
#include <doctest.h>
#include <modelferry/errors.h>
#include <modelferry/scores.h>

using modelferry::ContractError;

TEST_SUITE("scores") {
  TEST_CASE("scores sum to 1 over the last axis") {
    const at::Tensor scores = modelferry::softmax(at::tensor({1000.F, 1000.F, -5.F, 2.F}).view({2, 2}));
    CHECK((at::allclose(scores.sum(1), at::ones({2}))));
    CHECK(scores[0][0].item<float>() == doctest::Approx(0.5));
    CHECK(scores[1][1].item<float>() == doctest::Approx(0.999089));
    CHECK_THROWS_AS(modelferry::softmax(at::ones({2}, at::kLong)), ContractError);
    CHECK_THROWS_WITH_AS(modelferry::softmax(at::Tensor()), doctest::Contains("undefined"), ContractError);
  }
}
