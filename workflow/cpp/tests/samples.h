#pragma once

#include <ATen/ATen.h>
#include <doctest.h>
#include <modelferry/contract.h>
#include <modelferry/tensors.h>

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#undef CHECK
#define CHECK DOCTEST_CHECK  // libtorch has one too, which ends the process

/// The folder with what Python made for the tests: artifacts, recorded inputs and outputs.
inline std::filesystem::path made(const std::string& name) {
  const char* folder = std::getenv("MODELFERRY_SAMPLES");
  if (folder == nullptr) throw std::runtime_error("MODELFERRY_SAMPLES is not set; the tests are run by pytest");
  return std::filesystem::path(folder) / name;
}

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Returns sizes, or strides, to compare with.
template <class... Sizes>
std::vector<std::int64_t> shape(Sizes... sizes) {
  return {static_cast<std::int64_t>(sizes)...};
}

/// Returns an array as Python wrote it, its values alone.
inline at::Tensor array(const std::string& name, at::IntArrayRef shape, at::ScalarType dtype) {
  const std::string bytes = content(made(name));
  at::Tensor tensor = at::empty(shape, dtype);
  if (bytes.size() != tensor.nbytes()) throw std::runtime_error(name + " has another size");
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

/// A temporary folder with a copy of an artifact and its manifest.
class Copy {
 public:
  explicit Copy(const std::string& name) : folder(std::filesystem::temp_directory_path() / ("modelferry-" + unique())) {
    std::filesystem::copy(made(name), folder);
  }
  ~Copy() { std::filesystem::remove_all(folder); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  std::filesystem::path artifact() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().filename() != "manifest.json") return entry.path();
    }
    throw std::runtime_error("no artifact in " + folder.string());
  }
  void replace(const std::string& old, const std::string& fresh) const {
    std::string text = content(folder / "manifest.json");
    const auto place = text.find(old);
    if (place == std::string::npos) throw std::runtime_error("the manifest does not say " + old);
    std::ofstream(folder / "manifest.json") << text.replace(place, old.size(), fresh);
  }

  const std::filesystem::path folder;

 private:
  static std::string unique() {
    static int count = 0;
    return std::to_string(::getpid()) + "-" + std::to_string(count++);
  }
};

/// Inputs of the dense layout: `events` of `particles`, the same for the same seed.
inline modelferry::Tensors dense_inputs(std::int64_t events, std::int64_t particles, std::uint64_t seed = 1) {
  const auto generator = at::detail::createCPUGenerator(seed);
  return {
      {"x", at::randn({events, particles, 9}, generator) * 50},
      {"mask", at::ones({events, particles}, at::kBool)},
      {"graph_input", at::eye(4).index_select(0, at::arange(events).remainder(4))},
  };
}
