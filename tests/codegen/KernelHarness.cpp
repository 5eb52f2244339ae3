#include "tests/codegen/KernelHarness.h"

#include "runtime/core/CpuTarget.h"
#include "runtime/core/Philox.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <limits>
#include <map>
#include <stdexcept>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace moec::testing {

//===--- making a kernel ---===//

KernelMaker::KernelMaker(mlir::MLIRContext& context) : module_(mlir::ModuleOp::create(mlir::UnknownLoc::get(&context))), builder_(&context) {
  body_.emplaceBlock();
  builder_.setInsertionPointToEnd(&body_.front());
}
KernelMaker::~KernelMaker() = default;

mlir::Value KernelMaker::input(mlir::Type type) { return body_.front().addArgument(type, loc()); }

mlir::RankedTensorType KernelMaker::typeOf(DType type, const std::vector<std::string>& sizes) {
  ir::Sizes all;
  for (const std::string& size : sizes)
    all.push_back(Size::parse(size));
  return ir::tensorOf(all, ir::elementType(type, builder_.getContext()));
}

mlir::Value KernelMaker::tensor(DType type, const std::vector<std::string>& sizes) { return input(typeOf(type, sizes)); }

mlir::Value KernelMaker::draws(DType type, const std::vector<std::string>& sizes) {
  auto uniform = ir::DistributionAttr::get(builder_.getContext(), ir::Distribution::Uniform);
  return ir::RandomOp::create(builder_, loc(), typeOf(type, sizes), uniform, builder_.getStringAttr("test.draws"));
}

mlir::Value KernelMaker::routing(int64_t experts, const std::string& tokens, int64_t choices) {
  return input(ir::RoutingType::get(builder_.getContext(), experts, builder_.getStringAttr(tokens), choices));
}

ir::KernelOp KernelMaker::finish(const std::string& kind, mlir::ValueRange results) {
  ir::YieldOp::create(builder_, loc(), results);
  builder_.setInsertionPointToEnd(module_->getBody());
  auto type = builder_.getFunctionType(body_.front().getArgumentTypes(), results.getTypes());
  auto function = mlir::func::FuncOp::create(builder_, loc(), "forward", type);
  builder_.setInsertionPointToEnd(function.addEntryBlock());
  mlir::OperationState state(loc(), ir::KernelOp::getOperationName());
  state.addOperands(function.getArguments());
  state.addTypes(results.getTypes());
  state.addAttribute("kind", builder_.getStringAttr(kind));
  state.addAttribute("label", builder_.getStringAttr("test"));
  state.addRegion()->takeBody(body_);
  auto kernel = mlir::cast<ir::KernelOp>(builder_.create(state));
  mlir::func::ReturnOp::create(builder_, loc(), kernel.getOutputs());
  if (failed(kernel.verify()))
    throw std::runtime_error("the kernel is not valid");
  return kernel;
}

std::string hostTarget() {
  bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
  return v4 ? "cpu:x86-64-v4" : "cpu:x86-64-v3";
}

std::vector<std::string> testTargets() {
  if (const char* only = std::getenv("MOEC_TEST_TARGET"))
    return {only};
  std::string host = hostTarget();
  return host == "cpu:x86-64-v3" ? std::vector{host} : std::vector<std::string>{"cpu:x86-64-v3", host};
}

