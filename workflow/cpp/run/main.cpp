// modelferry-run: executes an artifact on recorded inputs, and writes outputs and timings.

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <modelferry/modelferry.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "frames.h"

namespace modelferry::run {
namespace {

using nlohmann::json;

constexpr std::string_view USAGE = R"(usage: modelferry-run ARTIFACT [--manifest FILE] [--threads N] [--runners N] [--inputs FILE] [--outputs FILE]

Executes an artifact, a file or its folder, on frames of inputs and writes frames of outputs with the seconds that each
call took. Without files it reads and writes pipes, one answer to each frame. workflow/cpp/run/frames.h has the format.
The artifact must have the digest that its manifest tells: FILE, or the manifest.json beside it.
)";

struct Arguments {
  std::string artifact, manifest, inputs, outputs;
  int threads = 1;
  int runners = 1;
};

class Mistake : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

constexpr int MOST_THREADS = 1024;

int number_of(std::string_view option, std::string_view value) {
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < 1 || number > MOST_THREADS) {
    throw Mistake(std::string(option) + " needs a number from 1 to 1024, not '" + std::string(value) + "'");
  }
  return number;
}

Arguments parse(const std::vector<std::string_view>& words) {
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (!word.starts_with("--")) {
      if (!arguments.artifact.empty()) throw Mistake("one artifact only, not also '" + std::string(word) + "'");
      arguments.artifact = word;
      continue;
    }
    if (i + 1 == words.size()) throw Mistake(std::string(word) + " needs a value");
    const std::string_view value = words[++i];
    if (word == "--threads") arguments.threads = number_of(word, value);
    else if (word == "--runners") arguments.runners = number_of(word, value);
    else if (word == "--manifest") arguments.manifest = value;
    else if (word == "--inputs") arguments.inputs = value;
    else if (word == "--outputs") arguments.outputs = value;
    else throw Mistake("unknown option '" + std::string(word) + "'");
  }
  if (arguments.artifact.empty()) throw Mistake("no artifact");
  return arguments;
}

/// Opens a file, or takes a standard stream to itself: what libraries print must not get between the frames.
std::FILE* open(const std::string& path, const char* mode, int standard) {
  std::FILE* stream = path.empty() ? fdopen(dup(standard), mode) : std::fopen(path.c_str(), mode);
  if (stream == nullptr) throw Mistake("cannot open '" + path + "'");
  if (path.empty() && standard == STDOUT_FILENO) dup2(STDERR_FILENO, STDOUT_FILENO);
  return stream;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

json failure(const char* kind, const std::exception& error) {
  return {{"error", {{"kind", kind}, {"message", error.what()}}}};
}

/// Answers one frame: runs the model `repeat` times, and times each.
void answer(const Model& model, const Frame& frame, std::FILE* out) {
  Tensors outputs;
  std::vector<double> seconds;
  try {
    for (int left = repeats(frame.header); left > 0; --left) {
      const auto start = Clock::now();
      outputs = model.run(frame.tensors);
      seconds.push_back(seconds_since(start));
    }
  } catch (const ContractError& error) {
    return write_frame(out, failure("contract", error));
  } catch (const Error& error) {
    return write_frame(out, failure("execution", error));
  }
  write_frame(out, {{"seconds", seconds}, {"peak_memory_mb", peak_memory_mb()}}, outputs);
}

int serve(const Arguments& arguments) {
  std::FILE* out = open(arguments.outputs, "wb", STDOUT_FILENO);
  std::FILE* in = open(arguments.inputs, "rb", STDIN_FILENO);
  const ThreadingService threading;
  if (arguments.threads > 1) at::set_num_threads(arguments.threads);
  const auto refuse = [out](const char* kind, const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    write_frame(out, failure(kind, error));
    return 1;
  };
  try {
    const auto start = Clock::now();
    const auto runners = static_cast<std::size_t>(arguments.runners);
    const Model model(arguments.artifact, {.runners = runners, .manifest = arguments.manifest});
    const double seconds = seconds_since(start);
    const Identity& identity = model.identity();
    write_frame(out, {{"model", identity.model}, {"format", identity.format}, {"load_seconds", seconds}});
    while (const auto frame = read_frame(in)) answer(model, *frame, out);
    return 0;
  } catch (const ArtifactError& error) {
    return refuse("artifact", error);
  } catch (const BrokenStream& error) {
    return refuse("stream", error);
  } catch (const std::exception& error) {
    return refuse("unexpected", error);
  }
}

int main(const std::vector<std::string_view>& words) {
  try {
    return serve(parse(words));
  } catch (const Mistake& mistake) {
    std::cerr << "error: " << mistake.what() << '\n' << USAGE;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace
}  // namespace modelferry::run

int main(int count, char** words) { return modelferry::run::main({words + 1, words + count}); }
