#pragma once
// The one exception type of the runtime, sorted by whose fault it is.

#include <stdexcept>
#include <string>

namespace moec {

enum class Fault {
  Model,    // the model file                          exit code 1
  Data,     // weights, inputs, a damaged file         exit code 1
  Usage,    // the caller                              exit code 2
  Device,   // the machine lacks what is asked for     exit code 3
  Mismatch, // results that differ, a kernel at fault    exit code 4
  System,   // disk, memory                            exit code 5
  Internal, // us                                      exit code 70
};

/// What went wrong, in the words: where, what was found, what was expected, what to do.
class Error : public std::runtime_error {
public:
  Error(Fault fault, const std::string& message) : std::runtime_error(message), fault_(fault) {}
  Fault fault() const { return fault_; }

private:
  Fault fault_;
};

/// The exit code that the command gives for a fault.
int exitCode(Fault fault);

} // namespace moec
