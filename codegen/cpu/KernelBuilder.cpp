#include "codegen/cpu/KernelBuilder.h"

#include "codegen/analysis/InPlace.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/SmallSet.h"

#include <fmt/format.h>

namespace moec::codegen::cpu {

using namespace mlir;

namespace {

// Byte offsets of KernelCall's fields (runtime/core/KernelAbi.h).
constexpr int64_t kBuffers = offsetof(KernelCall, buffers), kSizes = offsetof(KernelCall, sizes);
constexpr int64_t kStreams = offsetof(KernelCall, streams), kSeed = offsetof(KernelCall, seed);
constexpr int64_t kStep = offsetof(KernelCall, step);

// Arguments of a stage's function before the launch's buffers, which follow as pointers, without aliases but where results may lie in arguments.
enum StageArgument { kCall, kBegin, kEnd, kScratch, kFirstBuffer };

std::unique_ptr<MLIRContext> makeContext() {
  auto context = std::make_unique<MLIRContext>(MLIRContext::Threading::DISABLED);
  context->loadDialect<arith::ArithDialect, LLVM::LLVMDialect, scf::SCFDialect>();
  return context;
}

/// A context for the thread's next builder: making one registers all of LLVM's ops, which takes as long as writing a small kernel. What kernels leave in it
/// stays there, so it ends after some.
struct SpareContext {
  std::unique_ptr<MLIRContext> context;
  int kernels = 0;
};
constexpr int kMostKernels = 64;
thread_local SpareContext spare;

std::unique_ptr<MLIRContext> takeContext() { return spare.context ? std::move(spare.context) : makeContext(); }

void giveBack(std::unique_ptr<MLIRContext> context) {
  if (++spare.kernels % kMostKernels != 0)
    spare.context = std::move(context);
}

} // namespace

/// A stage while it is written.
struct KernelBuilder::Frame {
  LLVM::LLVMFuncOp function;
  Operation* marker; // what must be known in all of the stage is computed before it
  Size scratchBytes;
  std::map<std::string, Value> sizes;
  std::map<std::string, Value> others;

  Value argument(unsigned i) { return function.getBody().front().getArgument(i); }
};

KernelBuilder::KernelBuilder(ir::KernelOp kernel, std::string symbol, const CpuTarget& target, bool debugInfo)
    : kernel_(kernel), symbol_(std::move(symbol)), target_(target), context_(takeContext()), builder_(context_.get()),
      place_(debugInfo ? modelPlaceOf(kernel.getLoc()) : std::nullopt), loc_(UnknownLoc::get(context_.get())), module_(ModuleOp::create(loc_)) {
  if (!place_)
    return;
  loc_ = FileLineColLoc::get(context_.get(), place_->file, place_->line, place_->column);
  compileUnit_ = compileUnitOf(context_.get(), *place_);
}

Location KernelBuilder::locationOf(StringRef function) { return place_ ? functionLocation(compileUnit_, *place_, function) : loc_; }

KernelBuilder::~KernelBuilder() {
  module_ = nullptr;
  giveBack(std::move(context_));
}

//===--- stages ---===//

void KernelBuilder::beginStage(const Size& items, const Size& operations) {
  stages_.push_back({items, Size(0), operations});
  SmallVector<Type> arguments{pointer(), i64(), i64(), pointer()};
  arguments.append(bufferCount(), pointer());
  builder_.setInsertionPointToEnd(module_->getBody());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context_.get()), arguments);
  std::string name = fmt::format("stage{}", stages_.size() - 1);
  auto function = LLVM::LLVMFuncOp::create(builder_, locationOf(name), name, type, LLVM::Linkage::Internal);
  llvm::SmallSet<unsigned, 8> shared; // results that may lie in arguments' memory, and these
  SharedMemory memory = sharedMemoryOf(kernel_);
  for (unsigned input : memory.inputs)
    shared.insert(kFirstBuffer + input);
  for (unsigned output : memory.outputs)
    shared.insert(kFirstBuffer + inputCount() + output);
  unsigned end = kernel_.getKind() == "update" ? kFirstBuffer : arguments.size();
  for (unsigned i = kScratch; i < end; ++i)
    if (!shared.contains(i))
      function.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(), builder_.getUnitAttr());
  function.setArgAttr(kScratch, LLVM::LLVMDialect::getAlignAttrName(), builder_.getI64IntegerAttr(64));
  builder_.setInsertionPointToStart(function.addEntryBlock(builder_));
  frame_ = std::make_unique<Frame>();
  frame_->function = function;
  frame_->marker = LLVM::ZeroOp::create(builder_, loc_, pointer());
}

void KernelBuilder::endStage() {
  if (std::exchange(hasLines_, false))
    LLVM::CallIntrinsicOp::create(builder_, loc_, builder_.getStringAttr("llvm.x86.sse.sfence"), ValueRange());
  LLVM::ReturnOp::create(builder_, loc_, ValueRange{});
  stages_.back().scratchBytes = frame_->scratchBytes;
  frame_->marker->erase();
  frame_.reset();
}

