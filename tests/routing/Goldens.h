#pragma once
// The files of tests/goldens/routing, as manifest.json lists them. Knows no device.

#include "runtime/Weights.h"
#include "runtime/core/Plan.h"
#include "runtime/core/Tensor.h"

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace moec::test {

/// One gate with its parameters.
struct RoutingRow {
  std::string kind, name, origin, version, file;
  std::vector<std::string> cases;
  std::map<std::string, double> inexact; // "values" and "gradients": limits of f64, where the original computes in f32
};
std::vector<RoutingRow> routingRows();
/// The first row of each kind.
std::vector<RoutingRow> oneOfEachKind();

struct RoutingGolden {
  RoutingRow row;
  nlohmann::json gate, cases; // cases: by name
  int64_t experts = 0, rank = 2, width = 0;
  TensorMap tensors;

  explicit RoutingGolden(const RoutingRow& row);
  /// A model of one moe block with this gate and an expert of one linear layer each; mse is its loss.
  std::string model(DType dtype) const;
  /// The tensors of a case under a prefix ("weights/"), without it; floats in `dtype`.
  TensorMap part(const std::string& name, const std::string& prefix, DType dtype) const;
  /// Input, target and draws of a case, as far as a plan asks for them.
  TensorMap inputsOf(const Plan& plan, const std::string& name, DType dtype) const;
  /// Does moec refuse the case in this mode, "train" or "eval"?
  bool refuses(const std::string& name, const std::string& mode) const;
};

} // namespace moec::test
