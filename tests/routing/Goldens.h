#pragma once
// The files of tests/goldens/routing, as manifest.json lists them. Knows no device and no kind.

#include "runtime/Weights.h"
#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace moec::test {

/// One gate with its parameters; or experts, a block, a loss: what its family says.
struct RoutingRow {
  std::string family, kind, name, origin, version, file;
  std::vector<std::string> cases;
  std::map<std::string, double> inexact; // "values" and "gradients": limits of f64, where the original computes in f32
};
std::vector<RoutingRow> routingRows();
/// The first row of each kind of each family.
std::vector<RoutingRow> oneOfEachKind();

struct RoutingGolden {
  RoutingRow row;
  nlohmann::json text, cases; // the model's file, but for its dtype; cases by name
  TensorMap tensors;

  explicit RoutingGolden(const RoutingRow& row);
  std::string model(DType dtype) const;
  /// Of a gate's file: the gate, and how many experts it has.
  const nlohmann::json& gate() const { return text.at("model").at(0).at("gate"); }
  int64_t experts() const { return text.at("model").at(0).at("experts").at("count"); }
  /// The name of what it makes: "y", or "moe" where a gate stands around experts of one linear layer each.
  std::string result() const;
  /// The tensors of a case under a prefix ("weights/"), without it; floats in `dtype`.
  TensorMap part(const std::string& name, const std::string& prefix, DType dtype) const;
  /// Inputs, target and draws of a case, as far as a plan asks for them.
  TensorMap inputsOf(const Plan& plan, const std::string& name, DType dtype) const;
  /// The choices of a case in a mode, "train" or "eval", by the gate's label; empty where nobody chooses.
  std::map<std::string, std::vector<int32_t>> choicesOf(const std::string& name, const std::string& mode) const;
  /// Does moec refuse the case in this mode, "train" or "eval"?
  bool refuses(const std::string& name, const std::string& mode) const;
};

} // namespace moec::test
