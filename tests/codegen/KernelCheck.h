#pragma once
// Compares a kernel's machine code with the reference interpreter on the same inputs.

#include "tests/codegen/KernelHarness.h"

#include <string>

namespace moec::testing {

/// A kernel from the text of its signature and body:
///   kernel("rows", "%x: tensor<3x5xf32>", "tensor<3x5xf32>", "%y = moe.neg %x : tensor<3x5xf32>  moe.yield %y : tensor<3x5xf32>")
struct ParsedKernel {
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  ir::KernelOp op;
};
ParsedKernel parseKernel(const std::string& kind, const std::string& arguments, const std::string& results, const std::string& body);

/// What every check draws its random numbers from.
inline constexpr uint64_t kCheckSeed = 0x123456789abcdef0;
inline constexpr uint32_t kCheckStep = 7;

struct CheckOptions {
  Bindings bindings;
  std::vector<Tensor> inputs; // random ones where none are given
  double low = -2, high = 2;  // of random inputs
  int64_t terms = 64;         // max |a - b| <= tolerance(dtype, terms) * max(leastScale, max |b|), Tolerance.h
  double leastScale = 0;      // the least scale that a tolerance is relative to: for results that are differences of larger numbers
  bool exact = false;         // to the bit
  std::string target = testTargets().front();
  int64_t block = 0; // items of another size than the schedule's
};

/// options.inputs, and random ones behind them.
std::vector<Tensor> inputsFor(ir::KernelOp kernel, const CheckOptions& options);
/// Where one result is not what the reference has, or nothing.
std::string mismatch(const Tensor& got, const Tensor& want, const CheckOptions& options);
/// Holds one result against the reference's. Reports with ASSERT.
void compare(const Tensor& got, const Tensor& want, const CheckOptions& options, size_t result);

/// Emits and runs a kernel for options.target, and holds every result against the reference's and the bits that three threads give. Reports with EXPECT.
void check(const ParsedKernel& kernel, const CheckOptions& options = {});

} // namespace moec::testing
