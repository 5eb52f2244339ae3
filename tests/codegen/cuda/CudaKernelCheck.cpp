#include "tests/codegen/cuda/CudaKernelCheck.h"

#include "codegen/cuda/Nvrtc.h"
#include "ir/reference/Interpreter.h"
#include "runtime/core/CudaImage.h"
#include "runtime/core/Philox.h"
#include "tests/codegen/cuda/ClangPtx.h"

#include <cstring>
#include <fmt/format.h>

namespace moec::testing {

std::string missingCuda() { return codegen::cuda::missingNvrtc(); }

std::vector<std::string> cudaTargetNames() {
  std::vector<std::string> names;
  for (const CudaTarget& target : cudaTargets())
    names.push_back(target.name);
  return names;
}

//===--- figures ---===//

uint64_t CudaRun::bankConflicts() const {
  uint64_t all = 0;
  for (const emulator::KernelCounters& kernel : counters)
    all += kernel.bankConflicts;
  return all;
}

double CudaRun::sectorRatio() const {
  uint64_t sectors = 0, ideal = 0;
  for (const emulator::KernelCounters& kernel : counters) {
    sectors += kernel.sectors;
    ideal += kernel.idealSectors;
  }
  return ideal ? static_cast<double>(sectors) / static_cast<double>(ideal) : 1;
}

int CudaRun::mostRegisters() const {
  int most = 0;
  for (const StageInfo& stage : stages)
    most = std::max(most, stage.grid->registers);
  return most;
}

int64_t CudaRun::spillBytes() const {
  int64_t bytes = 0;
  for (const StageInfo& stage : stages)
    bytes += stage.grid->spillBytes;
  return bytes;
}

//===--- running ---===//

namespace {

/// An emulated device without findings; one allocation cut into the launch's buffers.
class Launcher {
public:
  Launcher(const std::string& arch, const emulator::Options& options) : emulator_(emulator::Emulator::of(arch)), table_(emulator_->table()) {
    emulator_->setOptions(options);
    emulator_->clearFindings();
    emulator_->resetCounters();
  }
  ~Launcher() {
    if (module_)
      table_.moduleUnload(module_);
    if (base_)
      table_.memoryFree(base_);
  }
  emulator::Emulator& emulator() { return *emulator_; }

  void load(const std::string& ptx) {
    if (table_.moduleLoadData(&module_, ptx.c_str(), 0, nullptr, nullptr) != cuda::kSuccess)
      throw BadPtx("loading the PTX: " + emulator_->lastError());
  }

  /// Buffers of these bytes, 256-byte aligned, 256 bytes apart, filled with 0xff; not initialised in the eyes of the emulator.
  void allocate(const std::vector<int64_t>& bytes) {
    int64_t all = 256;
    for (int64_t one : bytes) {
      offsets_.push_back(all);
      all += (one + 511) / 256 * 256;
    }
    check(table_.memoryAllocate(&base_, static_cast<size_t>(all)), "allocating");
    check(table_.setBytes(base_, 0xff, static_cast<size_t>(all)), "filling");
    for (size_t i = 0; i < bytes.size(); ++i)
      emulator_->registerBuffer(at(i), static_cast<size_t>(bytes[i]), "buffer " + std::to_string(i));
  }
  cuda::DevicePtr at(size_t i) const { return base_ + static_cast<cuda::DevicePtr>(offsets_[i]); }
  void upload(size_t i, const void* data, size_t bytes) { check(table_.copyToDevice(at(i), data, bytes), "uploading"); }
  void download(size_t i, void* data, size_t bytes) { check(table_.copyToHost(data, at(i), bytes), "downloading"); }

