#include "artifact.h"

#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <modelferry/errors.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "backend.h"
#include "cpu.h"
#include "describe.h"
#include "sha256.h"

namespace modelferry {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr auto MANIFEST = "manifest.json";
/// What an archive may be; `entry` tells which, and `load` is empty if C++ does not run it. Machine code is `compiled` for
/// one kind of CPU and one version of libtorch.
struct Kind {
  std::string_view entry;
  std::string_view format;
  std::string_view called;
  Loader load;
  bool compiled;
};
constexpr std::array KINDS{
    Kind{"data/aotinductor/", "aotinductor", "an AOTInductor package", load_aotinductor, true},
    Kind{"models/", "torch_export", "an exported program", nullptr, false},
    Kind{"constants.pkl", "torchscript", "a TorchScript archive", load_torchscript, false},
};

/// Returns the JSON in a file or an entry of an archive.
template <class Source>
json parse(Source&& source, const std::string& called) {
  try {
    return json::parse(source);
  } catch (const json::exception& error) {
    throw ArtifactError(text(called, " is damaged: ", error.what(), "; export it again"));
  }
}

/// The entries of an archive, read without loading it.
class Archive {
 public:
  explicit Archive(const fs::path& file) try : name_(file.string()), reader_(name_), entries_(reader_.getAllRecords()) {
  } catch (const std::exception& error) {
    throw ArtifactError(text(file.string(), " is damaged, or no artifact: ", first_line(error), "; export it again"));
  }

  const Kind& kind() const {
    const auto holds = [&](const Kind& kind) {
      return std::ranges::any_of(entries_, [&](const auto& entry) { return entry.starts_with(kind.entry); });
    };
    const auto* found = std::ranges::find_if(KINDS, holds);
    if (found == KINDS.end()) throw ArtifactError(text(name_, " is not an artifact that modelferry knows; export it again"));
    return *found;
  }

  json extra(const std::string& entry) {
    const std::string path = "extra/" + entry;
    if (!reader_.hasRecord(path)) throw ArtifactError(text(name_, " lacks ", path, "; export it with modelferry"));
    const auto [data, size] = reader_.getRecord(path);
    return parse(std::string(static_cast<const char*>(data.get()), size), text(path, " in ", name_));
  }

 private:
  std::string name_;
  caffe2::serialize::PyTorchStreamReader reader_;
  std::vector<std::string> entries_;
};

std::optional<json> read_manifest(const fs::path& path) {
  if (!fs::exists(path)) return {};
  std::ifstream file(path);
  return parse(file, path.string());
}

/// Returns the artifact's path and the manifest beside it, which must be there if only a folder was given.
std::pair<fs::path, std::optional<json>> locate(const fs::path& path) {
  if (!fs::exists(path)) throw ArtifactError(text("there is no artifact ", path.string(), "; export it first"));
  const bool folder = fs::is_directory(path);
  auto manifest = read_manifest((folder ? path : path.parent_path()) / MANIFEST);
  if (folder && !manifest) throw ArtifactError(text(path.string(), " holds no ", MANIFEST, "; name the file itself"));
  if (!folder && manifest) {
    // A manifest beside another file than its own says nothing about this one.
    if (fs::path(manifest->at("artifact").at("path").get<std::string>()).filename() != path.filename()) manifest.reset();
  }
  return {folder ? path / fs::path(manifest->at("artifact").at("path").get<std::string>()).filename() : path, manifest};
}

std::string release(const std::string& version) { return version.substr(0, version.find('+')); }

void check_format(const std::string& file, const Kind& kind, const std::optional<json>& manifest) {
  const std::string said = manifest ? manifest->at("format").get<std::string>() : std::string(kind.format);
  // A format of one's own may write any kind of archive.
  const bool known = std::ranges::any_of(KINDS, [&](const Kind& other) { return other.format == said; });
  if (known && said != kind.format) {
    throw ArtifactError(text(file, " is ", kind.called, ", and its manifest says ", said, "; export it again"));
  }
  if (kind.load == nullptr) {
    throw ArtifactError(text(file, " is ", kind.called, ", which runs in Python only; export it to aotinductor"));
  }
}

}  // namespace

void check_torch(const std::string& file, bool compiled, const std::string& made, const std::string& here) {
  const auto number = [](const std::string& version) {
    std::array<int, 3> parts{};
    std::sscanf(version.c_str(), "%d.%d.%d", &parts[0], &parts[1], &parts[2]);
    return parts;
  };
  const bool fits = compiled ? release(made) == release(here) : number(made) <= number(here);
  if (!fits) {
    const auto versions = text(" was made with PyTorch ", release(made), ", and this is ", release(here));
    throw ArtifactError(text(file, versions, "; link with that version or export it again"));
  }
}

Artifact inspect(const fs::path& path) try {
  const auto [file, manifest] = locate(path);
  const std::string name = file.string();
  Artifact artifact{file, {}, {}, {}};
  Identity& identity = artifact.identity;
  if (manifest) {
    identity.model = manifest->at("model");
    identity.exactness = manifest->at("exactness");
    identity.sha256 = manifest->at("artifact").at("sha256");
    identity.torch = manifest->at("environment").at("packages").value("torch", "");
    if (!fs::is_regular_file(file)) throw ArtifactError(text(name, " is missing; export it again"));
    if (sha256_of_file(file) != identity.sha256) {
      throw ArtifactError(text(name, " is not the file that its manifest describes; export it again"));
    }
  }
  Archive archive(file);
  const Kind& kind = archive.kind();
  check_format(name, kind, manifest);
  identity.format = kind.format;
  artifact.load = kind.load;
  const json contract = archive.extra("contract.json");
  if (manifest && manifest->at("contract") != contract) {
    throw ArtifactError(text(name, " and its manifest have different contracts; export it again"));
  }
  artifact.contract = parse_contract(contract.dump());
  if (kind.compiled) {
    const json target = archive.extra("target.json");
    identity.torch = target.at("torch");
    identity.isa = target.at("isa");
    if (!runs(identity.isa)) {
      const auto machines = text(" was compiled for ", identity.isa, ", and this CPU has ", isa());
      throw ArtifactError(text(name, machines, "; build the template on this kind of machine, or with isa: avx2"));
    }
  }
  if (!identity.torch.empty()) check_torch(name, kind.compiled, identity.torch, TORCH_VERSION);
  return artifact;
} catch (const json::exception& error) {
  throw ArtifactError(text(path.string(), ": the manifest lacks a field: ", error.what(), "; export it again"));
} catch (const fs::filesystem_error& error) {
  throw ArtifactError(text(path.string(), " cannot be read: ", error.code().message()));
}

}  // namespace modelferry
