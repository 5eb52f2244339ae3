#pragma once
// The golden files (tests/goldens/README.md), and what gates decided in a run, in their form.

#include "runtime/Session.h"

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace moec::test {

/// Where goldens are run, and what for they are compiled.
struct GoldenDevice {
  std::string device, target;
  friend std::ostream& operator<<(std::ostream& stream, const GoldenDevice& where) { return stream << where.device; }
};
/// "cpu reference": two of them. CMakeLists.txt says which executable runs which goldens where.
std::vector<GoldenDevice> devicesNamed(const std::string& names);
/// Why the device cannot be had here: a build without the emulator, or no NVRTC to compile for it. Empty when it can.
std::string missingFor(const GoldenDevice& where);

/// Names of the files whose metadata has `key`: "model" or "gate".
std::vector<std::string> goldenFiles(const std::string& key);
/// A file's name as a test's.
std::string testName(const std::string& file);
/// The same with the device behind it.
std::string testName(const std::string& file, const GoldenDevice& where);
/// The tensors under a prefix, without it.
TensorMap part(const TensorMap& all, const std::string& prefix);

struct GateResults {
  Tensor routing; // RoutingLayout
  int64_t experts = 0;
  Tensor weights; // (T, K); undefined when the gate's weights stay in its kernel
};
/// Runs the launches one after the other and keeps what each gate left, by label, before its memory is used again.
std::map<std::string, GateResults> runGates(Session& session, const TensorMap& inputs);

/// The expert of each (token, choice), -1 where it was dropped.
std::vector<int32_t> chosenExperts(const Tensor& routing, int64_t experts);

} // namespace moec::test
