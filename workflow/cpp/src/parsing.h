#pragma once

#include <modelferry/contract.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

namespace modelferry {

/// Levels of JSON that are read: some functions of the parser call themselves for each, until the stack ends.
constexpr int DEEPEST = 100;

/// Returns a JSON text's value; throws `nlohmann::json::exception` if it is none, or has more than `DEEPEST` levels.
nlohmann::json parse_json(std::string_view text);

/// Returns a whole number of at least 0; throws `nlohmann::json::exception` for anything else, 1e300 and 2.0 included.
std::int64_t count(const nlohmann::json& value);

/// Returns the contract that a JSON value holds; throws `ArtifactError` if it is none.
Contract contract_of(const nlohmann::json& value);

}  // namespace modelferry
