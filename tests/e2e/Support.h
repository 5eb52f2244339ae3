#pragma once
// What the tests of whole programs share: models of the zoo with changes laid over them, compiled; values compared by the house's rule.

#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "tests/runner/SharedCache.h"

#include <filesystem>
#include <string>

namespace moec::test {

std::filesystem::path sourceDir();

/// A zoo file (or any model text) with a JSON merge patch (RFC 7396) laid over it, written to a folder of this test's own.
std::filesystem::path patchedModel(const std::string& zooFile, const std::string& mergePatch = "{}");

/// What programs for the CPU are compiled for: "cpu", this machine's best, or the target that the environment's MOEC_TEST_TARGET names: every test is skipped
/// where this machine does not run it.
std::string testTarget();

/// max |a - b| over max |b|; infinite when shapes differ or one side alone is not finite. 0 for two tensors of zeros.
double relativeError(const Tensor& a, const Tensor& b);

/// Every output's bytes one behind the other: two runs gave the same bits where these are equal.
std::vector<uint8_t> bytesOf(const TensorMap& outputs);

/// A folder that is removed when the object dies.
class TemporaryFolder {
public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

/// Inputs of a program at its check sizes, drawn by Philox: normal floats, ids in range.
TensorMap generatedInputs(const Plan& plan, uint64_t seed);
/// What a model of a training or an evaluation takes at its check sizes, labels below `classes` among it; not what the training itself gives.
TensorMap modelInputs(const Plan& plan, int64_t classes = 10);

} // namespace moec::test
