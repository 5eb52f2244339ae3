#include "tests/routing/Suite.h"

#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "runtime/Training.h"
#include "runtime/core/Error.h"
#include "runtime/core/KernelAbi.h"
#include "runtime/core/Tolerance.h"
#include "tests/e2e/Support.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>

namespace moec::test {

namespace {

/// A gradient that cancels to less than this part of the case's largest is compared with that: it is rounding.
constexpr double kNothing = 0.1;

double largest(const Tensor& tensor) {
  double most = 0;
  for (double value : tensor.toDoubles())
    most = std::max(most, std::abs(value));
  return most;
}

/// max |a - b| over max(|b|, least); infinite where one of a is no number.
double apart(const Tensor& a, const Tensor& b, double least) {
  std::vector<double> x = a.toDoubles(), y = b.toDoubles();
  if (x.size() != y.size())
    return INFINITY;
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i)
    most = std::max(most, std::isfinite(x[i]) ? std::abs(x[i] - y[i]) : INFINITY);
  return most == 0 ? 0 : most / std::max(largest(b), least);
}

/// The expert of each (token, choice) of the routings that gates left, by their label; -1 where it was dropped.
using Choices = std::map<std::string, std::vector<int32_t>>;

template <class Program> void collectChoices(Program& running, Choices& choices) {
  running.watch([&](LaunchList list, size_t index) {
    const Plan& plan = running.plan();
    const LaunchInfo& launch = plan.launches(list)[index];
    for (int output : launch.outputs) {
      const BufferInfo& buffer = plan.buffers[output];
      if (!buffer.isRouting)
        continue;
      Tensor routing = running.executable().read(output);
      auto data = routing.template as<int32_t>();
      int64_t rows = (static_cast<int64_t>(data.size()) - buffer.experts - 1) / 2;
      std::vector<int32_t> chosen(rows, -1);
      for (int32_t expert = 0; expert < buffer.experts; ++expert)
        for (int32_t place = data[expert]; place < data[expert + 1]; ++place)
          chosen[data[RoutingLayout{buffer.experts, rows}.rowList() + place]] = expert;
      choices[launch.kind == "moe_layer" ? launch.label + ".gate" : launch.label] = chosen; // a layer's launch is not its gate's
    }
  });
}

Program compiled(const RoutingGolden& golden, DType dtype, const std::vector<std::string>& devices, CompileOptions options) {
  TemporaryFolder folder;
  auto path = folder.path() / (golden.row.name + ".json");
  std::ofstream(path) << golden.model(dtype);
  options.drawsAsInputs = true;
  options.kernelCache = sharedKernels(); // what stands around a gate is the same in many rows
  for (const std::string& device : devices) {
    std::string target = device.starts_with("ptx-emulator:") ? "cuda:" + device.substr(device.find(':') + 1) : "cpu";
    if (std::ranges::count(options.targets, target) == 0)
      options.targets.push_back(target);
  }
  return compile(path, options);
}

/// Whether a layer is one launch that leaves no routing in memory.
bool hidesChoices(const Plan& plan) {
  return std::ranges::any_of(plan.forward, [&](const LaunchInfo& launch) {
    return launch.kind == "moe_layer" && std::ranges::none_of(launch.outputs, [&](int output) { return plan.buffers[output].isRouting; });
  });
}

/// One dtype of one row on one device.
class Run {
public:
  Run(const RoutingGolden& golden, const Program& program, DType dtype, const std::string& device, RoutingOutcome& outcome)
      : golden_(golden), dtype_(dtype), device_(device), outcome_(outcome), session_(program, device), training_(program, device) {
    collectChoices(session_, choices_);
    collectChoices(training_, choices_);
    if (!hidesChoices(session_.plan()))
      return;
    parts_.emplace(compiled(golden, dtype, {device}, {.record = true}), device);
    collectChoices(*parts_, choices_);
  }

  void cases() {
    for (const std::string& name : golden_.row.cases) {
      size_t before = outcome_.failures.size();
      name_ = name;
      in("eval", [&] { infer(); });
      in("train", [&] { train(); });
      ++outcome_.cases;
      outcome_.passed += outcome_.failures.size() == before;
    }
  }

private:
  template <class Work> void in(const std::string& mode, const Work& work) {
    mode_ = mode;
    choices_.clear();
    bool refuses = golden_.refuses(name_, mode);
    try {
      work();
      if (refuses)
        return fail("runs, where the original drops everything and moec is to say so");
      for (const auto& [gate, wanted] : golden_.choicesOf(name_, mode))
        compareChoices(gate, wanted);
    } catch (const Error& error) {
      if (!refuses || !isRefusal(error))
        fail(error.what());
    }
  }

