#pragma once

#include <ATen/core/Tensor.h>

namespace modelferry {

/// Returns the scores of logits: softmax over the last axis.
///
/// @throws ContractError  if they are not floating point, or a single number
at::Tensor softmax(const at::Tensor& logits);

}  // namespace modelferry
