#include "codegen/cuda/CudaEmitter.h"

#include "codegen/KindTable.h"
#include "codegen/cuda/Kernels.h"
#include "runtime/core/CudaImage.h"
#include "runtime/core/Error.h"

namespace moec::codegen::cuda {

namespace {

/// Counts up when the text of some kernel changes: it is part of every key.
constexpr int kEmitterVersion = 6;

using Kind = KernelKind<KernelText, CudaTarget>;

constexpr Kind kKinds[] = {
    {"loops", buildLoops, scheduleLoops},
    {"matmul", buildMatmul, scheduleMatmul},
    {"rows", buildRows, scheduleRows},
    {"gate", buildGate, scheduleGate},
    {"places", buildPlaces, schedulePlaces},
    {"swipe", buildSwipe, scheduleSwipe},
    {"expert_up", buildExpertUp, scheduleExpertUp},
    {"expert_mid", buildExpertUp, scheduleExpertUp},
    {"expert_down", buildExpertDown, scheduleExpertDown},
    {"attention", buildAttention, scheduleAttention},
    {"moe_layer", buildLayer, scheduleLayer},
    {"update", buildUpdate, scheduleUpdate},
    {"totals", buildTotals, scheduleTotals},
    {"sums", buildSums, scheduleSums},
    {"weight_grad", buildWeightGrad, scheduleWeightGrad},
    {"cached_attention", buildCachedAttention, scheduleCachedAttention},
    {"append", buildAppend, scheduleAppend},
    {"attention_grad", buildAttentionGrad, scheduleAttentionGrad},
};

const Kind* kindOf(ir::KernelOp kernel) { return findKind(kKinds, kernel, "CUDA"); }

const FunctionUsage* usageOf(const GridInfo& grid, const CompiledCuda& compiled) {
  auto usage = std::find_if(compiled.functions.begin(), compiled.functions.end(), [&](const FunctionUsage& one) { return one.function == grid.function; });
  return usage == compiled.functions.end() ? nullptr : &*usage;
}

/// As many threads as a function's __launch_bounds__ let a block have; nothing when it has none.
std::optional<int> mostThreads(const std::string& ptx, const std::string& function) {
  size_t begin = ptx.find(".entry " + function + "("), at = ptx.find(".maxntid", begin);
  if (begin == std::string::npos || at > ptx.find('{', begin))
    return std::nullopt;
  return std::atoi(ptx.c_str() + at + std::string_view(".maxntid").size());
}

/// Why the launches of a kernel's stages cannot use what a text was compiled to; empty when they can.
std::string misfit(const KernelText& k, const CudaSource& source, const CompiledCuda& compiled) {
  for (size_t i = 0; i < k.stages().size(); ++i) {
    const GridInfo& grid = *k.stages()[i].grid;
    if (!usageOf(grid, compiled))
      return fmt::format("{}: error: the text defines no function {}\n  expected: {}", source.fileName, grid.function, k.declaration(i));
    if (auto most = mostThreads(compiled.ptx, grid.function); most && *most < grid.threads)
      return fmt::format("{}: error: __launch_bounds__ of {} allow {} threads, and it is launched with {}: the number belongs to the kernel's schedule",
                         source.fileName, grid.function, *most, grid.threads);
  }
  return {};
}

/// What ptxas reported of each stage's function, and what fits a multiprocessor.
void fillGrids(std::vector<StageInfo>& stages, const CompiledCuda& compiled, const CudaTarget& target) {
  for (StageInfo& stage : stages) {
    GridInfo& grid = *stage.grid;
    const FunctionUsage* usage = usageOf(grid, compiled);
    grid.registers = usage->registers;
    grid.spillBytes = usage->spillBytes;
    grid.stackBytes = usage->stackBytes;
    grid.sharedBytes = usage->sharedBytes + grid.dynamicSharedBytes;
    grid.blocksPerMultiprocessor = blocksPerMultiprocessor(target, grid.threads, grid.registers, grid.sharedBytes);
  }
}

} // namespace

mlir::DictionaryAttr CudaEmitter::chooseSchedule(ir::KernelOp kernel) {
  const Kind* kind = kindOf(kernel);
  return kind ? kind->schedule(kernel, target_) : nullptr;
}

LayerChoice CudaEmitter::chooseLayer(ir::KernelOp layer) {
  if (layer.getKind() == "layer_grad")
    return {false, "GPUs have no kernel of its kind"};
  return cuda::chooseLayer(layer, target_);
}

// The name comes from the kernel alone, so that a user's text keeps its file's name when its contents change.
std::string CudaEmitter::symbolOf(ir::KernelOp kernel) {
  return codegen::symbolOf(kernel, keyOf(kernel, fmt::format("emitter {} {}", kEmitterVersion, target_.name)));
}

std::string CudaEmitter::keyWithoutSchedule(ir::KernelOp kernel) {
  return keyWithoutScheduleOf(kernel, fmt::format("emitter {} {}", kEmitterVersion, target_.name));
}

std::string CudaEmitter::key(ir::KernelOp kernel) {
  std::string text = keyOf(kernel, fmt::format("emitter {} {} nvrtc {}", kEmitterVersion, target_.name, nvrtcBuild()));
  if (const CudaSource* users = users_.find(symbolOf(kernel)))
    text += "\nuser's text " + users->fileName + "\n" + users->text;
  return text;
}

mlir::LogicalResult CudaEmitter::build(ir::KernelOp kernel, KernelText& k) {
  const Kind* kind = kindOf(kernel);
  return mlir::success(kind && mlir::succeeded(kind->build(k, kernel)));
}

mlir::FailureOr<CompiledCuda> CudaEmitter::compile(const KernelText& k, const CudaSource& source, bool byUser) {
  std::string error;
  auto compiled = byUser ? compileCudaApart(source, target_, error) : compileCuda(source, target_, error);
  if (compiled)
    error = misfit(k, source, *compiled);
  if (error.empty())
    return std::move(*compiled);
  if (byUser)
    throw Error(Fault::Data, error);
  ir::KernelOp kernel = k.kernel();
  return kernel.emitError() << "internal: NVRTC refuses the kernel's text: " << error;
}

mlir::FailureOr<KernelImage> CudaEmitter::emit(ir::KernelOp kernel) {
  std::string symbol = symbolOf(kernel);
  KernelText k(kernel, symbol, target_);
  if (mlir::failed(build(kernel, k)))
    return mlir::failure();
  const CudaSource* users = users_.find(symbol);
  CudaSource source = users ? *users : CudaSource{symbol + ".cu", k.text(), {}};
  for (size_t i = 0; users && i < k.stages().size(); ++i)
    source.declarations += k.declaration(i) + "\n";
  auto compiled = compile(k, source, users != nullptr);
  if (mlir::failed(compiled))
    return mlir::failure();
  std::vector<StageInfo> stages = k.stages();
  fillGrids(stages, *compiled, target_);
  CudaImage image{source.fileName, source.text, compiled->ptx, compiled->cubin};
  return KernelImage{symbol, image.bytes(), k.sizes(), std::move(stages), k.workspaces()};
}

mlir::FailureOr<std::string> CudaEmitter::print(ir::KernelOp kernel, CodeText form) {
  if (form == CodeText::Llvm || form == CodeText::Asm)
    return kernel.emitError() << "kernels of " << target_.name << " have the forms cuda and ptx";
  if (form == CodeText::Ptx) {
    auto image = emit(kernel);
    if (mlir::failed(image))
      return mlir::failure();
    return CudaImage::parse(image->image, image->symbol).ptx;
  }
  KernelText k(kernel, symbolOf(kernel), target_);
  if (mlir::failed(build(kernel, k)))
    return mlir::failure();
  return k.text();
}

} // namespace moec::codegen::cuda
