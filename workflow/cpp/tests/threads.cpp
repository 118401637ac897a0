// Our own code under ThreadSanitizer: the library without libtorch's loaders, which it does not watch. Several threads
// open models and call one at once. With the argument `race` the backend has a race, which must be reported.

#include <ATen/core/Tensor.h>
#include <modelferry/modelferry.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "backend.h"

namespace modelferry {
namespace {

constexpr int THREADS = 4, CALLS = 200, OPENED = 5;

bool racing = false;
std::int64_t calls = 0;

/// Gives back the inputs that are outputs too.
class Stub final : public Backend {
 public:
  std::vector<at::Tensor> run(std::vector<at::Tensor> inputs) override {
    if (racing) ++calls;
    return inputs;
  }
};

/// Returns a tensor of memory of this thread: what libtorch shares between threads is not looked at.
at::Tensor borrowed(std::vector<float>& values) {
  SoAView view(1);
  view.vector("x", values.data(), static_cast<std::int64_t>(values.size()), 1);
  return view.tensor({"x"});
}

void call(const Model& model, int times) {
  std::vector<float> values(4, 1.F);
  for (int left = times; left > 0; --left) {
    const Tensors outputs = model.run({{"x", borrowed(values)}});
    if (outputs["x"].data_ptr() != values.data()) std::abort();
    try {
      model.run({{"y", borrowed(values)}});
      std::abort();
    } catch (const ContractError&) {
    }
  }
}

void work(const Model& shared, const std::string& path) {
  const ThreadingService too;  // made by `main` already: does nothing
  for (int left = OPENED; left > 0; --left) call(Model(path), 1);
  call(shared, CALLS);
}

}  // namespace

std::unique_ptr<Backend> load_torchscript(const Artifact&, const Options&) { return std::make_unique<Stub>(); }
std::unique_ptr<Backend> load_aotinductor(const Artifact&, const Options&) { return std::make_unique<Stub>(); }

}  // namespace modelferry

int main(int count, char** words) {
  if (count < 2) return 2;
  modelferry::racing = count > 2 && std::strcmp(words[2], "race") == 0;
  const modelferry::ThreadingService threading;
  const modelferry::Model shared(words[1]);
  {
    std::vector<std::jthread> pool;
    for (int t = 0; t < modelferry::THREADS; ++t) pool.emplace_back([&] { modelferry::work(shared, words[1]); });
  }
  std::printf("%d threads opened %d models and called one %d times\n", modelferry::THREADS,
              modelferry::THREADS * modelferry::OPENED, modelferry::THREADS * modelferry::CALLS);
}
