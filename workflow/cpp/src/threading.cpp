#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <modelferry/errors.h>
#include <modelferry/threading.h>

#include <mutex>

#include "opened.h"

namespace modelferry {

std::atomic<bool>& any_model_opened() {
  static std::atomic<bool> opened = false;
  return opened;
}

ThreadingService::ThreadingService() {
  static std::mutex mutex;
  static bool done = false;
  const std::lock_guard lock(mutex);
  if (done) return;
  const char* remedy = "make the ThreadingService at the start of main";
  if (any_model_opened()) throw ThreadingError(std::string("a model was opened already; ") + remedy);
  if (at::get_num_interop_threads() != 1) {
    try {
      at::set_num_interop_threads(1);
    } catch (const c10::Error&) {
      throw ThreadingError(std::string("libtorch has started its threads already; ") + remedy);
    }
  }
  at::set_num_threads(1);
  done = true;
}

}  // namespace modelferry
