#pragma once

#include <atomic>

namespace modelferry {

/// Whether a model was opened in this process: from then on `ThreadingService` comes too late.
std::atomic<bool>& any_model_opened();

}  // namespace modelferry
