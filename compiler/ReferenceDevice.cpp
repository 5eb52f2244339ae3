// The device `reference`: runs a program's launches by evaluating the regions of their kernels with the plain interpreter. Slow, and right.

#include "compiler/Compilation.h"
#include "compiler/Diagnostics.h"
#include "ir/reference/Interpreter.h"
#include "runtime/core/Error.h"
#include "runtime/device/Device.h"

using namespace mlir;

namespace moec::compiler {

namespace {

/// The function whose kernels are the launches of a call.
const char* calledName(const Plan& plan) {
  switch (plan.purpose) {
  case Purpose::Training:
    return plan.apply.empty() ? "train_step" : "accumulate";
  case Purpose::Evaluation:
    return "evaluate";
  case Purpose::Generation:
    return "generate";
  default:
    return "forward";
  }
}

/// The planned module of a program, parsed once; its kernels in launch order.
struct Meaning {
  MLIRContext context{MLIRContext::Threading::DISABLED};
  OwningOpRef<ModuleOp> module;
  std::vector<ir::KernelOp> lists[3]; // by LaunchList

  Meaning(const Program& program, const Plan& plan) {
    std::string key = irKey(plan.target, plan.purpose);
    auto text = program.data().ir.find(key);
    if (text == program.data().ir.end())
      throw Error(Fault::Device, "program '" + program.name() + "' carries no IR for target '" + plan.target +
                                     "' (it was stripped): the reference device needs it; compile the model again");
    DialectRegistry registry;
    ir::registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    ContextDiagnostics diagnostics(context, "ir/" + key);
    auto parsed = parseDump(text->second, "ir/" + key, &context);
    if (failed(parsed))
      diagnostics.fail(Fault::Data, "the IR of program '" + program.name() + "' cannot be read");
    module = std::move(parsed->module);
    bool whole = plan.apply.empty();
    collect("prepare", LaunchList::Prepare, program, plan);
    collect(calledName(plan), LaunchList::Forward, program, plan);
    if (!whole)
      collect("apply", LaunchList::Apply, program, plan);
  }

  void collect(StringRef function, LaunchList list, const Program& program, const Plan& plan) {
    auto& kernels = lists[static_cast<size_t>(list)];
    if (auto found = module->lookupSymbol<func::FuncOp>(function))
      for (ir::KernelOp kernel : found.getOps<ir::KernelOp>())
        kernels.push_back(kernel);
    if (kernels.size() != plan.launches(list).size())
      throw Error(Fault::Data, "the IR of program '" + program.name() + "' has " + std::to_string(kernels.size()) + " kernels in @" + function.str() +
                                   ", its plan " + std::to_string(plan.launches(list).size()));
  }
};

class ReferenceExecutable : public Executable {
public:
  ReferenceExecutable(Program program, const Plan& plan) : program_(std::move(program)), plan_(plan), meaning_(program_, plan), values_(plan.buffers.size()) {
    for (size_t i = 0; i < plan.buffers.size(); ++i)
      if (plan.buffers[i].kind == BufferKind::Constant)
        std::memcpy((values_[i] = Tensor(plan.buffers[i].dtype, shapeOf(static_cast<int>(i)))).data(), plan.buffers[i].data.data(),
                    plan.buffers[i].data.size());
  }

  const Plan& plan() const override { return plan_; }

  void bind(const Bindings& bindings) override { bindings_ = bindings; }

  void write(int buffer, const Tensor& tensor) override { values_.at(buffer) = tensor.clone(); }

  Tensor read(int buffer) const override {
    const Tensor& value = values_.at(buffer);
    Shape shape = shapeOf(buffer);
    if (value.elements() == 0 && value.dtype() != plan_.buffers[buffer].dtype)
      return Tensor(plan_.buffers[buffer].dtype, shape);
    return value.clone().reshaped(shape);
  }

  void launch(LaunchList list, int index, const CallScalars& scalars) override {
    ir::KernelOp kernel = meaning_.lists[static_cast<size_t>(list)].at(index);
    const LaunchInfo& launch = plan_.launches(list).at(index);
    // A buffer may be seen in several shapes (views): each launch takes its own.
    std::vector<Tensor> arguments;
    for (auto [buffer, type] : llvm::zip(launch.inputs, kernel.getInputs().getTypes()))
      arguments.push_back(values_.at(buffer).reshaped(reference::shapeOf(type, bindings_)));
    reference::Call call;
    call.bindings = bindings_;
    call.seed = scalars.seed;
    call.step = scalars.step;
    std::vector<Tensor> results = reference::evaluate(kernel, arguments, call);
    for (auto [buffer, result] : llvm::zip(launch.outputs, results))
      values_.at(buffer) = result;
  }

  void releaseUnusedParameters() override {
    if (plan_.purpose == Purpose::Training)
      return; // what a step updates, it reads or writes
    std::vector<bool> read(plan_.buffers.size(), false);
    for (const LaunchInfo& launch : plan_.forward)
      for (int input : launch.inputs)
        read[input] = true;
    for (const ParameterInfo& parameter : plan_.parameters)
      if (parameter.buffer >= 0 && !read[parameter.buffer])
        values_[parameter.buffer] = Tensor();
  }

private:
  Shape shapeOf(int buffer) const {
    Shape shape;
    for (const Size& size : plan_.buffers.at(buffer).shape)
      shape.push_back(size.evaluate(bindings_));
    return shape;
  }

  Program program_;
  const Plan& plan_; // of program_'s shared data
  Meaning meaning_;
  Bindings bindings_;
  std::vector<Tensor> values_; // by buffer
};

class ReferenceDevice : public Device {
public:
  std::string name() const override { return "reference"; }
  std::vector<std::string> targets() const override { return {}; }
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose) override {
    requirePlans(program.data(), purpose);
    for (const Plan& plan : program.data().plans)
      if (plan.purpose == purpose)
        return std::make_unique<ReferenceExecutable>(program, plan);
    throw Error(Fault::Data, "program '" + program.name() + "' holds no plan");
  }
};

} // namespace

std::shared_ptr<Device> makeReferenceDevice() { return std::make_shared<ReferenceDevice>(); }

} // namespace moec::compiler
