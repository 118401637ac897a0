#include "cpu.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <span>

namespace modelferry {
namespace {

constexpr std::array<std::string_view, 12> FLAGS{
    "avx2",     "fma",      "f16c",     "bmi1",     "bmi2",     "movbe",
    "avx512f",  "avx512bw", "avx512cd", "avx512vl", "avx512dq", "avx512_vnni",
};

struct InstructionSet {
  std::string_view name;
  std::size_t flags;  // so many of FLAGS
};
constexpr std::array SETS{InstructionSet{"avx512_vnni", 12}, InstructionSet{"avx512", 11}, InstructionSet{"avx2", 6}};

const std::string& cpu_flags() {
  static const std::string flags = [] {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("flags") || line.starts_with("Features")) return line.substr(line.find(':') + 1);
    }
    return std::string();
  }();
  return flags;
}

const std::string& machine() {
  static const std::string name = [] {
    utsname system{};
    return uname(&system) == 0 ? std::string(system.machine) : std::string();
  }();
  return name;
}

}  // namespace

bool runs(std::string_view isa, std::string_view flags, std::string_view machine) {
  const auto* known = std::ranges::find(SETS, isa, &InstructionSet::name);
  if (known == SETS.end()) return isa == machine;
  const std::string words = ' ' + std::string(flags) + ' ';
  const auto has = [&](std::string_view flag) { return words.find(' ' + std::string(flag) + ' ') != std::string::npos; };
  return std::ranges::all_of(std::span(FLAGS).first(known->flags), has);
}

bool runs(std::string_view isa) { return runs(isa, cpu_flags(), machine()); }

std::string isa() {
  const auto* widest = std::ranges::find_if(SETS, [](const InstructionSet& set) { return runs(set.name); });
  return widest == SETS.end() ? machine() : std::string(widest->name);
}

}  // namespace modelferry
