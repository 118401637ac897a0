// Mutations of what the parsers read: each is taken, or refused by one of our own errors. `bench/fuzz_cpp.py` runs many.

#include <doctest.h>
#include <frames.h>
#include <modelferry/errors.h>
#include <modelferry/model.h>
#include <torch/version.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

#include "archives.h"
#include "artifact.h"
#include "cpu.h"
#include "mutations.h"
#include "samples.h"
#include "sha256.h"

namespace {

using nlohmann::json;

constexpr double SLOWEST = 10;  // seconds of a case, on a busy machine

constexpr std::array<std::string_view, 24> JSON_WORDS{
    "0", "-1", "1e300", "2.5", "9223372036854775807", "18446744073709551615", "-9223372036854775808", "null", "true", "[]", "{}",
    "\"\"", "\"nodes\"", "\"chosen\"", "\"..\"", "\"/\"", "\"\\u0000\"", "\"float16\"", "\"below\": -1, ", "\"repeat\": 1e9, ",
    "\"shape\": [4611686018427387904, 4], ", "[4294967296, 4294967296]", "]", "}, {",
};
constexpr std::array<std::string_view, 10> ZIP_WORDS{
    "PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", "../", "/", "\\", "\xff\xff\xff\xff", std::string_view("\0\0\0\0", 4)};
constexpr std::array<std::string_view, 7> NAMES{"../", "/", "./", "C:", "\\", "data/aotinductor/", "constants.pkl"};

std::uint64_t setting(const char* name, std::uint64_t usual) {
  const char* value = std::getenv(name);
  return value == nullptr ? usual : std::strtoull(value, nullptr, 10);
}

/// Gives mutations to `parse`, and counts those that it takes; whatever it throws must be an error of ours.
void fuzz(const char* parser, const std::function<void(Mutations&)>& parse) {
  const std::uint64_t seed = setting("MODELFERRY_FUZZ_SEED", 17), first = setting("MODELFERRY_FUZZ_FIRST", 0);
  const std::uint64_t cases = setting("MODELFERRY_FUZZ_CASES", 300);
  std::uint64_t taken = 0;
  for (std::uint64_t number = first; number < first + cases; ++number) {
    CAPTURE(number);
    Mutations mutations(seed, number);
    const auto start = std::chrono::steady_clock::now();
    try {
      parse(mutations);
      ++taken;
    } catch (const modelferry::Error&) {
    } catch (const modelferry::run::BrokenStream&) {
    } catch (const std::exception& error) {
      FAIL_CHECK(doctest::String(typeid(error).name()), ": ", error.what());
    }
    CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < SLOWEST);
  }
  std::printf("fuzz %s seed %llu first %llu: %llu taken, %llu refused\n", parser, static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(first), static_cast<unsigned long long>(taken),
              static_cast<unsigned long long>(cases - taken));
  CHECK((cases < 100 || (taken > 0 && taken < cases)));
}

/// A folder of its own for the file that a case writes.
struct Folder {
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("modelferry-fuzz-" + std::to_string(::getpid()));
};

}  // namespace

TEST_SUITE("fuzz") {
  const std::filesystem::path network = made("failing");

  TEST_CASE("contract") {
    const std::string valid = entries_of(network).at("extra/contract.json");
    const std::vector<at::Tensor> inputs{at::zeros({3, 2}), at::zeros({1}, at::kLong)};
    fuzz("contract", [&](Mutations& mutated) {
      const modelferry::Contract contract = modelferry::parse_contract(mutated.of_json(valid, JSON_WORDS));
      for (const auto& tensor : contract.outputs) contract.shape_of(tensor);
      contract.check(inputs);
    });
  }

  TEST_CASE("manifest") {
    const Folder folder;
    const std::string bytes = content(network);
    write(folder.path / "model.pt", bytes);
    json manifest = json::parse(content(made("torchscript") / "manifest.json"));
    manifest["artifact"]["path"] = "results/model.pt";
    manifest["artifact"]["sha256"] = modelferry::sha256({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
    manifest["contract"] = json::parse(entries_of(network).at("extra/contract.json"));
    const std::string valid = manifest.dump(1);
    fuzz("manifest", [&](Mutations& mutated) {
      write(folder.path / "manifest.json", mutated.of_json(valid, JSON_WORDS));
      modelferry::inspect(mutated.below(2) == 0 ? folder.path : folder.path / "model.pt");
    });
  }

  TEST_CASE("archive") {
    const Folder folder;
    const auto scripted = entries_of(network);
    const Entries package{
        {"data/aotinductor/model/a.so", "machine code"},
        {"extra/contract.json", scripted.at("extra/contract.json")},
        {"extra/target.json", json{{"torch", TORCH_VERSION}, {"isa", modelferry::isa()}}.dump()},
    };
    fuzz("archive", [&](Mutations& mutated) {
      auto entries = mutated.below(2) == 0 ? scripted : package;
      const bool inside = mutated.below(2) == 0;
      if (inside) {
        auto chosen = entries.extract(std::next(entries.begin(), static_cast<std::ptrdiff_t>(mutated.below(entries.size()))));
        if (mutated.below(2) == 0) {
          const bool text = chosen.key().ends_with(".json");
          chosen.mapped() = text ? mutated.of_json(chosen.mapped(), JSON_WORDS) : mutated(chosen.mapped(), JSON_WORDS);
        }
        if (mutated.below(4) == 0) chosen.key() = std::string(NAMES[mutated.below(NAMES.size())]) + chosen.key();
        if (mutated.below(64) == 0) chosen.key() = std::string(600, 'a') + "/../" + chosen.key();
        entries.insert(std::move(chosen));
      }
      const std::string bytes = archive_of(entries);
      write(folder.path / "model.pt", inside && mutated.below(2) == 0 ? bytes : mutated(bytes, ZIP_WORDS));
      modelferry::inspect(folder.path / "model.pt");
    });
  }

  TEST_CASE("frames") {
    const modelferry::Model model(network);
    std::vector<std::string> headers;
    std::string values;
    const std::vector<float> x(6, 0.5F);
    const std::vector<std::int64_t> index{1, 0};
    for (const char* repeat : {"", R"("repeat": 2, )"}) {
      headers.push_back(std::string("{") + repeat + R"("tensors": [{"name": "x", "dtype": "float32", "shape": [3, 2]}, )" +
                        R"({"name": "index", "dtype": "int64", "shape": [2]}]})");
    }
    values.append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
    values.append(reinterpret_cast<const char*>(index.data()), index.size() * sizeof(std::int64_t));
    std::FILE* out = std::fopen("/dev/null", "wb");
    fuzz("frames", [&](Mutations& mutated) {
      std::string bytes = mutated.of_json(headers[1], JSON_WORDS) + '\n' + values + headers[0] + '\n' + values;
      if (mutated.below(2) == 0) bytes = mutated(headers[1] + '\n' + values + headers[0] + '\n' + values, JSON_WORDS);
      if (bytes.empty()) return;
      const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(fmemopen(bytes.data(), bytes.size(), "rb"), &std::fclose);
      while (const auto frame = modelferry::run::read_frame(stream.get())) {
        modelferry::run::repeats(frame->header);
        modelferry::run::write_frame(out, {}, model.run(frame->tensors));
      }
    });
    std::fclose(out);
  }
}
