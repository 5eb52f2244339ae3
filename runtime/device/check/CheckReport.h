#pragma once
// What a comparison of two devices found. Throws nothing and prints nothing: the caller decides.

#include "runtime/core/DType.h"
#include "runtime/core/Tensor.h"
#include "runtime/device/Device.h"

#include <functional>
#include <string>
#include <vector>

namespace moec {

/// max |a-b| <= tolerance(dtype) * max |b|; integers must be equal.
using ToleranceOf = std::function<double(DType)>;

/// One output buffer of a launch.
struct BufferCheck {
  std::string name;
  double worst = 0;     // max |a-b| / max |b|
  double tolerance = 0; // what it was allowed
  bool passed() const { return worst <= tolerance; }
};

/// One launch, both devices starting from B's inputs.
struct LaunchCheck {
  LaunchList list = LaunchList::Forward;
  int index = -1;
  std::string label, kind, kernel;
  std::vector<BufferCheck> buffers; // its outputs
  /// Of the worst of them, which goes furthest past its tolerance.
  std::string buffer;
  double worst = 0, tolerance = 0;
  bool passed = true; // each within its tolerance, and no NaN of its own
  /// Elements that are NaN on both devices though no input of the launch holds a NaN, and the output where most of them are. They are equal and say nothing: a
  /// finding of its own kind. NaNs that come in with the inputs are to go out, and infinities are compared like other values.
  int64_t nans = 0;
  std::string nanBuffer;
  /// Finds the worst buffer, and whether the launch passed.
  void judge();
};

enum class ResultKind { Output, Parameter, State };
const char* wordOf(ResultKind kind); // "output" ...

/// One output of the program, or of training a parameter or state that it updated: end to end with B's routing replayed into A.
struct OutputCheck {
  std::string name;
  double worst = 0, tolerance = 0;
  bool passed = true;
  ResultKind kind = ResultKind::Output;
};

struct CheckReport {
  std::vector<LaunchCheck> launches;
  std::vector<OutputCheck> outputs;
  bool passed() const;
  /// `moved`: what the same check finds of B and of B with numbers rounded otherwise. No result is held to more digits than it has.
  void allowForRounding(const CheckReport& moved);
  /// A line for each failure: "forward launch 3, layers.0.moe (expert_up): buffer 'rows' differs by 2e-03, allowed 1e-05", or ".. is NaN on
  /// both devices at 12 elements, and no input is: nothing is compared there".
  std::string describeFailures() const;
};

/// max |a-b| / max |b| over the first `elements` (all when negative). Equal values, infinities and NaNs in the same places count as equal;
/// infinity when a value that is not finite stands against another.
double relativeError(const Tensor& a, const Tensor& b, int64_t elements = -1);
/// How many of the first `elements` (all when negative) are NaN.
int64_t countNans(const Tensor& tensor, int64_t elements = -1);

} // namespace moec
