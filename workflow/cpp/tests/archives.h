#pragma once

#include <caffe2/serialize/inline_container.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

inline void write(const std::filesystem::path& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

/// Contents of entries by their names below the top folder.
using Entries = std::map<std::string, std::string>;

/// Returns the entries of an archive.
inline Entries entries_of(const std::filesystem::path& file) {
  caffe2::serialize::PyTorchStreamReader reader(file.string());
  Entries entries;
  for (const std::string& name : reader.getAllRecords()) {
    const auto [data, size] = reader.getRecord(name);
    if (name != "version" && !name.starts_with(".data/")) entries[name].assign(static_cast<const char*>(data.get()), size);
  }
  return entries;
}

/// Returns an archive as libtorch writes it, below the top folder `archive`.
inline std::string archive_of(const Entries& entries, bool compress = false) {
  std::string bytes;
  const auto append = [&](const void* data, std::size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  };
  caffe2::serialize::PyTorchStreamWriter writer(append);
  for (const auto& [name, content] : entries) writer.writeRecord(name, content.data(), content.size(), compress);
  writer.writeEndOfFile();
  return bytes;
}
