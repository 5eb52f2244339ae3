// Owner of: the emitter itself: keys and symbols, images without undefined symbols, code as text, targets, errors.
#include "codegen/cpu/Linker.h"
#include "codegen/cpu/ObjectCompiler.h"
#include "codegen/cpu/Optimizer.h"
#include "runtime/core/CpuTarget.h"
#include "tests/codegen/KernelCheck.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>
#include <thread>

namespace moec::testing {
namespace {

const char* kBody = "%r = moe.random uniform \"a.b\" : tensor<4x40xf32>\n %g = moe.gelu %x : tensor<4x40xf32>\n"
                    "%y = moe.add %g, %r : tensor<4x40xf32>, tensor<4x40xf32>\n moe.yield %y : tensor<4x40xf32>";

std::unique_ptr<codegen::KernelEmitter> emitterOf(const std::string& target) {
  std::string error;
  auto emitter = codegen::makeEmitter(target, error);
  EXPECT_TRUE(emitter) << error;
  return emitter;
}

ParsedKernel scheduled(codegen::KernelEmitter& emitter, std::string body = kBody) {
  ParsedKernel kernel = parseKernel("rows", "%x: tensor<4x40xf32>", "tensor<4x40xf32>", body);
  kernel.op.setScheduleAttr(emitter.chooseSchedule(kernel.op));
  return kernel;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) { return text.replace(text.find(from), from.size(), to); }

TEST(Emitter, keysIgnoreLabelsAndPathsOfDraws) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  ParsedKernel a = scheduled(*emitter), b = scheduled(*emitter, replaced(kBody, "a.b", "c"));
  b.op.setLabel("layers.7");
  b.op.setReason("another");
  EXPECT_EQ(emitter->key(a.op), emitter->key(b.op));
  EXPECT_EQ(codegen::streamsOf(b.op), std::vector<std::string>{"c"});
}

TEST(Emitter, keysDifferWithBodyScheduleAndTarget) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  ParsedKernel a = scheduled(*emitter);
  std::string key = emitter->key(a.op);
  EXPECT_NE(key, emitter->key(scheduled(*emitter, replaced(kBody, "gelu", "silu")).op));
  EXPECT_NE(key, emitter->key(scheduled(*emitter, replaced(kBody, "%g, %r", "%r, %g")).op));
  EXPECT_NE(key, emitter->key(scheduled(*emitter, replaced(kBody, "uniform", "normal")).op));
  EXPECT_NE(key, emitterOf("cpu:x86-64-v4")->key(a.op));
  mlir::Builder builder(a.op.getContext());
  a.op.setScheduleAttr(builder.getDictionaryAttr(builder.getNamedAttr("block", builder.getI64IntegerAttr(3))));
  EXPECT_NE(key, emitter->key(a.op));
}

// Three turns in a vector of four are a masked gather, half as fast as three loads.
TEST(Emitter, aFewTurnsAreNoVector) {
  auto emitter = emitterOf("cpu:x86-64-v4");
  ParsedKernel kernel = parseKernel("loops", "%x: tensor<2x3x40xf32>", "tensor<2x40x3xf32>",
                                    "%y = moe.transpose %x [0, 2, 1] : tensor<2x3x40xf32>\n moe.yield %y : tensor<2x40x3xf32>");
  kernel.op.setScheduleAttr(emitter->chooseSchedule(kernel.op));
  auto text = emitter->print(kernel.op, codegen::CodeText::Llvm);
  ASSERT_TRUE(succeeded(text));
  EXPECT_EQ(text->find("gather"), std::string::npos) << *text;
}

// A loop of a few turns becomes none, unless that is long. What is volatile stays as often as it is written.
TEST(Emitter, aFewTurnsAreNoLoop) {
  namespace cpu = codegen::cpu;
  const cpu::CpuTarget& target = *cpu::findTarget("cpu:x86-64-v4");
  auto blocksOf = [&](int turns, int stores) {
    std::string body, error;
    for (int i = 0; i < stores; ++i)
      body += fmt::format("  store volatile i64 %i, ptr %p{}\n", i % 2);
    std::string text =
        fmt::format("define void @f(ptr %p0, ptr %p1) {{\nfrom:\n  br label %turn\nturn:\n  %i = phi i64 [ 0, %from ], [ %next, %turn ]\n{}"
                    "  %next = add i64 %i, 1\n  %more = icmp slt i64 %next, {}\n  br i1 %more, label %turn, label %behind\nbehind:\n  ret void\n}}",
                    body, turns);
    llvm::LLVMContext context;
    llvm::SMDiagnostic problem;
    auto module = llvm::parseAssemblyString(text, problem, context);
    EXPECT_TRUE(module) << problem.getMessage().str() << text;
    cpu::optimize(*module, *cpu::makeTargetMachine(target, error), target);
    return module->getFunction("f")->size();
  };
  EXPECT_EQ(blocksOf(3, 1), 1u);
  EXPECT_EQ(blocksOf(8, 1), 1u);
  EXPECT_GT(blocksOf(9, 1), 1u);
  EXPECT_GT(blocksOf(8, 40), 1u);
}

