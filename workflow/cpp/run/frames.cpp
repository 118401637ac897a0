#include "frames.h"

#include <ATen/ops/empty.h>
#include <modelferry/contract.h>
#include <modelferry/errors.h>

#include <bit>
#include <string>

#include "parsing.h"

static_assert(std::endian::native == std::endian::little);

namespace modelferry::run {
namespace {

using nlohmann::json;

constexpr std::size_t LONGEST_HEADER = 1 << 20;
constexpr std::int64_t MOST_REPEATS = 1'000'000;

at::Tensor read_tensor(std::FILE* stream, const json& entry) {
  std::vector<std::int64_t> shape;
  for (const json& size : entry.at("shape")) shape.push_back(count(size));
  at::Tensor tensor = at::empty(shape, dtype_called(entry.at("dtype").get<std::string>()));
  // What is empty has no memory, and neither function takes a null pointer.
  if (tensor.nbytes() > 0 && std::fread(tensor.mutable_data_ptr(), 1, tensor.nbytes(), stream) != tensor.nbytes()) {
    throw BrokenStream("the input ends within a tensor");
  }
  return tensor;
}

std::optional<std::string> read_line(std::FILE* stream) {
  std::string line;
  for (int letter; (letter = std::getc(stream)) != EOF;) {
    if (letter == '\n') return line;
    line += static_cast<char>(letter);
    if (line.size() > LONGEST_HEADER) throw BrokenStream("the header of a frame has more than a million letters");
  }
  if (!line.empty()) throw BrokenStream("the input ends within a header");
  return {};
}

}  // namespace

std::optional<Frame> read_frame(std::FILE* stream) try {
  const auto line = read_line(stream);
  if (!line) return {};
  Frame frame{parse_json(*line), {}};
  std::vector<Tensors::Entry> tensors;
  for (const json& entry : frame.header.at("tensors")) {
    tensors.emplace_back(entry.at("name").get<std::string>(), read_tensor(stream, entry));
  }
  frame.tensors = Tensors(std::move(tensors));
  return frame;
} catch (const json::exception& error) {
  throw BrokenStream(std::string("the header of a frame cannot be read: ") + error.what());
} catch (const ContractError& error) {
  throw BrokenStream(error.what());
} catch (const c10::Error&) {
  throw BrokenStream("a tensor has an impossible shape");
}

int repeats(const json& header) try {
  const std::int64_t times = header.contains("repeat") ? count(header.at("repeat")) : 1;
  if (times < 1 || times > MOST_REPEATS) throw ContractError("'repeat' is " + std::to_string(times) + "; allowed: 1 to 1000000");
  return static_cast<int>(times);
} catch (const json::exception& error) {
  throw ContractError(std::string("'repeat' cannot be read: ") + error.what());
}

void write_frame(std::FILE* stream, json header, const Tensors& tensors) {
  header["tensors"] = json::array();
  std::vector<at::Tensor> values;
  for (const auto& [name, tensor] : tensors) {
    header["tensors"].push_back({{"name", name}, {"dtype", name_of(tensor.scalar_type())}, {"shape", tensor.sizes().vec()}});
    values.push_back(tensor.contiguous());
  }
  const std::string line = header.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
  bool written = std::fwrite(line.data(), 1, line.size(), stream) == line.size();
  for (const at::Tensor& value : values) {
    if (value.nbytes() == 0) continue;
    written = written && std::fwrite(value.const_data_ptr(), 1, value.nbytes(), stream) == value.nbytes();
  }
  if (!written || std::fflush(stream) != 0) throw BrokenStream("the output cannot be written");
}

}  // namespace modelferry::run
