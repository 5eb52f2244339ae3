#pragma once
// The way from a model file to the IR: a module with the parameters and @forward, as ir/dialect/MoeDialect.td describes
// it; or, as it trains, with @loss in its place (docs/decisions/0012-training.md), or with @evaluate, the model as it
// infers with its loss (docs/decisions/0013-trainer.md).

#include "ir/dialect/Moe.h"
#include "models/ImportOptions.h"
#include "models/json/Diagnostics.h"

#include <string_view>

namespace moec::models {

/// `path` is what messages and locations call the file, `text` its contents. Null when there is anything wrong;
/// `diagnostics` then holds all errors of words, or the first of shapes. Beside what the dialect describes, the module
/// carries
///   moe.loss     dictionary: the words of the loss block ("kind", "scores" ...), when there is one
///   moe.optimizer  the same of the optimizer, where it is built as it trains (models/optimizers/Optimizers.h)
///   moe.at_most  dictionary size text -> integer: what a call may bind it to (positions that exist); 0: what equal runs of tokens leave over
/// The context needs nothing loaded.
mlir::OwningOpRef<mlir::ModuleOp> buildModel(std::string_view path, std::string_view text, const ImportOptions& options, mlir::MLIRContext* context,
                                             Diagnostics& diagnostics);

} // namespace moec::models
