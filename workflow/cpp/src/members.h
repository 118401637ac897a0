#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace modelferry {

/// Returns the names of all entries of a zip archive, whole and in the order of its directory: where a reader that
/// extracts them would write. libtorch's reader tells neither their first folder nor what goes beyond 511 bytes.
///
/// Source: APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16.
///
/// @throws ArtifactError  if the file is not a zip archive of one volume
std::vector<std::string> members(const std::filesystem::path& file);

}  // namespace modelferry
