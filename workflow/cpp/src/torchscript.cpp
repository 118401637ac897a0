#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include "backend.h"

namespace modelferry {
namespace {

class TorchScript final : public Backend {
 public:
  explicit TorchScript(const Artifact& artifact) : network_(torch::jit::load(artifact.file.string(), at::kCPU)) {
    network_.eval();
  }

  std::vector<at::Tensor> run(std::vector<at::Tensor> inputs) override {
    const at::IValue result = network_.forward({inputs.begin(), inputs.end()});
    if (result.isTensor()) return {result.toTensor()};
    std::vector<at::Tensor> outputs;
    for (const at::IValue& value : result.toTupleRef().elements()) outputs.push_back(value.toTensor());
    return outputs;
  }

 private:
  torch::jit::Module network_;
};

}  // namespace

std::unique_ptr<Backend> load_torchscript(const Artifact& artifact, const Options&) {
  return std::make_unique<TorchScript>(artifact);
}

}  // namespace modelferry
