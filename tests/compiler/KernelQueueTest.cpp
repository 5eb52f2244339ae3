// Owner of: kernels on their way to machine code beside the phases (compiler/KernelQueue.h).
#include "compiler/KernelQueue.h"
#include "tests/ir/TestModule.h"

#include <atomic>
#include <set>
#include <stdexcept>

namespace moec {

namespace {

constexpr const char* kModule = R"(
!t = tensor<4x4xf32>
func.func @forward(%x: !t) -> !t {
  %y = moe.kernel "rows" "inside"(%x) : (!t) -> !t {
  ^bb0(%a: !t):
    %b = moe.relu %a : !t
    moe.yield %b : !t
  }
  return %y : !t
}
)";

/// The n-th kernel that is emitted is called n.
class CountingEmitter final : public codegen::KernelEmitter {
public:
  std::atomic<int> emitted = 0;
  bool throws = false;

  std::string target() const override { return "counting"; }
  codegen::LayerChoice chooseLayer(ir::KernelOp) override { return {}; }
  mlir::DictionaryAttr chooseSchedule(ir::KernelOp) override { return {}; }
  std::string keyWithoutSchedule(ir::KernelOp) override { return ""; }
  std::string key(ir::KernelOp) override { return ""; }
  std::string symbolOf(ir::KernelOp) override { return ""; }
  mlir::FailureOr<std::string> print(ir::KernelOp, codegen::CodeText) override { return mlir::failure(); }
  mlir::FailureOr<codegen::KernelImage> emit(ir::KernelOp) override {
    int number = ++emitted;
    if (throws)
      throw std::runtime_error("no kernel");
    codegen::KernelImage image;
    image.symbol = std::to_string(number);
    return image;
  }
};

class KernelQueue : public IrTest {
protected:
  ir::KernelOp kernel() { return first<ir::KernelOp>(parse(kModule, "forward")); }

  CountingEmitter emitter;
};

} // namespace

TEST_F(KernelQueue, EqualKernelsAreEmittedOnce) {
  ir::KernelOp one = kernel();
  compiler::KernelQueue queue(nullptr, nullptr);
  constexpr int kKeys = 50;
  for (int i = 0; i < kKeys; ++i)
    EXPECT_TRUE(queue.add(one, emitter, std::to_string(i)));
  for (int i = 0; i < kKeys; ++i)
    EXPECT_FALSE(queue.add(one, emitter, std::to_string(i)));
  std::set<std::string> symbols;
  for (int i = kKeys; i-- > 0;) { // in another order than they came
    const compiler::KernelJob& job = queue.wait(std::to_string(i));
    ASSERT_TRUE(job.isDone && succeeded(job.image));
    symbols.insert(job.image->symbol);
  }
  EXPECT_EQ(symbols.size(), static_cast<size_t>(kKeys));
  EXPECT_EQ(emitter.emitted, kKeys);
}

TEST_F(KernelQueue, WhatIsThrownIsKeptForWhoWaits) {
  ir::KernelOp one = kernel();
  emitter.throws = true;
  compiler::KernelQueue queue(nullptr, nullptr);
  queue.add(one, emitter, "a");
  const compiler::KernelJob& job = queue.wait("a");
  ASSERT_TRUE(job.thrown);
  EXPECT_THROW(std::rethrow_exception(job.thrown), std::runtime_error);
  EXPECT_TRUE(failed(job.image));
}

TEST_F(KernelQueue, EndsWithKernelsThatNobodyWaitsFor) {
  ir::KernelOp one = kernel();
  {
    compiler::KernelQueue queue(nullptr, nullptr);
    for (int i = 0; i < 1000; ++i)
      queue.add(one, emitter, std::to_string(i));
  }
  int after = emitter.emitted;
  EXPECT_LE(after, 1000);
  EXPECT_EQ(emitter.emitted, after) << "no thread goes on";
}

} // namespace moec
