// What the documentation claims about speed, measured: `bench/cpp.py` runs this and prints the table.

#include <ATen/ATen.h>
#include <modelferry/modelferry.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using modelferry::Model;
using modelferry::Tensors;

double seconds(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Tensors inputs_of(std::int64_t particles) {
  return {{"x", at::randn({1, particles, 9}) * 50},
          {"mask", at::ones({1, particles}, at::kBool)},
          {"graph_input", at::eye(4).narrow(0, 0, 1)}};
}

/// Events a second of `threads` on one model.
double throughput(const Model& model, const Tensors& inputs, int threads, double wanted) {
  std::atomic<std::int64_t> calls = 0;
  const auto start = Clock::now();
  {
    std::vector<std::jthread> pool;
    for (int t = 0; t < threads; ++t) {
      pool.emplace_back([&] {
        for (; seconds(start) < wanted; ++calls) model.run(inputs);
      });
    }
  }
  return static_cast<double>(calls) / seconds(start);
}

void views(std::int64_t rows) {
  const std::int64_t pad = modelferry::padded(rows, sizeof(float));
  std::vector<float> values(9 * pad, 1.F);
  modelferry::SoAView view(rows);
  const char* names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8"};
  for (int i = 0; i < 9; ++i) view.column(names[i], values.data() + i * pad);
  const std::vector<std::string_view> columns(std::begin(names), std::end(names));
  constexpr int REPEAT = 1000;
  bool same = true;
  const auto start = Clock::now();
  for (int i = 0; i < REPEAT; ++i) same &= view.tensor(columns).data_ptr() == values.data();
  const double viewed = seconds(start) / REPEAT;
  const auto copying = Clock::now();
  const at::Tensor copy = view.tensor(columns).contiguous();
  std::printf("view %lld %.3f %.3f %d\n", static_cast<long long>(rows), viewed * 1e6, seconds(copying) * 1e6, same);
}

}  // namespace

int main(int count, char** words) {
  const modelferry::ThreadingService threading;
  for (const std::int64_t rows : {10, 1'000, 1'000'000}) views(rows);
  for (int i = 1; i < count; ++i) {
    const Model model(words[i], {.runners = 8});
    const Tensors inputs = inputs_of(20);
    throughput(model, inputs, 8, 0.5);
    for (int round = 0; round < 5; ++round) {
      const double one = throughput(model, inputs, 1, 1.0), eight = throughput(model, inputs, 8, 1.0);
      std::printf("threads %s %.1f %.1f\n", words[i], one, eight);
    }
  }
}