void KernelBuilder::stageOfRange(const Size& items, const Size& operations, Range range) {
  beginStage(items, operations);
  range(frame_->argument(kBegin), frame_->argument(kEnd));
  endStage();
}

void KernelBuilder::stage(const Size& items, const Size& operations, Body item) {
  stageOfRange(items, operations, [&](Value begin, Value end) { loop(begin, end, index(1), item); });
}

Value KernelBuilder::scratch(const Size& bytes) {
  Size offset = frame_->scratchBytes;
  frame_->scratchBytes = offset + alignUp(bytes, 64);
  Value place = size(offset);
  return atPrologue([&] {
    // A symbolic offset was computed in the prologue, a constant one is made here.
    return at(frame_->argument(kScratch), offset.isConstant() ? index(*offset.constant()) : place, i8());
  });
}

Value KernelBuilder::atPrologue(function_ref<Value()> make) {
  OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPoint(frame_->marker);
  return make();
}

//===--- what the launch hands over ---===//

Value KernelBuilder::input(unsigned i) { return frame_->argument(kFirstBuffer + i); }
Value KernelBuilder::output(unsigned i) { return frame_->argument(kFirstBuffer + inputCount() + i); }

Value KernelBuilder::buffer(Value i) {
  Value& known = frame_->others["buffers"];
  if (!known)
    known = atPrologue([&] { return load(pointer(), at(frame_->argument(kCall), index(kBuffers), i8())); });
  return load(pointer(), at(known, i, pointer()));
}

unsigned KernelBuilder::addWorkspace(const Size& bytes) {
  workspaces_.push_back(bytes);
  return workspaces_.size() - 1;
}

Value KernelBuilder::workspace(unsigned i) { return frame_->argument(kFirstBuffer + inputCount() + outputCount() + i); }

Value KernelBuilder::size(const Size& size) {
  if (auto constant = size.constant())
    return index(*constant);
  Value& known = frame_->sizes[size.str()];
  if (known)
    return known;
  size_t place = std::find(sizes_.begin(), sizes_.end(), size) - sizes_.begin();
  if (place == sizes_.size())
    sizes_.push_back(size);
  return known = atPrologue([&] {
           Value list = load(pointer(), at(frame_->argument(kCall), index(kSizes), i8()));
           return load(i64(), at(list, index(place), i64()));
         });
}

Value KernelBuilder::seed() {
  Value& known = frame_->others["seed"];
  if (!known)
    known = atPrologue([&] { return load(i64(), at(frame_->argument(kCall), index(kSeed), i8())); });
  return known;
}

Value KernelBuilder::step() {
  Value& known = frame_->others["step"];
  if (!known)
    known = atPrologue([&] { return load(i32(), at(frame_->argument(kCall), index(kStep), i8())); });
  return known;
}

Value KernelBuilder::stream(unsigned i) {
  Value& known = frame_->others[fmt::format("stream{}", i)];
  if (!known)
    known = atPrologue([&] {
      Value list = load(pointer(), at(frame_->argument(kCall), index(kStreams), i8()));
      return load(i32(), at(list, index(i), i32()));
    });
  return known;
}

//===--- the result ---===//

mlir::FailureOr<ModuleOp> KernelBuilder::finish(std::string& error) {
  Type i64Type = i64(), pointerType = pointer();
  builder_.setInsertionPointToEnd(module_->getBody());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context_.get()), {pointerType, i64Type, i64Type, i64Type, pointerType});
  auto entry = LLVM::LLVMFuncOp::create(builder_, locationOf(symbol_), symbol_, type);
  Block* block = entry.addEntryBlock(builder_);
  builder_.setInsertionPointToStart(block);
  Value call = block->getArgument(0);
  SmallVector<Value> arguments{call, block->getArgument(2), block->getArgument(3), block->getArgument(4)};
  Value buffers = load(pointerType, at(call, index(kBuffers), i8()));
  for (unsigned i = 0, end = bufferCount(); i < end; ++i)
    arguments.push_back(load(pointerType, at(buffers, index(i), pointerType)));
  for (size_t stage = 0; stage < stages_.size(); ++stage)
    when(compare(ir::Predicate::EQ, block->getArgument(1), index(stage)), [&] {
      auto function = module_->lookupSymbol<LLVM::LLVMFuncOp>(fmt::format("stage{}", stage));
      LLVM::CallOp::create(builder_, loc_, function, arguments);
    });
  LLVM::ReturnOp::create(builder_, loc_, ValueRange{});

  std::string text;
  ScopedDiagnosticHandler handler(context_.get(), [&](Diagnostic& diagnostic) {
    text += diagnostic.str() + "\n";
    return success();
  });
  if (failed(verify(*module_))) {
    error = "the generated code is not valid: " + text;
    return failure();
  }
  return *module_;
}

} // namespace moec::codegen::cpu
