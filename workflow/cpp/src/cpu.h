#pragma once

#include <string>
#include <string_view>

namespace modelferry {

/// Returns whether this CPU runs code made for `isa`, by the names that manifests use: `avx2`, `avx512`, …
bool runs(std::string_view isa);

/// The same for a CPU with these `flags` (as in /proc/cpuinfo) and this architecture (as in `uname -m`).
bool runs(std::string_view isa, std::string_view flags, std::string_view machine);

/// Returns the widest instruction set of this CPU, or its architecture.
std::string isa();

}  // namespace modelferry
