#pragma once

#include <ATen/core/Tensor.h>
#include <modelferry/model.h>

#include <memory>
#include <vector>

#include "artifact.h"

namespace modelferry {

/// A loaded artifact: what differs between formats.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Computes the outputs; inputs are within the contract. May be called from several threads at once.
  virtual std::vector<at::Tensor> run(std::vector<at::Tensor> inputs) = 0;
};

std::unique_ptr<Backend> load_torchscript(const Artifact& artifact, const Options& options);
std::unique_ptr<Backend> load_aotinductor(const Artifact& artifact, const Options& options);

}  // namespace modelferry