std::unique_ptr<mlir::MLIRContext> makeContext() {
  mlir::DialectRegistry registry;
  ir::registerDialects(registry);
  auto context = std::make_unique<mlir::MLIRContext>(registry, mlir::MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

//===--- calling it ---===//

codegen::KernelImage emitKernel(ir::KernelOp kernel, const std::string& target) {
  std::string diagnostics;
  mlir::ScopedDiagnosticHandler handler(kernel.getContext(), [&](mlir::Diagnostic& diagnostic) {
    diagnostics += diagnostic.str() + "\n";
    return mlir::success();
  });
  auto emitter = codegen::makeEmitter(target, diagnostics);
  if (!emitter)
    throw std::runtime_error(diagnostics);
  if (!kernel.getScheduleAttr()) {
    auto schedule = emitter->chooseSchedule(kernel);
    if (!schedule)
      throw std::runtime_error(diagnostics);
    kernel.setScheduleAttr(schedule);
  }
  static std::map<std::string, codegen::KernelImage> known;
  std::string key = emitter->key(kernel);
  if (auto same = known.find(key); same != known.end())
    return same->second;
  auto image = emitter->emit(kernel);
  if (failed(image))
    throw std::runtime_error(diagnostics);
  return known[key] = std::move(*image);
}

LoadedKernel::LoadedKernel(ir::KernelOp kernel, const std::string& target) : LoadedKernel(kernel, emitKernel(kernel, target), target) {}

LoadedKernel::LoadedKernel(ir::KernelOp kernel, codegen::KernelImage image, const std::string& target) : image_(std::move(image)) {
  requestRegisters(target);
  for (const std::string& path : codegen::streamsOf(kernel))
    streams_.push_back(streamOf(path));
  for (mlir::Value output : kernel.getOutputs()) {
    if (auto routing = mlir::dyn_cast<ir::RoutingType>(output.getType())) {
      Size rows = Size::parse(routing.getTokens().getValue().str()) * Size(routing.getChoices());
      outputs_.push_back({DType::I32, {Size(routing.getExperts() + 1) + Size(2) * rows}});
    } else {
      outputs_.push_back({ir::dtypeOf(mlir::cast<mlir::RankedTensorType>(output.getType()).getElementType()), ir::sizesOf(output)});
    }
  }

  file_ = memfd_create("kernel", MFD_CLOEXEC);
  if (file_ < 0 || write(file_, image_.image.data(), image_.image.size()) != static_cast<ssize_t>(image_.image.size()))
    throw std::runtime_error("cannot write the image");
  library_ = dlopen(("/proc/self/fd/" + std::to_string(file_)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library_)
    throw std::runtime_error(dlerror());
  function_ = reinterpret_cast<KernelFunction>(symbol(image_.symbol.c_str()));
}

void* LoadedKernel::symbol(const char* name) const {
  void* found = dlsym(library_, name);
  if (!found)
    throw std::runtime_error(std::string("the image does not export ") + name);
  return found;
}

LoadedKernel::~LoadedKernel() {
  if (library_)
    dlclose(library_);
  if (file_ >= 0)
    close(file_);
}

namespace {

void poison(const Tensor& tensor) {
  if (tensor.dtype() == DType::F32)
    std::fill_n(static_cast<float*>(tensor.data()), tensor.elements(), std::numeric_limits<float>::quiet_NaN());
  else if (tensor.dtype() == DType::F64)
    std::fill_n(static_cast<double*>(tensor.data()), tensor.elements(), std::numeric_limits<double>::quiet_NaN());
  else if (tensor.dtype() == DType::I32)
    std::fill_n(static_cast<int32_t*>(tensor.data()), tensor.elements(), -7777);
  else
    std::memset(tensor.data(), 0xff, tensor.bytes());
}

} // namespace

std::vector<Tensor> LoadedKernel::outputsOf(const Bindings& bindings) const {
  std::vector<Tensor> outputs;
  for (const Output& output : outputs_) {
    Shape shape;
    for (const Size& size : output.sizes)
      shape.push_back(size.evaluate(bindings));
    outputs.emplace_back(output.type, shape);
    poison(outputs.back());
  }
  return outputs;
}

std::vector<Tensor> LoadedKernel::run(const std::vector<Tensor>& inputs, const Call& call) {
  std::vector<Tensor> outputs = outputsOf(call.bindings);
  run(inputs, outputs, call);
  return outputs;
}

void LoadedKernel::run(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs, const Call& call) {
  std::vector<void*> buffers;
  for (const Tensor& tensor : inputs)
    buffers.push_back(tensor.data());
  for (const Tensor& tensor : outputs)
    buffers.push_back(tensor.data());
  for (size_t i = 0; i < image_.workspaces.size(); ++i) {
    int64_t bytes = image_.workspaces[i].evaluate(call.bindings);
    if (workspaces_.size() <= i)
      workspaces_.emplace_back();
    if (!workspaces_[i].data() || workspaces_[i].elements() < bytes) {
      workspaces_[i] = Tensor(DType::U8, {bytes});
      std::memset(workspaces_[i].data(), 0xff, bytes);
    }
    buffers.push_back(workspaces_[i].data());
  }
  std::vector<int64_t> sizes;
  for (const Size& size : image_.sizes)
    sizes.push_back(size.evaluate(call.bindings));
  KernelCall kernelCall{buffers.data(), sizes.data(), streams_.data(), call.seed, call.step};
  for (size_t stage = 0; stage < image_.stages.size(); ++stage) {
    int64_t items = image_.stages[stage].items.evaluate(call.bindings);
    int64_t bytes = image_.stages[stage].scratchBytes.evaluate(call.bindings);
    std::atomic<int64_t> next = 0;
    auto work = [&] {
      Tensor scratch(DType::U8, {bytes});
      std::memset(scratch.data(), 0xff, bytes); // NaN
      for (int64_t item = next++; item < items; item = next++) {
        if (call.beforeItem)
          call.beforeItem(stage, item);
        function_(&kernelCall, static_cast<int64_t>(stage), item, item + 1, scratch.data());
      }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < call.threads; ++i)
      others.emplace_back(work);
    work();
    for (std::thread& thread : others)
      thread.join();
  }
}

Tensor randomTensor(DType type, const Shape& shape, uint32_t seed) {
  Tensor tensor(DType::F64, shape);
  for (int64_t i = 0; i < tensor.elements(); ++i)
    tensor.as<double>()[static_cast<size_t>(i)] = 2 * uniformDouble(draw(seed, 0, 0, static_cast<uint64_t>(i))) - 1;
  return tensor.cast(type);
}

} // namespace moec::testing
