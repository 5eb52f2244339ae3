#pragma once
// The golden files (tests/goldens/README.md) for tests of models that need no runtime, and a model of the zoo as a golden changes it.

#include "ir/reference/Interpreter.h"
#include "runtime/core/Tensor.h"

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace moec::test {

struct Golden {
  nlohmann::json metadata; // texts by key
  std::map<std::string, Tensor> tensors;

  /// The tensors under `prefix`/, by the rest of their names.
  std::map<std::string, Tensor> part(const std::string& prefix) const;
  /// The zoo's file that the metadata names under `key`, with the golden's changes.
  std::string model(const std::string& key) const;
  /// The sizes of its inputs.
  Bindings sizes() const;
};

/// The text of a file of this repository.
std::string fileText(const std::string& path);
Golden readGolden(const std::string& name);
/// Names of the files whose metadata has `key`, without their ending.
std::vector<std::string> goldensWith(const std::string& key);
/// A golden's name as a test's.
std::string testName(const std::string& golden);

/// max |a - b| <= limit * max |b|, and the same shape.
void expectClose(const Tensor& found, const Tensor& expected, double limit, const std::string& what);

} // namespace moec::test
