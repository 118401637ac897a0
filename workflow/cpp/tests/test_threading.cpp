#include <ATen/Parallel.h>
#include <doctest.h>
#include <modelferry/errors.h>
#include <modelferry/model.h>
#include <modelferry/threading.h>

#include <thread>

#include "samples.h"

namespace {

std::size_t threads_of_this_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace

TEST_SUITE("threading") {
  TEST_CASE("after the service, a model starts no thread, in whatever thread it runs") {
    const std::size_t before = threads_of_this_process();
    const modelferry::ThreadingService service;
    CHECK(at::get_num_threads() == 1);
    CHECK(at::get_num_interop_threads() == 1);
    const modelferry::Model model(made("torchscript"));
    model.run(dense_inputs(64, 40));
    std::jthread([&] { model.run(dense_inputs(64, 40)); }).join();
    CHECK(threads_of_this_process() == before);
    const modelferry::ThreadingService again;
  }
}

TEST_SUITE("late") {
  TEST_CASE("the service refuses to come after a model") {
    const modelferry::Model model(made("torchscript"));
    CHECK_THROWS_WITH_AS(modelferry::ThreadingService(), doctest::Contains("opened already"), modelferry::ThreadingError);
  }
}
