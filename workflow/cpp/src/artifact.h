#pragma once

#include <modelferry/contract.h>
#include <modelferry/model.h>

#include <filesystem>
#include <memory>
#include <string>

namespace modelferry {

class Backend;
struct Artifact;

/// Loads an artifact; found by what is in the file.
using Loader = std::unique_ptr<Backend> (*)(const Artifact&, const Options&);

/// An artifact that can be loaded here.
struct Artifact {
  std::filesystem::path file;
  Identity identity;
  Contract contract;
  Loader load = nullptr;
};

/// Finds the artifact at `path`, a file or the folder of one, and checks all that can be checked without loading it: first
/// of all its digest, if `manifest` or the manifest beside it tells one.
///
/// @throws ArtifactError  if it is missing, altered, damaged, no artifact, or made for another libtorch or CPU
Artifact inspect(const std::filesystem::path& path, const std::filesystem::path& manifest = {});

/// Throws `ArtifactError` unless libtorch `here` runs what was made with `made`: the same version for `compiled` code, that
/// one or a newer one for everything else.
void check_torch(const std::string& file, bool compiled, const std::string& made, const std::string& here);

}  // namespace modelferry
