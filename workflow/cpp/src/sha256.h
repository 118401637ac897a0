#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace modelferry {

/// Returns the SHA-256 (FIPS 180-4) of bytes, in hexadecimal.
std::string sha256(std::span<const unsigned char> bytes);

/// Returns that of a file; throws `ArtifactError` if it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace modelferry
