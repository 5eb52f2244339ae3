#include "tests/mutations/Trial.h"

#include "ir/reference/Interpreter.h"
#include "runtime/core/CudaImage.h"

#include <cstring>
#include <fmt/format.h>
#include <sstream>

namespace moec::testing {
namespace {

void reschedule(ir::KernelOp kernel, const std::string& target, const std::vector<std::pair<std::string, int64_t>>& fields) {
  std::string error;
  auto emitter = codegen::makeEmitter(target, error);
  if (!emitter)
    throw std::runtime_error(error);
  mlir::NamedAttrList schedule(emitter->chooseSchedule(kernel));
  mlir::Builder builder(kernel.getContext());
  for (const auto& [field, value] : fields) {
    if (!schedule.get(field))
      throw std::runtime_error("the schedule has no field " + field);
    schedule.set(field, builder.getI64IntegerAttr(value));
  }
  kernel.setScheduleAttr(schedule.getDictionary(kernel.getContext()));
}

bool sameBits(const Tensor& a, const Tensor& b) { return std::memcmp(a.data(), b.data(), a.bytes()) == 0; }

/// Of a ragged result, the rows that are kept.
Tensor keptRows(const Tensor& tensor, int64_t kept) {
  Shape shape = tensor.shape();
  shape[0] = kept;
  return Tensor::borrow(tensor.data(), shape, tensor.dtype());
}

} // namespace

Trial::Trial(const Subject& subject, const std::string& target) : subject_(subject), kernel_(subject.make()) {
  if (!subject.schedule.empty())
    reschedule(kernel_.op, target, subject.schedule);
  image_ = emitKernel(kernel_.op, target);
  CudaImage code = CudaImage::parse(image_.image, image_.symbol);
  ptx_ = code.ptx;
  std::istringstream text(code.source);
  for (std::string line; std::getline(text, line);)
    lines_.push_back(line);
  mutants_ = mutations::mutantsOf(ptx_);
  for (const CudaOptions& options : subject.calls) {
    Call call{options, inputsFor(kernel_.op, options.check), {}, {}};
    call.options.target = target;
    reference::Call reference;
    reference.bindings = options.check.bindings;
    reference.seed = kCheckSeed;
    reference.step = kCheckStep;
    call.wants = reference::evaluate(kernel_.op, call.inputs, reference);
    calls_.push_back(std::move(call));
    CudaRun good = run(ptx_, calls_.size() - 1);
    calls_.back().own = std::move(good.outputs);
    good.outputs = calls_.back().own;
    if (Verdict verdict = judge(good, calls_.size() - 1); verdict.kind != Verdict::Kind::Survives)
      throw std::runtime_error(subject.name + " is not right by itself: " + verdict.detail);
    uint64_t executed = 0;
    for (const emulator::KernelCounters& counters : good.counters)
      executed += counters.warpInstructions;
    calls_.back().options.emulator.maxInstructions = 4 * executed + 100'000;
    calls_.back().options.emulator.counters = false;
    calls_.back().options.emulator.maxReports = 100;
  }
}

CudaRun Trial::run(const std::string& ptx, size_t call) { return launchOnEmulator(kernel_.op, image_, ptx, calls_[call].inputs, calls_[call].options); }

Verdict Trial::judge(const CudaRun& run, size_t number) const {
  const Call& call = calls_[number];
  if (!run.findings.empty())
    return {Verdict::Kind::Finding, run.findings.front().text()};
  for (size_t i = 0; i < run.outputs.size(); ++i) {
    const Tensor &got = run.outputs[i], &want = call.wants[i];
    bool ragged = llvm::is_contained(call.options.raggedOutputs, i);
    std::string difference =
        ragged ? mismatch(keptRows(got, call.options.kept), keptRows(want, call.options.kept), call.options.check) : mismatch(got, want, call.options.check);
    if (!difference.empty())
      return {Verdict::Kind::Result, fmt::format("result {}, {}", i, difference)};
  }
  for (size_t i = 0; i < run.outputs.size(); ++i)
    if (!sameBits(run.outputs[i], call.own[i]))
      return {Verdict::Kind::Bits, fmt::format("result {} has other bits", i)};
  return {Verdict::Kind::Survives, {}};
}

Verdict Trial::judge(const mutations::Mutant& mutant) {
  std::string ptx = mutations::apply(ptx_, mutant.edit);
  Verdict verdict{Verdict::Kind::Survives, {}};
  for (size_t i = 0; i < calls_.size() && verdict.kind == Verdict::Kind::Survives; ++i)
    try {
      verdict = judge(run(ptx, i), i);
    } catch (const BadPtx& error) {
      throw std::runtime_error(fmt::format("{}, line {}: '{}', {}: {}", subject_.name, mutant.line, mutant.instruction, mutant.change, error.what()));
    } catch (const std::runtime_error& error) {
      verdict = {Verdict::Kind::Error, error.what()};
    }
  return verdict;
}

bool Trial::matters(const mutations::Mutant& mutant) {
  std::string ptx = mutations::apply(ptx_, mutant.probe);
  for (size_t i = 0; i < calls_.size(); ++i)
    for (const emulator::Finding& finding : run(ptx, i).findings)
      if (finding.kind == emulator::Finding::Kind::Trap)
        return true;
  return false;
}

std::string Trial::source(int line) const {
  if (line < 1 || static_cast<size_t>(line) > lines_.size())
    return "?";
  const std::string& text = lines_[static_cast<size_t>(line) - 1];
  size_t begin = text.find_first_not_of(" "), end = text.find_last_not_of(" ");
  return begin == std::string::npos ? "?" : text.substr(begin, end - begin + 1);
}

} // namespace moec::testing
