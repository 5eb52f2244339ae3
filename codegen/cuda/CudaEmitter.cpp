#include "codegen/cuda/CudaEmitter.h"

#include "codegen/cuda/Kernels.h"
#include "codegen/cuda/Nvrtc.h"
#include "runtime/core/CudaImage.h"
#include "runtime/core/Error.h"

#include <fstream>
#include <sstream>

namespace moec::codegen::cuda {

namespace {

/// Counts up when the text of some kernel changes: it is part of every key.
constexpr int kEmitterVersion = 2;

struct Kind {
  std::string_view name;
  mlir::LogicalResult (*build)(KernelText&, ir::KernelOp);
  mlir::DictionaryAttr (*schedule)(ir::KernelOp, const CudaTarget&);
};

constexpr Kind kKinds[] = {
    {"loops", buildLoops, scheduleLoops},
    {"matmul", buildMatmul, scheduleMatmul},
    {"rows", buildRows, scheduleRows},
    {"gate", buildGate, scheduleGate},
    {"expert_up", buildExpertUp, scheduleExpertUp},
    {"expert_mid", buildExpertUp, scheduleExpertUp},
    {"expert_down", buildExpertDown, scheduleExpertDown},
    {"attention", buildAttention, scheduleAttention},
    {"moe_layer", buildLayer, scheduleLayer},
};

/// Null with a diagnostic for a kind that no builder writes.
const Kind* findKind(ir::KernelOp kernel) {
  std::string known;
  for (const Kind& kind : kKinds) {
    if (std::string_view(kernel.getKind()) == kind.name)
      return &kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  kernel.emitError() << "internal: no CUDA builder for kernels of kind \"" << kernel.getKind() << "\"; known: " << known;
  return nullptr;
}

std::string readText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    throw Error(Fault::Data, path.string() + ": cannot be read");
  return text.str();
}

/// What ptxas reported of each stage's function, and what fits a multiprocessor.
mlir::LogicalResult fillGrids(ir::KernelOp kernel, std::vector<StageInfo>& stages, const CompiledCuda& compiled, const CudaTarget& target) {
  for (StageInfo& stage : stages) {
    GridInfo& grid = *stage.grid;
    auto usage = std::find_if(compiled.functions.begin(), compiled.functions.end(), [&](const FunctionUsage& one) { return one.function == grid.function; });
    if (usage == compiled.functions.end())
      return kernel.emitError() << "the CUDA text has no function \"" << grid.function << "\" (extern \"C\" __global__)";
    grid.registers = usage->registers;
    grid.spillBytes = usage->spillBytes;
    grid.stackBytes = usage->stackBytes;
    grid.sharedBytes = usage->sharedBytes + grid.dynamicSharedBytes;
    grid.blocksPerMultiprocessor = blocksPerMultiprocessor(target, grid.threads, grid.registers, grid.sharedBytes);
  }
  return mlir::success();
}

} // namespace

mlir::DictionaryAttr CudaEmitter::chooseSchedule(ir::KernelOp kernel) {
  const Kind* kind = findKind(kernel);
  return kind ? kind->schedule(kernel, target_) : nullptr;
}

LayerChoice CudaEmitter::chooseLayer(ir::KernelOp layer) { return cuda::chooseLayer(layer, target_); }

// The name comes from the kernel alone, so that a user's text keeps its file's name when its contents change.
std::string CudaEmitter::symbolOf(ir::KernelOp kernel) {
  return codegen::symbolOf(kernel, keyOf(kernel, fmt::format("emitter {} {}", kEmitterVersion, target_.name)));
}

std::filesystem::path CudaEmitter::usersText(const std::string& symbol) const {
  if (options_.kernels.empty())
    return {};
  std::filesystem::path path = options_.kernels / (symbol + ".cu");
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

std::string CudaEmitter::key(ir::KernelOp kernel) {
  std::string text = keyOf(kernel, fmt::format("emitter {} {} nvrtc {}", kEmitterVersion, target_.name, nvrtcVersion()));
  if (auto path = usersText(symbolOf(kernel)); !path.empty())
    text += "\nuser's text " + path.string() + "\n" + readText(path);
  return text;
}

mlir::LogicalResult CudaEmitter::build(ir::KernelOp kernel, KernelText& k) {
  const Kind* kind = findKind(kernel);
  return mlir::success(kind && mlir::succeeded(kind->build(k, kernel)));
}

mlir::FailureOr<KernelImage> CudaEmitter::emit(ir::KernelOp kernel) {
  std::string symbol = symbolOf(kernel), error;
  KernelText k(kernel, symbol, target_);
  if (mlir::failed(build(kernel, k)))
    return mlir::failure();
  CudaSource source{symbol + ".cu", k.text()};
  auto path = usersText(symbol);
  if (!path.empty())
    source = {path.string(), readText(path)};
  auto compiled = path.empty() ? compileCuda(source, target_, error) : compileCudaApart(source, target_, error);
  if (!compiled && !path.empty())
    throw Error(Fault::Data, error);
  if (!compiled)
    return kernel.emitError() << "internal: NVRTC refuses the kernel's text: " << error;
  std::vector<StageInfo> stages = k.stages();
  if (mlir::failed(fillGrids(kernel, stages, *compiled, target_)))
    return mlir::failure();
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
