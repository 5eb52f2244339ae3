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

/// One launch, both devices starting from B's inputs. The worst of its output buffers (the one that goes furthest past its tolerance).
struct LaunchCheck {
  LaunchList list = LaunchList::Forward;
  int index = -1;
  std::string label, kind, kernel;
  std::string buffer;   // name of the worst output
  double worst = 0;     // max |a-b| / max |b| of it
  double tolerance = 0; // what it was allowed
  bool passed = true;
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
  /// A line for each failure: "forward launch 3, layers.0.moe (expert_up): buffer 'rows' differs by 2e-03, allowed 1e-05".
  std::string describeFailures() const;
};

/// max |a-b| / max |b| over the first `elements` (all when negative). Equal values, infinities and NaNs in the same places count as equal;
/// infinity when a value that is not finite stands against another.
double relativeError(const Tensor& a, const Tensor& b, int64_t elements = -1);

} // namespace moec
