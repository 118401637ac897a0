#include "artifact.h"

#include <c10/util/Exception.h>
#include <caffe2/serialize/inline_container.h>
#include <modelferry/errors.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "backend.h"
#include "cpu.h"
#include "describe.h"
#include "members.h"
#include "parsing.h"
#include "sha256.h"

namespace modelferry {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr auto MANIFEST = "manifest.json";
constexpr std::uintmax_t MOST_TEXT = 256 << 20;  // bytes of JSON, as in Python
constexpr std::uintmax_t TIMES = 16, SPARE = 1 << 20;  // what entries may be larger than the file, as in Python

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
json parse(std::string_view source, const std::string& called) {
  try {
    return parse_json(source);
  } catch (const json::exception& error) {
    throw ArtifactError(text(called, " is damaged: ", error.what(), "; export it again"));
  }
}

/// Throws unless `file` is a regular one: a named pipe would block.
void check_regular(const fs::path& file) {
  if (!fs::is_regular_file(file)) throw ArtifactError(text(file.string(), " is missing, or not a file; export it again"));
}

/// Throws if an entry would be written outside the folder that the archive is extracted to.
void check_members(const std::string& file, const std::vector<std::string>& names) {
  constexpr std::string_view SIGNS("\\:\0", 3);
  for (const std::string& name : names) {
    const std::string within = '/' + name + '/';
    const auto holds = [&](const char* part) { return within.find(part) != std::string::npos; };
    if (name.starts_with('/') || holds("/../") || holds("/./") || name.find_first_of(SIGNS) != std::string::npos) {
      const auto entry = text(" is refused: its entry '", name, "' would be written outside its folder");
      throw ArtifactError(text(file, entry, "; export it again, and ask where this file comes from"));
    }
  }
}

/// The entries of an archive, read without loading it.
class Archive {
 public:
  explicit Archive(const fs::path& file) try : name_(file.string()), reader_(name_), entries_(reader_.getAllRecords()) {
    const std::vector<std::string> names = members(file);
    check_members(name_, names);
    if (!std::ranges::equal(names, entries_, ends_with)) refuse("has entries that two readers find different");
    if (std::set(entries_.begin(), entries_.end()).size() < entries_.size()) refuse("has two entries of one name");
    std::uintmax_t bytes = 0;
    for (const std::string& entry : entries_) bytes += std::min(reader_.getRecordSize(entry), std::size_t{1} << 48);
    if (bytes > TIMES * fs::file_size(file) + SPARE) refuse("has entries that are much larger than the file");
  } catch (const ArtifactError&) {
    throw;
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
    if (std::ranges::find(entries_, path) == entries_.end()) throw ArtifactError(text(name_, " lacks ", path, "; export it with modelferry"));
    try {
      const auto [data, size] = reader_.getRecord(path);
      return parse({static_cast<const char*>(data.get()), size}, text(path, " in ", name_));
    } catch (const c10::Error& error) {
      throw ArtifactError(text(path, " in ", name_, " is damaged: ", first_line(error), "; export it again"));
    }
  }

 private:
  static bool ends_with(const std::string& name, const std::string& entry) { return name.ends_with('/' + entry); }

  [[noreturn]] void refuse(const char* reason) const {
    throw ArtifactError(text(name_, " is refused: it ", reason, "; export it again, and ask where this file comes from"));
  }

  std::string name_;
  caffe2::serialize::PyTorchStreamReader reader_;
  std::vector<std::string> entries_;
};

std::string content(const fs::path& file) {
  check_regular(file);
  if (fs::file_size(file) > MOST_TEXT) throw ArtifactError(text(file.string(), " is too large; is it the right file?"));
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// What is opened, and the manifest that describes it, if there is one.
struct Located {
  fs::path file;
  std::optional<json> manifest;
};

/// Finds the artifact at `path`, a file or the folder of one, and its manifest: the one named, or the one beside it.
Located locate(const fs::path& path, const fs::path& named) {
  if (!fs::exists(path)) throw ArtifactError(text("there is no artifact ", path.string(), "; export it first"));
  const bool folder = fs::is_directory(path);
  const fs::path beside = (folder ? path : path.parent_path()) / MANIFEST;
  const fs::path& source = named.empty() ? beside : named;
  if (named.empty() && !fs::exists(beside)) {
    if (folder) throw ArtifactError(text(path.string(), " holds no ", MANIFEST, "; name the file itself"));
    return {path, {}};
  }
  const json manifest = parse(content(source), source.string());
  const auto name = fs::path(manifest.at("artifact").at("path").get<std::string>()).filename();
  if (folder || name == path.filename()) return {folder ? path / name : path, manifest};
  if (!named.empty()) throw ArtifactError(text(named.string(), " does not describe ", path.filename().string(), "; name its own"));
  return {path, {}};  // a manifest beside another file than its own says nothing about this one
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
    const char* next = version.data();
    for (int& part : parts) {
      next = std::from_chars(next, version.data() + version.size(), part).ptr;
      if (next == version.data() + version.size() || *next++ != '.') break;
    }
    return parts;
  };
  const bool fits = compiled ? release(made) == release(here) : number(made) <= number(here);
  if (!fits) {
    const auto versions = text(" was made with PyTorch ", release(made), ", and this is ", release(here));
    throw ArtifactError(text(file, versions, "; link with that version or export it again"));
  }
}

Artifact inspect(const fs::path& path, const fs::path& described) try {
  const auto [file, manifest] = locate(path, described);
  const std::string name = file.string();
  Artifact artifact{file, {}, {}, {}};
  Identity& identity = artifact.identity;
  check_regular(file);
  if (manifest) {
    identity.model = manifest->at("model");
    identity.exactness = manifest->at("exactness");
    identity.sha256 = manifest->at("artifact").at("sha256");
    identity.torch = manifest->at("environment").at("packages").value("torch", "");
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
  artifact.contract = contract_of(contract);
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
