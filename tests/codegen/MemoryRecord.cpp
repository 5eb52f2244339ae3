#include "tests/codegen/MemoryRecord.h"

#include "codegen/cpu/CpuTarget.h"
#include "codegen/cpu/Linker.h"
#include "codegen/cpu/Optimizer.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"

#include <cstring>
#include <stdexcept>

namespace moec::testing {
namespace {

constexpr int64_t kLine = 64, kPage = 4096;

/// The tensors of a launch, far enough from each other.
class Tensors {
public:
  static constexpr int64_t kAround = int64_t{1} << 20;

  Tensor place(const Tensor& like) {
    int64_t bytes = static_cast<int64_t>(like.bytes());
    auto room = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(bytes + 2 * kAround + kPage));
    uint8_t* data = room->data() + kAround;
    data += (kPage - reinterpret_cast<uintptr_t>(data) % kPage) % kPage;
    std::memcpy(data, like.data(), like.bytes());
    placed_.push_back({data, bytes});
    lines.push_back((bytes + kLine - 1) / kLine);
    return Tensor::share(room, data, like.shape(), like.dtype());
  }
  /// The tensor whose bytes these are, or that is near.
  std::optional<std::pair<size_t, int64_t>> find(const uint8_t* address) const {
    for (size_t i = 0; i < placed_.size(); ++i)
      if (address >= placed_[i].data - kAround && address < placed_[i].data + placed_[i].bytes + kAround)
        return std::pair{i, address - placed_[i].data};
    return {};
  }
  std::vector<int64_t> lines;

private:
  struct Placed {
    uint8_t* data;
    int64_t bytes;
  };
  std::vector<Placed> placed_;
};

struct Recorder {
  Tensors tensors;
  std::vector<RecordedItem> items;
};

int64_t floorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

/// What the code calls. `detail`: of a fetch, four times whether it is for writing, and the locality.
void record(Recorder* to, int32_t kind, const uint8_t* address, int64_t bytes, int32_t detail) {
  auto found = to->tensors.find(address);
  if (!found || bytes <= 0)
    return;
  int64_t first = floorDiv(found->second, kLine), last = floorDiv(found->second + bytes - 1, kLine);
  to->items.back().accesses.push_back({static_cast<Access>(kind), {found->first, first}, last - first + 1, detail >= 4, detail % 4});
}

constexpr const char *kRecord = "recorded", *kRecorder = "recorder";

/// Puts a call of the function that `recorded` points to in front of every access of memory, and drops fetches.
void addCalls(llvm::Module& module) {
  using namespace llvm;
  LLVMContext& context = module.getContext();
  Type *pointer = PointerType::get(context, 0), *i32 = Type::getInt32Ty(context), *i64 = Type::getInt64Ty(context);
  auto variable = [&](const char* name) {
    return new GlobalVariable(module, pointer, false, GlobalValue::ExternalLinkage, ConstantPointerNull::get(cast<PointerType>(pointer)), name);
  };
  GlobalVariable *function = variable(kRecord), *recorder = variable(kRecorder);
  FunctionType* type = FunctionType::get(Type::getVoidTy(context), {pointer, i32, pointer, i64, i32}, false);
  SmallVector<Instruction*> fetches;
  auto addCall = [&](Instruction& at, Access kind, Value* address, Value* bytes, Value* detail = nullptr) {
    IRBuilder<> builder(&at);
    builder.CreateCall(
        type, builder.CreateLoad(pointer, function),
        {builder.CreateLoad(pointer, recorder), builder.getInt32(static_cast<uint32_t>(kind)), address, bytes, detail ? detail : builder.getInt32(0)});
  };
  SmallVector<Instruction*> all;
  for (Function& each : module)
    for (Instruction& instruction : instructions(each))
      all.push_back(&instruction);
  for (Instruction* at : all) {
    IRBuilder<> builder(at);
    auto bytesOf = [&](Type* of) -> Value* { return builder.getInt64(module.getDataLayout().getTypeStoreSize(of)); };
    // Of masked vectors those lanes count that are there: the first ones, or any.
    auto forLanes = [&](Access kind, Value* address, Type* vector, Value* mask) {
      auto lanes = cast<FixedVectorType>(vector)->getNumElements();
      uint64_t each = module.getDataLayout().getTypeStoreSize(vector->getScalarType());
      for (unsigned lane = 0; lane < lanes; ++lane) {
        Value* place = address->getType()->isVectorTy() ? builder.CreateExtractElement(address, lane)
                                                        : builder.CreateConstGEP1_64(builder.getInt8Ty(), address, lane * each);
        Value* bytes = builder.CreateMul(builder.CreateZExt(builder.CreateExtractElement(mask, lane), i64), builder.getInt64(each));
        addCall(*at, kind, place, bytes);
      }
    };
    if (auto* load = dyn_cast<LoadInst>(at)) {
      addCall(*at, Access::Read, load->getPointerOperand(), bytesOf(load->getType()));
    } else if (auto* store = dyn_cast<StoreInst>(at)) {
      addCall(*at, Access::Write, store->getPointerOperand(), bytesOf(store->getValueOperand()->getType()));
    } else if (auto* call = dyn_cast<IntrinsicInst>(at)) {
      switch (call->getIntrinsicID()) {
      case Intrinsic::prefetch: {
        Value* detail = builder.CreateAdd(builder.CreateShl(call->getArgOperand(1), 2), call->getArgOperand(2));
        addCall(*at, Access::Fetch, call->getArgOperand(0), builder.getInt64(1), detail);
        fetches.push_back(at);
        break;
      }
      case Intrinsic::masked_load:
      case Intrinsic::masked_gather:
        forLanes(Access::Read, call->getArgOperand(0), call->getType(), call->getArgOperand(1));
        break;
      case Intrinsic::masked_store:
      case Intrinsic::masked_scatter:
        forLanes(Access::Write, call->getArgOperand(1), call->getArgOperand(0)->getType(), call->getArgOperand(2));
        break;
      default:
        break;
      }
    }
  }
  for (Instruction* fetch : fetches)
    fetch->eraseFromParent();
}

std::vector<uint8_t> recordingImage(ir::KernelOp kernel, const std::string& target) {
  std::string error;
  auto code = codegen::makeEmitter(target, error)->print(kernel, codegen::CodeText::Llvm);
  if (failed(code))
    throw std::runtime_error("the kernel has no code");
  auto machine = codegen::cpu::makeTargetMachine(*codegen::cpu::findTarget(target), error);
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  auto module = llvm::parseAssemblyString(*code, diagnostic, context);
  if (!machine || !module)
    throw std::runtime_error(error + diagnostic.getMessage().str());
  addCalls(*module);
  std::string object;
  if (!codegen::cpu::writeMachineCode(*module, *machine, codegen::cpu::MachineCode::Object, object))
    throw std::runtime_error("no machine code");
  auto image = codegen::cpu::linkShared(object, error);
  if (!image)
    throw std::runtime_error(error);
  return *image;
}

} // namespace

