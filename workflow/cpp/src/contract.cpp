#include <modelferry/contract.h>
#include <modelferry/errors.h>
#include <modelferry/tensors.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "describe.h"
#include "parsing.h"

namespace modelferry {
namespace {

using nlohmann::json;

struct Named {
  std::string_view name;
  at::ScalarType dtype;
};
constexpr std::array DTYPES{
    Named{"float64", at::kDouble}, Named{"float32", at::kFloat}, Named{"bfloat16", at::kBFloat16},
    Named{"int64", at::kLong},     Named{"int32", at::kInt},     Named{"uint8", at::kByte},
    Named{"bool", at::kBool},
};

std::vector<Dimension> parse_dimensions(const json& entries) {
  std::vector<Dimension> dimensions;
  for (const json& entry : entries) {
    const std::int64_t minimum = count(entry.at("minimum")), maximum = count(entry.at("maximum"));
    dimensions.push_back({entry.at("name"), minimum, count(entry.at("typical")), maximum});
    if (minimum > maximum) {
      const auto limits = text("' goes from ", minimum, " to ", maximum);
      throw ArtifactError(text("dimension '", dimensions.back().name, limits, "; export it again"));
    }
  }
  return dimensions;
}

Size parse_size(const json& size, const std::vector<Dimension>& dimensions) {
  if (size.is_number()) return {count(size), {}};
  const auto name = size.get<std::string>();
  const auto found = std::ranges::find(dimensions, name, &Dimension::name);
  if (found == dimensions.end()) throw ArtifactError(text("the contract has no dimension '", name, "'"));
  return {-1, static_cast<std::size_t>(found - dimensions.begin())};
}

std::vector<TensorSpec> parse_tensors(const json& entries, const std::vector<Dimension>& dimensions) {
  std::vector<TensorSpec> tensors;
  for (const json& entry : entries) {
    TensorSpec tensor{entry.at("name"), dtype_called(entry.at("dtype").get<std::string>()), {}, {}, {}, {}};
    for (const json& size : entry.at("shape")) tensor.shape.push_back(parse_size(size, dimensions));
    const json below = entry.value("below", json());
    if (!below.is_null()) tensor.below = parse_size(below, dimensions);
    tensor.features = entry.value("features", std::vector<std::string>{});
    tensor.unit = entry.value("unit", "");
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

constexpr std::int64_t UNKNOWN = -1;

/// Throws unless `tensor` is what `spec` asks for; `sizes` of dimensions are those that earlier inputs had.
void check_shape(
    const Contract& contract, const TensorSpec& spec, const at::Tensor& tensor, std::vector<std::int64_t>& sizes) {
  const auto refuse = [&](const auto&... parts) {
    const auto expected = text("expected ", contract.shape_of(spec), " ", name_of(spec.dtype));
    throw ContractError(text("input '", spec.name, "' ", parts..., "; ", expected));
  };
  if (!tensor.defined()) refuse("is missing");
  if (!is_dense(tensor)) refuse("is not a dense tensor in main memory");
  if (tensor.scalar_type() != spec.dtype || tensor.dim() != static_cast<std::int64_t>(spec.shape.size())) {
    refuse("is ", shape_and_dtype(tensor));
  }
  for (std::size_t axis = 0; axis < spec.shape.size(); ++axis) {
    const std::int64_t given = tensor.size(static_cast<std::int64_t>(axis));
    const Size& wanted = spec.shape[axis];
    if (!wanted.dimension) {
      if (given != wanted.fixed) refuse("is ", shape_and_dtype(tensor));
      continue;
    }
    const Dimension& dimension = contract.dimensions[*wanted.dimension];
    if (given < dimension.minimum || given > dimension.maximum) {
      refuse("has ", dimension.name, " = ", given, " (allowed: ", dimension.minimum, " to ", dimension.maximum, ")");
    }
    std::int64_t& known = sizes[*wanted.dimension];
    if (known != UNKNOWN && known != given) refuse("has ", dimension.name, " = ", given, ", another input has ", known);
    known = given;
  }
}

/// Throws unless all integers are at least 0 and less than `limit`: compiled code would read beyond what they count.
void check_integers(const TensorSpec& spec, const at::Tensor& tensor, std::int64_t limit) {
  const at::Tensor wide = tensor.to(at::kLong).contiguous();
  const std::span values(wide.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(wide.numel()));
  const auto wrong = std::ranges::find_if(values, [&](std::int64_t value) { return value < 0 || value >= limit; });
  if (wrong != values.end()) {
    throw ContractError(text("input '", spec.name, "' holds ", *wrong, "; allowed: 0 to ", limit - 1));
  }
}

}  // namespace

Contract contract_of(const json& value) try {
  Contract contract{value.at("layout"), {}, {}, parse_dimensions(value.at("dimensions")), {}};
  contract.inputs = parse_tensors(value.at("inputs"), contract.dimensions);
  contract.outputs = parse_tensors(value.at("outputs"), contract.dimensions);
  contract.classes = value.value("classes", std::vector<std::string>{});
  return contract;
} catch (const json::exception& error) {
  throw ArtifactError(text("the contract cannot be read: ", error.what()));
} catch (const ContractError& error) {  // a dtype that there is not
  throw ArtifactError(text("the contract cannot be read: ", error.what()));
}

Contract parse_contract(std::string_view source) try {
  return contract_of(parse_json(source));
} catch (const json::exception& error) {
  throw ArtifactError(text("the contract cannot be read: ", error.what()));
}

void Contract::check(std::span<const at::Tensor> tensors) const {
  if (tensors.size() != inputs.size()) {
    const auto names = joined(inputs | std::views::transform(&TensorSpec::name));
    throw ContractError(text(tensors.size(), " inputs were given; the contract asks for ", names));
  }
  std::vector<std::int64_t> sizes(dimensions.size(), UNKNOWN);
  for (std::size_t i = 0; i < inputs.size(); ++i) check_shape(*this, inputs[i], tensors[i], sizes);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<Size>& below = inputs[i].below;
    if (!below) continue;
    std::int64_t limit = below->dimension ? sizes[*below->dimension] : below->fixed;
    if (limit == UNKNOWN) limit = dimensions[*below->dimension].maximum;  // only outputs have an axis of it
    check_integers(inputs[i], tensors[i], limit);
  }
}

std::size_t Contract::input(std::string_view name) const {
  const auto found = std::ranges::find(inputs, name, &TensorSpec::name);
  if (found == inputs.end()) {
    const auto names = joined(inputs | std::views::transform(&TensorSpec::name));
    throw ContractError(text("there is no input '", name, "'; the contract asks for ", names));
  }
  return static_cast<std::size_t>(found - inputs.begin());
}

std::string Contract::shape_of(const TensorSpec& tensor) const {
  const auto sizes = tensor.shape | std::views::transform([this](const Size& size) {
                       return size.dimension ? dimensions[*size.dimension].name : std::to_string(size.fixed);
                     });
  return text("(", joined(sizes), ")");
}

at::ScalarType dtype_called(std::string_view name) {
  const auto* found = std::ranges::find(DTYPES, name, &Named::name);
  if (found == DTYPES.end()) {
    throw ContractError(text("unknown dtype '", name, "'; known: ", joined(DTYPES | std::views::transform(&Named::name))));
  }
  return found->dtype;
}

std::string name_of(at::ScalarType dtype) {
  const auto* found = std::ranges::find(DTYPES, dtype, &Named::dtype);
  return found == DTYPES.end() ? c10::toString(dtype) : std::string(found->name);
}

const at::Tensor& Tensors::operator[](std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::first);
  if (found == entries_.end()) {
    const auto names = joined(entries_ | std::views::transform(&Entry::first));
    throw ContractError(text("there is no tensor '", name, "'; there are ", names));
  }
  return found->second;
}

}  // namespace modelferry
