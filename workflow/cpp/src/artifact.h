#pragma once

#include <modelferry/contract.h>
#include <modelferry/model.h>

#include <filesystem>

namespace modelferry {

/// An artifact that was found fit to be loaded here.
struct Artifact {
  std::filesystem::path file;
  Identity identity;
  Contract contract;
};

/// Finds the artifact at `path`, a file or the folder of one, and checks all that can be checked without loading it.
///
/// @throws ArtifactError  if it is missing, altered, damaged, no artifact, or made for another libtorch or CPU
Artifact inspect(const std::filesystem::path& path);

/// Throws `ArtifactError` unless libtorch `here` runs what was made with `made`: an `aotinductor` package needs the very
/// version, a `torchscript` archive that one or a newer one.
void check_torch(const std::string& file, const std::string& format, const std::string& made, const std::string& here);

}  // namespace modelferry
