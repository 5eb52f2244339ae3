#pragma once
// What MLIR and the model reader complain of, turned once into moec::Error.

#include "ir/dialect/Moe.h"
#include "models/json/Diagnostics.h"
#include "runtime/core/Error.h"

#include <filesystem>

namespace moec::compiler {

class ContextDiagnostics {
public:
  /// `moefy`: the rule of --moefy; complaints of the model reader without a place are about it.
  ContextDiagnostics(mlir::MLIRContext& context, std::filesystem::path file, std::string moefy = {});

  models::Diagnostics& model() { return model_; }
  /// Throws all that was reported, one complaint a line ("model.json:12:18: error: ..."), or `otherwise` when nothing was. A complaint of the model reader
  /// makes it a fault of the model, complaints of the rule alone one of the caller; a model that asks for more than a target has (codegen/Limits.h) is at
  /// fault, too.
  [[noreturn]] void fail(Fault fault, const std::string& otherwise);

private:
  std::string moefy_;
  models::Diagnostics model_;
  std::vector<std::string> lines_;
  bool beyondTarget_ = false;
  mlir::ScopedDiagnosticHandler handler_;
};

} // namespace moec::compiler