  /// False when the kernel was found to do something wrong.
  bool launch(const GridInfo& grid, int64_t blocks, std::vector<void*>& parameters) {
    cuda::Function function = nullptr;
    check(table_.moduleGetFunction(&function, module_, grid.function.c_str()), "finding " + grid.function);
    if (grid.dynamicSharedBytes)
      check(table_.functionSetAttribute(function, cuda::kFunctionMaxDynamicSharedBytes, static_cast<int>(grid.dynamicSharedBytes)), "asking for shared memory");
    cuda::Result result = table_.launchKernel(function, static_cast<unsigned>(blocks), 1, 1, static_cast<unsigned>(grid.threads), 1, 1,
                                              static_cast<unsigned>(grid.dynamicSharedBytes), nullptr, parameters.data(), nullptr);
    if (result != cuda::kSuccess && emulator_->findings().empty())
      check(result, "launching " + grid.function);
    return result == cuda::kSuccess;
  }

private:
  void check(cuda::Result result, const std::string& what) {
    if (result != cuda::kSuccess)
      throw std::runtime_error(what + ": " + emulator_->lastError());
  }
  emulator::Emulator* emulator_;
  const cuda::DriverTable& table_;
  cuda::Module module_ = nullptr;
  cuda::DevicePtr base_ = 0;
  std::vector<int64_t> offsets_;
};

std::vector<Tensor> outputsOf(ir::KernelOp kernel, const Bindings& bindings) {
  std::vector<Tensor> outputs;
  for (mlir::Type type : kernel.getOutputs().getTypes())
    outputs.emplace_back(reference::dtypeOf(type), reference::shapeOf(type, bindings));
  return outputs;
}

int64_t elementsOfRow(const Tensor& tensor) { return tensor.shape()[0] ? tensor.elements() / tensor.shape()[0] : 0; }

} // namespace

CudaRun runOnEmulator(ir::KernelOp kernel, const std::vector<Tensor>& inputs, const CudaOptions& options) {
  codegen::KernelImage image = emitKernel(kernel, options.target);
  CudaImage code = CudaImage::parse(image.image, image.symbol);
  std::string ptx = options.compiler == PtxBy::Clang ? clangPtx(code.source, findCudaTarget(options.target)->arch) : code.ptx;
  CudaRun run = launchOnEmulator(kernel, image, ptx, inputs, options);
  run.text = code.source;
  return run;
}

CudaRun launchOnEmulator(ir::KernelOp kernel, const codegen::KernelImage& image, const std::string& ptx, const std::vector<Tensor>& inputs,
                         const CudaOptions& options) {
  CudaRun run{.stages = image.stages, .outputs = outputsOf(kernel, options.check.bindings)};

  std::vector<int64_t> bytes;
  for (const Tensor& tensor : inputs)
    bytes.push_back(static_cast<int64_t>(tensor.bytes()));
  for (const Tensor& tensor : run.outputs)
    bytes.push_back(static_cast<int64_t>(tensor.bytes()));
  for (const Size& workspace : image.workspaces)
    bytes.push_back(workspace.evaluate(options.check.bindings));
  Launcher launcher(findCudaTarget(options.target)->arch, options.emulator);
  launcher.load(ptx);
  launcher.allocate(bytes);
  for (size_t i = 0; i < inputs.size(); ++i) {
    size_t filled = inputs[i].bytes();
    if (llvm::is_contained(options.raggedInputs, i))
      filled = static_cast<size_t>(options.kept * elementsOfRow(inputs[i])) * byteSize(inputs[i].dtype());
    launcher.upload(i, inputs[i].data(), filled);
  }

  std::vector<cuda::DevicePtr> pointers;
  for (size_t i = 0; i < bytes.size(); ++i)
    pointers.push_back(launcher.at(i));
  for (auto [result, input] : options.inPlace)
    pointers[inputs.size() + result] = launcher.at(input);
  std::vector<int64_t> sizes;
  for (const Size& size : image.sizes)
    sizes.push_back(size.evaluate(options.check.bindings));
  std::vector<uint32_t> streams;
  for (const std::string& path : codegen::streamsOf(kernel))
    streams.push_back(streamOf(path));
  uint64_t seed = kCheckSeed;
  uint32_t step = kCheckStep;
  std::vector<void*> parameters;
  auto add = [&](auto& list) {
    for (auto& value : list)
      parameters.push_back(&value);
  };
  add(pointers);
  add(sizes);
  add(streams);
  parameters.push_back(&seed);
  parameters.push_back(&step);
  for (const StageInfo& stage : image.stages) {
    int64_t blocks = stage.items.evaluate(options.check.bindings);
    if (!options.turnsStage.empty() && stage.grid->function.ends_with(options.turnsStage))
      blocks = std::min(blocks, options.mostBlocks);
    if (blocks > 0 && !launcher.launch(*stage.grid, blocks, parameters))
      break;
  }

  for (size_t i = 0; i < run.outputs.size(); ++i) {
    auto place = llvm::find_if(options.inPlace, [&](auto& pair) { return pair.first == i; });
    launcher.download(place == options.inPlace.end() ? inputs.size() + i : place->second, run.outputs[i].data(), run.outputs[i].bytes());
  }
  run.counters = launcher.emulator().counters();
  run.findings = launcher.emulator().findings();
  return run;
}

void reschedule(ir::KernelOp kernel, const std::string& field, int64_t value, const std::string& target) {
  std::string error;
  mlir::NamedAttrList fields(codegen::makeEmitter(target, error)->chooseSchedule(kernel));
  if (!fields.get(field))
    throw std::runtime_error("the schedule has no field " + field);
  fields.set(field, mlir::Builder(kernel.getContext()).getI64IntegerAttr(value));
  kernel.setScheduleAttr(fields.getDictionary(kernel.getContext()));
}

//===--- checking ---===//

namespace {

/// The first rows; what stands behind them must be as it was filled, or be `behind`.
Tensor keptRows(const Tensor& tensor, int64_t kept, bool check, unsigned char behind = 0xff) {
  Shape shape = tensor.shape();
  shape[0] = kept;
  size_t bytes = static_cast<size_t>(kept * elementsOfRow(tensor)) * byteSize(tensor.dtype());
  const auto* data = static_cast<const unsigned char*>(tensor.data());
  for (size_t i = bytes; check && i < tensor.bytes(); ++i)
    if (data[i] != behind) {
      ADD_FAILURE() << "byte " << i - bytes << " behind the " << kept << " rows that are kept is not " << int(behind);
      break;
    }
  return Tensor::borrow(tensor.data(), shape, tensor.dtype());
}

} // namespace

CudaRun checkCuda(ir::KernelOp kernel, const CudaOptions& options) {
  std::vector<Tensor> inputs = inputsFor(kernel, options.check);
  reference::Call call;
  call.bindings = options.check.bindings;
  call.seed = kCheckSeed;
  call.step = kCheckStep;
  std::vector<Tensor> wants = reference::evaluate(kernel, inputs, call);
  CudaRun run = runOnEmulator(kernel, inputs, options);
  if (options.expectClean)
    for (const emulator::Finding& finding : run.findings)
      ADD_FAILURE() << options.target << ": " << finding.text();
  EXPECT_EQ(run.spillBytes(), 0) << options.target;
  EXPECT_EQ(run.outputs.size(), wants.size());
  for (size_t i = 0; i < wants.size(); ++i) {
    bool ragged = llvm::is_contained(options.raggedOutputs, i);
    unsigned char behind = kernel.getKind() == "gate" ? 0 : 0xff; // a gate's results are 0 there
    compare(ragged ? keptRows(run.outputs[i], options.kept, true, behind) : run.outputs[i], ragged ? keptRows(wants[i], options.kept, false) : wants[i],
            options.check, i);
  }
  return run;
}

CudaRun checkCuda(const ParsedKernel& kernel, const CudaOptions& options) { return checkCuda(kernel.op, options); }

} // namespace moec::testing
