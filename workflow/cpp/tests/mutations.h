#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <string_view>

/// Random changes of texts and bytes, the same for the same seed and case.
class Mutations {
 public:
  Mutations(std::uint64_t seed, std::uint64_t number) : random_(seed * 0x9E3779B97F4A7C15ULL + number) {}

  /// Returns a number from 0 to before `end`.
  std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }

  /// Returns `bytes` with one to eight changes; `words` may be put anywhere.
  std::string operator()(std::string bytes, std::span<const std::string_view> words) {
    for (std::size_t left = 1 + below(8); left > 0; --left) change(bytes, words);
    return bytes;
  }

  /// Returns a JSON text with changes: half of the time one or two values are others, and it stays JSON.
  std::string of_json(const std::string& text, std::span<const std::string_view> words) {
    if (below(2) == 0) return (*this)(text, words);
    nlohmann::json value = nlohmann::json::parse(text);
    const nlohmann::json flat = value.flatten();
    for (std::size_t left = 1 + below(2); left > 0; --left) {
      const auto chosen = std::next(flat.begin(), static_cast<std::ptrdiff_t>(below(flat.size())));
      nlohmann::json::json_pointer place(chosen.key());
      for (std::size_t up = below(3); up > 0 && !place.empty(); --up) place.pop_back();
      if (!value.contains(place)) continue;
      const nlohmann::json other = nlohmann::json::parse(words[below(words.size())], nullptr, false);
      value[place] = other.is_discarded() ? flat : other;
    }
    return value.dump();
  }

 private:
  void change(std::string& bytes, std::span<const std::string_view> words) {
    const std::size_t at = below(bytes.size() + 1), length = std::min(below(17), bytes.size() - at);
    switch (below(8)) {
      case 0: if (at < bytes.size()) bytes[at] ^= static_cast<char>(1 << below(8)); return;
      case 1: if (at < bytes.size()) bytes[at] = static_cast<char>(below(256)); return;
      case 2: bytes.erase(at, length); return;
      case 3: bytes.insert(at, bytes.substr(below(bytes.size() + 1), 1 + below(64))); return;
      case 4: if (below(8) == 0) bytes.resize(at); return;
      case 5: bytes.insert(at, words[below(words.size())]); return;
      case 6: bytes.insert(at, std::string(1 + below(300), "[{\"\\9"[below(5)])); return;
      default: replace_word(bytes, at, words[below(words.size())]);
    }
  }

  /// Replaces the letters and digits around a place, a number or a name most often.
  static void replace_word(std::string& bytes, std::size_t at, std::string_view word) {
    const auto inside = [&](std::size_t place) {
      return std::isalnum(static_cast<unsigned char>(bytes[place])) || std::string_view("\"-._").find(bytes[place]) != std::string_view::npos;
    };
    std::size_t end = at;
    while (at > 0 && inside(at - 1)) --at;
    while (end < bytes.size() && inside(end)) ++end;
    bytes.replace(at, end - at, word);
  }

  std::mt19937_64 random_;
};
