// Owner of: kernels on their way to machine code beside the phases (compiler/KernelQueue.h).
#include "compiler/KernelQueue.h"
#include "compiler/passes/Passes.h"
#include "tests/ir/TestModule.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>

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

constexpr const char* kThreeKernels = R"(
!t = tensor<4x4xf32>
!s = tensor<5x7xf32>
func.func @forward(%x: !t, %z: !s) -> (!t, !t, !s) {
  %0 = moe.kernel "rows" "first"(%x) : (!t) -> !t {
  ^bb0(%a: !t):
    %b = moe.relu %a : !t
    moe.yield %b : !t
  }
  %1 = moe.kernel "rows" "second"(%0) : (!t) -> !t {
  ^bb0(%a: !t):
    %b = moe.tanh %a : !t
    moe.yield %b : !t
  }
  %2 = moe.kernel "rows" "third"(%z) : (!s) -> !s {
  ^bb0(%a: !s):
    %b = moe.relu %a : !s
    moe.yield %b : !s
  }
  return %0, %1, %2 : !t, !t, !s
}
)";

/// What the queue asks of no emitter, or of each in the same way.
class TestEmitter : public codegen::KernelEmitter {
public:
  std::string target() const override { return "test"; }
  codegen::LayerChoice chooseLayer(ir::KernelOp) override { return {}; }
  mlir::DictionaryAttr chooseSchedule(ir::KernelOp) override { return {}; }
  std::string keyWithoutSchedule(ir::KernelOp) override { return ""; }
  std::string key(ir::KernelOp kernel) override { return kernel.getLabel().str(); }
  std::string symbolOf(ir::KernelOp) override { return ""; }
  mlir::FailureOr<std::string> print(ir::KernelOp, codegen::CodeText) override { return mlir::failure(); }
};

/// The n-th kernel that is emitted is called n.
class CountingEmitter final : public TestEmitter {
public:
  std::atomic<int> emitted = 0, ended = 0;
  bool throws = false;
  std::function<void(int)> atWork = {}; // told n

  mlir::FailureOr<codegen::KernelImage> emit(ir::KernelOp) override {
    int number = ++emitted;
    if (throws)
      throw std::runtime_error("no kernel");
    if (atWork)
      atWork(number);
    ++ended;
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

/// Whose kernels cannot be emitted: the later of a module's three fail first.
class FailingEmitter final : public TestEmitter {
public:
  std::latch third{1}, second{1};

  mlir::FailureOr<codegen::KernelImage> emit(ir::KernelOp kernel) override {
    bool isFirst = kernel.getLabel() == "first", isSecond = kernel.getLabel() == "second";
    if (isFirst)
      second.wait();
    if (isSecond)
      third.wait();
    kernel.emitError() << "no " << kernel.getLabel();
    if (!isFirst)
      (isSecond ? second : third).count_down();
    return mlir::failure();
  }
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
  constexpr int kKernels = 200, kThreads = 2;
  ir::KernelOp one = kernel();
  std::latch begun(kThreads), released(1), ending(1);
  emitter.atWork = [&](int number) {
    if (number <= kThreads) {
      begun.count_down();
      released.wait();
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(10)); // the queue ends long before all are emitted
    }
  };
  std::optional<compiler::KernelQueue> queue(std::in_place, nullptr, nullptr, kThreads);
  for (int i = 0; i < kKernels; ++i)
    queue->add(one, emitter, std::to_string(i));
  begun.wait();
  EXPECT_EQ(emitter.emitted, kThreads);
  std::thread end([&] {
    ending.count_down();
    queue.reset();
  });
  ending.wait();
  EXPECT_EQ(emitter.ended, 0);
  released.count_down();
  end.join();
  EXPECT_LT(emitter.emitted, kKernels / 2) << "what nobody has begun is left";
  EXPECT_EQ(emitter.ended, emitter.emitted) << "what is begun is done before the queue is gone";
}

TEST_F(KernelQueue, WithoutThreadsWhoWaitsDoesAll) {
  ir::KernelOp one = kernel();
  std::set<std::thread::id> threads;
  emitter.atWork = [&](int) { threads.insert(std::this_thread::get_id()); };
  compiler::KernelQueue queue(nullptr, nullptr, 0);
  for (const char* key : {"a", "b", "c"})
    queue.add(one, emitter, key);
  EXPECT_EQ(emitter.emitted, 0);
  EXPECT_TRUE(queue.wait("c").isDone);
  EXPECT_EQ(emitter.emitted, 3) << "in the order in which they came";
  EXPECT_EQ(threads, std::set{std::this_thread::get_id()});
}

TEST_F(KernelQueue, ImagesAreTheSameForAnyNumberOfThreads) {
  std::string error;
  auto cpu = codegen::makeEmitter("cpu:x86-64-v3", error);
  ASSERT_TRUE(cpu) << error;
  std::map<std::string, std::vector<uint8_t>> images[2];
  for (auto [threads, found] : {std::pair(size_t{0}, &images[0]), {4, &images[1]}}) {
    ASSERT_TRUE(parse(kThreeKernels, "forward"));
    module->walk([&](ir::KernelOp op) { op.setScheduleAttr(cpu->chooseSchedule(op)); });
    compiler::Compilation compilation;
    compilation.module = std::move(module);
    compiler::KernelQueue queue(nullptr, nullptr, threads);
    CompileResult result;
    auto queued = compiler::queueKernels(*compilation.module, *cpu, queue);
    ASSERT_TRUE(succeeded(compiler::emitKernels(compilation, queued, queue, result)));
    EXPECT_EQ(result.kernelsCompiled, 3);
    for (const auto& [symbol, image] : compilation.images)
      (*found)[symbol] = image.image;
  }
  EXPECT_EQ(images[0].size(), 3u);
  EXPECT_EQ(images[0], images[1]);
}

TEST_F(KernelQueue, DiagnosticsComeInTheOrderOfKernels) {
  ASSERT_TRUE(parse(kThreeKernels, "forward"));
  std::string told;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic& diagnostic) { told += diagnostic.str() + "\n"; });
  compiler::Compilation compilation;
  compilation.module = std::move(module);
  FailingEmitter failing;
  compiler::KernelQueue queue(nullptr, nullptr, 3);
  CompileResult result;
  auto queued = compiler::queueKernels(*compilation.module, failing, queue);
  EXPECT_TRUE(failed(compiler::emitKernels(compilation, queued, queue, result)));
  EXPECT_EQ(told, "no first\nno second\nno third\n");
}

} // namespace moec
