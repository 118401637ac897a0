#pragma once

#include <modelferry/contract.h>
#include <modelferry/tensors.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace modelferry {

/// What an artifact says about itself, from its manifest and from inside.
struct Identity {
  std::string model;       ///< id of the model, such as `charged_higgs/Run3Mu/…/fold-3`; empty without a manifest
  std::string format;      ///< `torchscript` or `aotinductor`
  std::string exactness;   ///< `exact` or `approximation`; empty without a manifest
  std::string sha256;      ///< of the file, checked; empty without a manifest
  std::string torch;       ///< version that it was made with
  std::string isa;         ///< instruction set that it was compiled for; empty if it runs on any
};

/// How a model is opened.
struct Options {
  /// Calls that an `aotinductor` artifact computes at once; further ones wait. They share the weights. A `torchscript`
  /// artifact has no such limit. 1 to 1024.
  std::size_t runners = 1;

  /// The manifest that tells the digest of the file; without it the `manifest.json` beside the file, if that describes it.
  std::filesystem::path manifest = {};
};

/// A trained network, opened from the files that modelferry ships.
///
/// Thread-safe: any number of threads may call `run` on one model at once. Models may be opened in any number of threads
/// too; they then wait for each other, since libtorch unpacks archives to temporary folders and has raced there.
class Model {
 public:
  /// Opens an artifact: its file, or the folder that holds it and its `manifest.json`.
  ///
  /// Before a byte of it is interpreted, the file is compared with the digest in its manifest; before it is loaded, the
  /// libtorch and the CPU with those that it was made for. A file without a manifest has no digest to compare with; its
  /// contract, version and instruction set are read from inside.
  ///
  /// @throws ArtifactError  with the reason and the remedy
  explicit Model(const std::filesystem::path& artifact, const Options& options = {});
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  /// Returns the outputs by name for inputs by name.
  ///
  /// Inputs may have any strides, borrowed columns of a `SoAView` for instance. `torchscript` reads them in place; an
  /// `aotinductor` package is compiled for row-major inputs, so others are copied once.
  ///
  /// @throws ContractError   if a name, dtype or size is not the contract's
  /// @throws ExecutionError  if the network fails, with the shapes of all inputs
  Tensors run(const Tensors& inputs) const;

  /// The same by position, in the order of `contract().inputs` and `contract().outputs`.
  std::vector<at::Tensor> run(std::vector<at::Tensor> inputs) const;

  const Contract& contract() const;
  const Identity& identity() const;

 private:
  struct Opened;
  std::unique_ptr<Opened> opened_;
};

}  // namespace modelferry
