#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include "backend.h"

namespace modelferry {
namespace {

class Package final : public Backend {
 public:
  Package(const Artifact& artifact, const Options& options)
      : loader_(artifact.file.string(), "model", /*run_single_threaded=*/false, options.runners) {}

  std::vector<at::Tensor> run(std::vector<at::Tensor> inputs) override {
    // The compiled code takes all inputs for row-major, and silently computes something else if one is not.
    // Strides of axes of length 1 say nothing about memory, but PyTorch takes an image for channels-last by them.
    for (at::Tensor& input : inputs) {
      input = input.contiguous();
      if (input.dim() > 3) input = input.view(-1).view(input.sizes());
    }
    return loader_.boxed_run(std::move(inputs));
  }

 private:
  torch::inductor::AOTIModelPackageLoader loader_;
};

}  // namespace

std::unique_ptr<Backend> load_aotinductor(const Artifact& artifact, const Options& options) {
  return std::make_unique<Package>(artifact, options);
}

}  // namespace modelferry
