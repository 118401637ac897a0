#pragma once

#include <stdexcept>
#include <string>

namespace modelferry {

/// A mistake in an input or in the surroundings: one line that names the thing, the place and the remedy.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An artifact is missing, altered, damaged, or made for other surroundings.
class ArtifactError : public Error {
 public:
  using Error::Error;
};

/// Inputs break the contract, or columns do not fit together: which one, what is expected, what was given.
class ContractError : public Error {
 public:
  using Error::Error;
};

/// The network itself failed on inputs within the contract, an index beyond the end for instance.
class ExecutionError : public Error {
 public:
  using Error::Error;
};

/// `ThreadingService` came too late.
class ThreadingError : public Error {
 public:
  using Error::Error;
};

}  // namespace modelferry
