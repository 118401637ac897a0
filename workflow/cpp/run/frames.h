#pragma once

#include <modelferry/tensors.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

// What goes in and out, through pipes or files: one frame after the other. A frame is a line of JSON, and behind it the
// values of the tensors that the line lists under `tensors` (name, dtype, shape), row by row, little-endian.

namespace modelferry::run {

/// A stream that is not a sequence of frames: nothing that follows can be read either.
class BrokenStream : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Frame {
  nlohmann::json header;
  Tensors tensors;
};

/// Returns the next frame, or nothing at the end of the stream; throws `BrokenStream` for whatever is none.
std::optional<Frame> read_frame(std::FILE* stream);

/// Returns how often the header of a frame asks for the model to be run; throws `ContractError` unless 1 to a million times.
int repeats(const nlohmann::json& header);

/// Writes a frame; `tensors` is added to the header.
void write_frame(std::FILE* stream, nlohmann::json header, const Tensors& tensors = {});

}  // namespace modelferry::run
