// moec-opt: reads, verifies and prints IR of the dialect `moe`, and runs passes on it. A tool of tests and of people who look at phases.

#include "compiler/passes/Passes.h"
#include "ir/dialect/Moe.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char** argv) {
  mlir::DialectRegistry registry;
  moec::ir::registerDialects(registry);
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  moec::compiler::registerPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "moec: optimizer of the dialect moe\n", registry));
}
