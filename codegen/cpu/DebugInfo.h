#pragma once
// Lines of the model for debuggers: where a kernel stands, and how its functions say so. Knows no kernel's code.

#include "mlir/IR/Location.h"

#include <optional>
#include <string>

namespace moec::codegen::cpu {

struct ModelPlace {
  std::string file; // without its folder: images do not depend on where the model lies
  unsigned line = 0, column = 0;
};

/// The place that an op's location names; nothing when it names none.
std::optional<ModelPlace> modelPlaceOf(mlir::Location location);
/// "vit.json:12:3".
std::string describe(const ModelPlace& place);

/// The compile unit of a module of the LLVM dialect whose code comes from one place.
mlir::Attribute compileUnitOf(mlir::MLIRContext* context, const ModelPlace& place);
/// The location of a function in that unit; without it the ops inside lose theirs.
mlir::Location functionLocation(mlir::Attribute compileUnit, const ModelPlace& place, llvm::StringRef name);

} // namespace moec::codegen::cpu
