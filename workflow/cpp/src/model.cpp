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

constexpr std::size_t MOST_RUNNERS = 1024;

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
  if (options.runners < 1 || options.runners > MOST_RUNNERS) {
    throw ArtifactError(text("a model has 1 to ", MOST_RUNNERS, " runners, not ", options.runners));
  }
  Artifact inspected = inspect(artifact, options.manifest);
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
  const std::vector<TensorSpec>& promised = contract().outputs;
  const auto refuse = [&](const auto&... parts) {
    throw ArtifactError(text(opened_->artifact.file.string(), " gives ", parts..., "; export it again"));
  };
  if (outputs.size() != promised.size()) refuse(outputs.size(), " outputs, and its contract says ", promised.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].defined() || outputs[i].scalar_type() != promised[i].dtype) {
      refuse(promised[i].name, " as ", shape_and_dtype(outputs[i]), ", and its contract says ", name_of(promised[i].dtype));
    }
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