  /// An input of so few tokens that a gate's experts would have no place for them.
  static bool isRefusal(const Error& error) {
    std::string text = error.what();
    return error.fault() == Fault::Usage && text.find("the capacity of '") != std::string::npos && text.find("must be at least 1") != std::string::npos;
  }

  void infer() {
    session_.load(golden_.part(name_, "weights/", dtype_));
    TensorMap results = session_.run(golden_.inputsOf(session_.plan(), name_, dtype_));
    if (!golden_.refuses(name_, mode_))
      compare("y", results.at(golden_.result()), expected("y").at(""), tolerance(dtype_), "values", outcome_.values);
    if (!parts_)
      return;
    parts_->load(golden_.part(name_, "weights/", dtype_));
    parts_->run(golden_.inputsOf(parts_->plan(), name_, dtype_));
  }

  void train() {
    training_.load(golden_.part(name_, "weights/", dtype_));
    TensorMap results = training_.accumulate(golden_.inputsOf(training_.plan(), name_, dtype_));
    for (const auto& [name, tensor] : expected("losses/"))
      compare(name, found(results, name), tensor, tolerance(dtype_), "values", outcome_.values);
    TensorMap gradients = expected("gradients/"), state = training_.state();
    double most = 0;
    for (const auto& [name, tensor] : gradients)
      most = std::max(most, largest(tensor));
    for (const auto& [name, tensor] : gradients) {
      bool isInput = results.contains("gradient." + name);
      const Tensor& own = isInput ? found(results, "gradient." + name) : found(state, name + ".gradient");
      compare("gradient of " + name, own, tensor, gradientTolerance(dtype_), "gradients", outcome_.gradients, kNothing * most);
    }
  }

  /// A result by its name; no number where there is none.
  const Tensor& found(const TensorMap& results, const std::string& name) {
    static const Tensor nothing = Tensor::of<float>({NAN}, {});
    auto result = results.find(name);
    return result == results.end() ? nothing : result->second;
  }

  TensorMap expected(const std::string& what) { return golden_.part(name_, std::string(name(dtype_)) + "/" + what, dtype_); }

  void compare(const std::string& what, const Tensor& own, const Tensor& theirs, double limit, const std::string& of, double& worst, double least = 0) {
    auto inexact = golden_.row.inexact.find(of);
    if (dtype_ == DType::F64 && inexact != golden_.row.inexact.end())
      limit = inexact->second;
    double error = apart(own, theirs, least) / limit;
    worst = std::max(worst, error);
    if (!(error <= 1))
      fail(fmt::format("{} is {:.3g} tolerances away", what, error));
  }

  void compareChoices(const std::string& gate, const std::vector<int32_t>& wanted) {
    auto own = choices_.find(gate);
    if (own == choices_.end())
      return fail("no launch left the routing of " + gate);
    if (own->second != wanted)
      fail(fmt::format("the choices of {} are {}, not {}", gate, fmt::join(own->second, " "), fmt::join(wanted, " ")));
  }

  void fail(const std::string& what) { outcome_.failures.push_back(fmt::format("{}, {}, {}, {}: {}", name_, name(dtype_), device_, mode_, what)); }

  const RoutingGolden& golden_;
  DType dtype_;
  std::string device_;
  RoutingOutcome& outcome_;
  Session session_;
  Training training_;
  std::optional<Session> parts_; // of a program whose gates are launches of their own, where session_'s leave no choices
  Choices choices_;
  std::string name_, mode_;
};

} // namespace

std::string missingForRouting(const std::string& device) { return device.starts_with("ptx-emulator:") ? missingCudaCompiler() : ""; }

std::map<std::string, RoutingOutcome> runRow(const RoutingRow& row, const std::vector<std::string>& devices, const std::vector<DType>& dtypes) {
  RoutingGolden golden(row);
  std::map<std::string, RoutingOutcome> outcomes;
  for (DType dtype : dtypes) {
    try {
      Program program = compiled(golden, dtype, devices, {.train = true, .accumulate = true, .inputGradients = true});
      for (const std::string& device : devices)
        Run(golden, program, dtype, device, outcomes[device]).cases();
    } catch (const Error& error) { // of the model itself
      for (const std::string& device : devices) {
        outcomes[device].cases += static_cast<int>(row.cases.size());
        outcomes[device].failures.push_back(fmt::format("{}, {}: {}", name(dtype), device, error.what()));
      }
    }
  }
  return outcomes;
}

} // namespace moec::test
