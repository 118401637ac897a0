#include "members.h"

#include <modelferry/errors.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string_view>

#include "describe.h"

static_assert(std::endian::native == std::endian::little);

namespace modelferry {
namespace {

constexpr std::string_view END = "PK\5\6", END_64 = "PK\6\6", LOCATOR_64 = "PK\6\7", ENTRY = "PK\1\2";
constexpr std::uint64_t END_BYTES = 22, LOCATOR_BYTES = 20, END_64_BYTES = 56, ENTRY_BYTES = 46, LONGEST_COMMENT = 65535;

/// Where the directory of an archive lies, and of how many entries it is.
struct Directory {
  std::uint64_t entries, bytes, offset;
};

/// Parts of a file; whatever lies outside of it is an error.
class Bytes {
 public:
  explicit Bytes(const std::filesystem::path& file) : name_(file.string()), stream_(file, std::ios::binary) {
    size_ = std::filesystem::file_size(file);
  }

  std::uint64_t size() const { return size_; }

  std::string at(std::uint64_t offset, std::uint64_t bytes) {
    if (offset > size_ || bytes > size_ - offset) refuse();
    std::string part(bytes, '\0');
    stream_.seekg(static_cast<std::streamoff>(offset));
    if (!stream_.read(part.data(), static_cast<std::streamsize>(bytes))) refuse();
    return part;
  }

  [[noreturn]] void refuse() const { throw ArtifactError(text(name_, " is damaged, or no archive; export it again")); }

 private:
  std::string name_;
  std::ifstream stream_;
  std::uint64_t size_;
};

/// Returns the number at `offset`, which must lie inside of `part`.
template <class Number>
std::uint64_t number(std::string_view part, std::size_t offset) {
  Number value;
  std::memcpy(&value, part.substr(offset, sizeof value).data(), sizeof value);
  return value;
}

Directory directory(Bytes& bytes) {
  const std::uint64_t before = bytes.size() - std::min(bytes.size(), END_BYTES + LONGEST_COMMENT);
  const std::string tail = bytes.at(before, bytes.size() - before);
  if (tail.size() < END_BYTES) bytes.refuse();
  const std::size_t found = tail.rfind(END, tail.size() - END_BYTES);
  if (found == std::string::npos) bytes.refuse();
  const std::uint64_t end = before + found;
  const std::string last = bytes.at(end, END_BYTES);
  const Directory small{number<std::uint16_t>(last, 10), number<std::uint32_t>(last, 12), number<std::uint32_t>(last, 16)};
  if (end < LOCATOR_BYTES) return small;
  const std::string locator = bytes.at(end - LOCATOR_BYTES, LOCATOR_BYTES);
  if (!locator.starts_with(LOCATOR_64)) return small;
  const std::string large = bytes.at(number<std::uint64_t>(locator, 8), END_64_BYTES);
  if (!large.starts_with(END_64)) return small;
  return {number<std::uint64_t>(large, 32), number<std::uint64_t>(large, 40), number<std::uint64_t>(large, 48)};
}

}  // namespace

std::vector<std::string> members(const std::filesystem::path& file) {
  Bytes bytes(file);
  const Directory listed = directory(bytes);
  const std::string entries = bytes.at(listed.offset, listed.bytes);
  std::vector<std::string> names;
  std::uint64_t place = 0;
  while (names.size() < listed.entries) {
    if (entries.size() - place < ENTRY_BYTES) bytes.refuse();
    const std::string_view entry = std::string_view(entries).substr(place);
    const std::uint64_t name = number<std::uint16_t>(entry, 28);
    const std::uint64_t whole = ENTRY_BYTES + name + number<std::uint16_t>(entry, 30) + number<std::uint16_t>(entry, 32);
    if (!entry.starts_with(ENTRY) || whole > entry.size()) bytes.refuse();
    names.emplace_back(entry.substr(ENTRY_BYTES, name));
    place += whole;
  }
  return names;
}

}  // namespace modelferry
