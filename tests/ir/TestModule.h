#pragma once
// A context with the dialect, and modules from text, for the C++ tests of ir/.

#include "ir/dialect/Moe.h"

#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

namespace moec {

class IrTest : public testing::Test {
protected:
  IrTest() {
    mlir::DialectRegistry registry;
    ir::registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  mlir::func::FuncOp parse(const std::string& text, const std::string& function = "f") {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    return module ? module->lookupSymbol<mlir::func::FuncOp>(function) : mlir::func::FuncOp();
  }

  /// The first op of a kind in a function.
  template <class Op> Op first(mlir::func::FuncOp function) {
    auto ops = function.getOps<Op>();
    return ops.empty() ? Op() : *ops.begin();
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace moec
