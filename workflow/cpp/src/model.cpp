#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <modelferry/errors.h>
#include <modelferry/model.h>

#include <mutex>

#include "backend.h"
#include "describe.h"
#include "opened.h"

namespace modelferry {

struct Model::Opened {
  Artifact artifact;
  std::unique_ptr<Backend> backend;

  std::string inputs_as_given(const std::vector<at::Tensor>& inputs) const {
    std::string all;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      all += text(all.empty() ? "" : ", ", artifact.contract.inputs[i].name, " ", shape_and_dtype(inputs[i]));
    }
    return all;
  }
};

namespace {

std::unique_ptr<Backend> load(const Artifact& artifact, const Options& options) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  any_model_opened() = true;
  try {
    return artifact.load(artifact, options);
  } catch (const std::exception& error) {
    throw ArtifactError(text(artifact.file.string(), " does not load: ", first_line(error), "; export it again"));
  }
}

}  // namespace

Model::Model(const std::filesystem::path& artifact, const Options& options) {
  if (options.runners == 0) throw ArtifactError("a model needs at least one runner");
  Artifact inspected = inspect(artifact);
  auto backend = load(inspected, options);
  opened_ = std::make_unique<Opened>(std::move(inspected), std::move(backend));
}

Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

const Contract& Model::contract() const { return opened_->artifact.contract; }
const Identity& Model::identity() const { return opened_->artifact.identity; }

std::vector<at::Tensor> Model::run(std::vector<at::Tensor> inputs) const {
  contract().check(inputs);
  at::internal::lazy_init_num_threads();  // OpenMP keeps the number of threads for each thread of the caller apart
  const c10::InferenceMode no_gradients;
  std::vector<at::Tensor> outputs;
  try {
    outputs = opened_->backend->run(inputs);
  } catch (const std::exception& error) {
    const auto given = opened_->inputs_as_given(inputs);
    throw ExecutionError(text(opened_->artifact.file.string(), " failed on ", given, ": ", first_line(error)));
  }
  if (outputs.size() != contract().outputs.size()) {
    const auto counts = text(" gives ", outputs.size(), " outputs, and its contract says ", contract().outputs.size());
    throw ArtifactError(text(opened_->artifact.file.string(), counts, "; export it again"));
  }
  return outputs;
}

Tensors Model::run(const Tensors& inputs) const {
  std::vector<at::Tensor> ordered(contract().inputs.size());
  for (const auto& [name, tensor] : inputs) {
    at::Tensor& place = ordered[contract().input(name)];
    if (place.defined()) throw ContractError(text("input '", name, "' is given twice"));
    place = tensor;
  }
  std::vector<Tensors::Entry> named;
  std::vector<at::Tensor> outputs = run(std::move(ordered));
  for (std::size_t i = 0; i < outputs.size(); ++i) named.emplace_back(contract().outputs[i].name, std::move(outputs[i]));
  return Tensors(std::move(named));
}

}  // namespace modelferry