MemoryRecord recordMemory(ir::KernelOp kernel, const std::string& target, const std::vector<Tensor>& inputs, const LoadedKernel::Call& call,
                          llvm::ArrayRef<codegen::InPlace> inPlace) {
  codegen::KernelImage image = emitKernel(kernel, target);
  image.image = recordingImage(kernel, target);
  LoadedKernel loaded(kernel, std::move(image), target);
  Recorder recorder;
  *static_cast<decltype(&record)*>(loaded.symbol(kRecord)) = record;
  *static_cast<Recorder**>(loaded.symbol(kRecorder)) = &recorder;
  std::vector<Tensor> arguments, results = loaded.outputsOf(call.bindings);
  for (const Tensor& input : inputs)
    arguments.push_back(recorder.tensors.place(input));
  for (auto [i, result] : llvm::enumerate(results)) {
    const auto* over = llvm::find_if(inPlace, [&](const codegen::InPlace& place) { return place.output == i; });
    result = over != inPlace.end() ? arguments[over->input] : recorder.tensors.place(result);
  }
  LoadedKernel::Call recorded = call;
  recorded.threads = 1;
  recorded.beforeItem = [&](size_t stage, int64_t item) { recorder.items.push_back({stage, item, {}}); };
  loaded.run(arguments, results, recorded);
  return {std::move(recorder.items), recorder.tensors.lines};
}

} // namespace moec::testing
