#include <ATen/ops/softmax.h>
#include <modelferry/errors.h>
#include <modelferry/scores.h>

#include "describe.h"

namespace modelferry {

at::Tensor softmax(const at::Tensor& logits) {
  if (!is_dense(logits) || logits.dim() == 0 || !logits.is_floating_point()) {
    throw ContractError(text("logits are ", shape_and_dtype(logits), "; expected (…, classes) floating point"));
  }
  return at::softmax(logits, -1);
}

}  // namespace modelferry