// Products carry blocks of sums before the passes and behind them; rows do not.
TEST(Emitter, productsHaveRegisterBlocks) {
  auto emitter = emitterOf("cpu:x86-64-v4");
  auto isSeenIn = [&](ParsedKernel kernel) {
    kernel.op.setScheduleAttr(emitter->chooseSchedule(kernel.op));
    auto text = emitter->print(kernel.op, codegen::CodeText::Llvm);
    EXPECT_TRUE(succeeded(text));
    llvm::LLVMContext context;
    llvm::SMDiagnostic problem;
    auto module = llvm::parseAssemblyString(*text, problem, context);
    EXPECT_TRUE(module) << problem.getMessage().str();
    return codegen::cpu::hasRegisterBlock(*module);
  };
  EXPECT_TRUE(isSeenIn(parseKernel("matmul", "%a: tensor<64x64xf32>, %b: tensor<64x64xf32>", "tensor<64x64xf32>",
                                   "%y = moe.matmul %a, %b : tensor<64x64xf32>, tensor<64x64xf32>\n moe.yield %y : tensor<64x64xf32>")));
  EXPECT_FALSE(
      isSeenIn(parseKernel("rows", "%x: tensor<4x40xf32>", "tensor<4x40xf32>", "%y = moe.softmax %x : tensor<4x40xf32>\n moe.yield %y : tensor<4x40xf32>")));
}

TEST(Emitter, theSameKernelGivesTheSameBytesOnEveryThread) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  std::vector<codegen::KernelImage> images(4);
  std::vector<std::thread> threads;
  for (codegen::KernelImage& image : images)
    threads.emplace_back([&] {
      ParsedKernel kernel = scheduled(*emitter);
      if (auto made = emitter->emit(kernel.op); succeeded(made))
        image = std::move(*made);
    });
  for (std::thread& thread : threads)
    thread.join();
  ASSERT_FALSE(images[0].image.empty());
  for (const codegen::KernelImage& image : images) {
    EXPECT_EQ(image.symbol, images[0].symbol);
    EXPECT_EQ(image.image, images[0].image);
  }
}

// Builders of a thread share what they write with.
TEST(Emitter, aKernelsBytesDoNotDependOnTheKernelsBeforeIt) {
  auto emitter = emitterOf("cpu:x86-64-v3");
  auto imageOf = [&](const std::string& body) {
    auto made = emitter->emit(scheduled(*emitter, body).op);
    return succeeded(made) ? made->image : std::vector<uint8_t>();
  };
  std::vector<uint8_t> fresh;
  std::thread([&] { fresh = imageOf(kBody); }).join();
  EXPECT_FALSE(imageOf(replaced(kBody, "gelu", "silu")).empty());
  EXPECT_FALSE(fresh.empty());
  EXPECT_EQ(imageOf(kBody), fresh);
}

TEST(Emitter, v4UsesWideVectorsAndCallsNothing) {
  auto emitter = emitterOf("cpu:x86-64-v4");
  ParsedKernel kernel = scheduled(*emitter);
  auto text = emitter->print(kernel.op, codegen::CodeText::Asm);
  ASSERT_TRUE(succeeded(text));
  EXPECT_NE(text->find("zmm"), std::string::npos);
  EXPECT_EQ(text->find("memset"), std::string::npos);
  EXPECT_EQ(text->find("@PLT"), std::string::npos);
  EXPECT_TRUE(succeeded(emitter->emit(kernel.op)));
  auto v3 = emitterOf("cpu:x86-64-v3")->print(kernel.op, codegen::CodeText::Asm);
  ASSERT_TRUE(succeeded(v3));
  EXPECT_EQ(v3->find("zmm"), std::string::npos);
  auto llvm = emitter->print(kernel.op, codegen::CodeText::Llvm);
  ASSERT_TRUE(succeeded(llvm));
  EXPECT_NE(llvm->find("define"), std::string::npos);
}

TEST(Emitter, v4ImagesRunWhereTheMachineCan) {
  if (hostTarget() != "cpu:x86-64-v4")
    GTEST_SKIP() << "[SKIP] this machine has no AVX-512";
  CheckOptions options;
  options.target = "cpu:x86-64-v4";
  check(parseKernel("rows", "%x: tensor<4x40xf32>", "tensor<4x40xf32>", kBody), options);
}

/// What compiling a stage of one item for x86-64-v3 is refused with.
std::string refusalOf(llvm::function_ref<void(codegen::cpu::KernelBuilder& k, codegen::cpu::Value item)> write) {
  namespace cpu = codegen::cpu;
  std::string error;
  auto emitter = emitterOf("cpu:x86-64-v3");
  ParsedKernel kernel = scheduled(*emitter);
  cpu::KernelBuilder k(kernel.op, "refused", *cpu::findTarget("cpu:x86-64-v3"));
  k.stage(Size(1), Size(1), [&](cpu::Value item) { write(k, item); });
  auto module = k.finish(error);
  EXPECT_TRUE(succeeded(module)) << error;
  EXPECT_TRUE(failed(module) || failed(cpu::compileToImage(*module, *cpu::findTarget("cpu:x86-64-v3"), "refused", error)));
  return error;
}

