#include "parsing.h"

#include <limits>

#include "describe.h"

namespace modelferry {

using nlohmann::json;

json parse_json(std::string_view source) {
  const auto shallow = [](int depth, json::parse_event_t, const json&) {
    if (depth > DEEPEST) throw json::other_error::create(501, text("more than ", DEEPEST, " levels"), nullptr);
    return true;
  };
  return json::parse(source, shallow);
}

std::int64_t count(const json& value) {
  constexpr auto MOST = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= MOST
                                               : value.is_number_integer() && value.get<std::int64_t>() >= 0;
  if (!fits) {
    throw json::type_error::create(302, text("expected a whole number from 0 to 2^63 - 1, not ", value.type_name()), &value);
  }
  return value.get<std::int64_t>();
}

}  // namespace modelferry
