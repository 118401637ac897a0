#pragma once

namespace modelferry {

/// Switches libtorch's own threads off for the whole process, as an event framework needs: parallelism belongs to its
/// streams, and a pool of threads behind each of them would starve the others.
///
/// Make one at the start of `main`, before the first model is opened. Making another does nothing.
class ThreadingService {
 public:
  /// @throws ThreadingError  if a model was opened already, or libtorch has started its threads
  ThreadingService();
};

}  // namespace modelferry