/// The op of a kind around what is written.
template <class Op> Op around(codegen::cpu::KernelBuilder& k) {
  mlir::Operation* op = k.builder().getInsertionBlock()->getParentOp();
  return mlir::isa<Op>(op) ? mlir::cast<Op>(op) : op->getParentOfType<Op>();
}

TEST(Emitter, anOpWithoutTranslationIsAnError) {
  auto error = refusalOf([](auto& k, auto item) { mlir::arith::CeilDivSIOp::create(k.builder(), k.loc(), item, item); });
  EXPECT_NE(error.find("arith.ceildivsi"), std::string::npos) << error;
}

TEST(Emitter, whatIsNotLlvmIrIsAnError) {
  auto error =
      refusalOf([](auto& k, auto) { around<mlir::LLVM::LLVMFuncOp>(k)->setAttr("passthrough", k.builder().getStrArrayAttr({"alwaysinline", "noinline"})); });
  EXPECT_NE(error.find("is not"), std::string::npos) << error;
}

TEST(Emitter, anUndefinedSymbolIsAnErrorThatNamesIt) {
  auto error = refusalOf([](auto& k, auto item) {
    mlir::LLVM::CallOp::create(k.builder(), k.loc(), mlir::TypeRange{}, "somewhere_else", mlir::ValueRange{item});
    mlir::OpBuilder::InsertionGuard guard(k.builder());
    k.builder().setInsertionPointToEnd(around<mlir::ModuleOp>(k).getBody());
    auto type = mlir::LLVM::LLVMFunctionType::get(mlir::LLVM::LLVMVoidType::get(k.builder().getContext()), {k.i64()});
    mlir::LLVM::LLVMFuncOp::create(k.builder(), k.loc(), "somewhere_else", type);
  });
  EXPECT_NE(error.find("undefined symbol: somewhere_else"), std::string::npos) << error;
}

// A folder in memory may be missing or full.
TEST(Emitter, linksInTheFirstFolderWhereThatGoes) {
  namespace cpu = codegen::cpu;
  llvm::LLVMContext context;
  llvm::Module module("nothing", context);
  std::string error, object;
  auto machine = cpu::makeTargetMachine(*cpu::findTarget("cpu:x86-64-v3"), error);
  ASSERT_TRUE(machine) << error;
  module.setDataLayout(machine->createDataLayout());
  module.setTargetTriple(machine->getTargetTriple());
  ASSERT_TRUE(cpu::writeMachineCode(module, *machine, cpu::MachineCode::Object, object));
  std::string last = cpu::linkerFolders().back();
  auto image = cpu::linkShared(object, error, {last});
  ASSERT_TRUE(image) << error;
  EXPECT_EQ(cpu::linkShared(object, error, {"/nonexistent", "/dev/null", last}), image);
  EXPECT_EQ(error, "");
  EXPECT_FALSE(cpu::linkShared(object, error, {"/nonexistent", "/nowhere"}));
  for (const char* folder : {"/nonexistent", "/nowhere"})
    EXPECT_NE(error.find(folder), std::string::npos) << error;
}

TEST(Emitter, theCompilerAndTheRuntimeKnowTheSameCpus) {
  namespace cpu = codegen::cpu;
  std::set<std::string> written, run;
  for (const cpu::CpuTarget& target : cpu::targets())
    written.insert(target.name);
  for (const moec::CpuTarget& target : cpuTargets())
    run.insert(target.name);
  EXPECT_EQ(written, run);
}

TEST(Emitter, unknownTargetsAndKindsAreNamed) {
  std::string error;
  EXPECT_FALSE(codegen::makeEmitter("cpu:z80", error));
  EXPECT_EQ(
      error,
      "unknown target \"cpu:z80\"; known: cpu:x86-64-v2, cpu:x86-64-v3, cpu:x86-64-v3+soft-avx512, cpu:x86-64-v3+soft-tiles, cpu:x86-64-v4, cpu:x86-64-v4+amx, cuda:sm_80, cuda:sm_90a, cuda:sm_100a, cuda:sm_120");
  auto emitter = emitterOf("cpu:x86-64-v3");
  ParsedKernel kernel = scheduled(*emitter);
  kernel.op.removeScheduleAttr();
  std::string text;
  mlir::ScopedDiagnosticHandler handler(kernel.context.get(), [&](mlir::Diagnostic& diagnostic) {
    text += diagnostic.str();
    return mlir::success();
  });
  EXPECT_TRUE(failed(emitter->emit(kernel.op)));
  EXPECT_NE(text.find("needs a schedule"), std::string::npos) << text;
}

} // namespace
} // namespace moec::testing
