#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/ConversionErrors.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/Table.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/CheckDevice.h"
#include "runtime/io/SafeTensors.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

namespace moec::cli {

namespace {

using Json = nlohmann::ordered_json;

struct CheckFlags : CommonOptions {
  std::string against = "reference";
  bool full = false;
};

TensorMap weightsOf(const Plan& plan, const CheckFlags& flags) {
  if (!flags.weights)
    return initialWeights(plan, flags.init.value_or(0));
  TensorMap weights = readSafeTensors(*flags.weights);
  checkWeights(plan, weights, flags.allowNonFinite);
  for (const ParameterInfo& parameter : plan.parameters)
    weights[parameter.name] = asParameter(parameter, weights.at(parameter.name));
  return weights;
}

/// All inputs from files when one is given, else all generated: sizes must agree between them.
TensorMap inputsOf(const Plan& plan, const CheckFlags& flags) {
  if (flags.inputs.empty() && !flags.draws)
    return generatedInputs(plan, checkSizes(plan, parseSizes(flags)), flags.seed);
  if (!flags.sizes.empty())
    throw Error(Fault::Usage, "--size is for generated inputs; with --input the files say the sizes");
  return readInputs(plan, flags);
}

/// The ops behind a checked launch; the check does not say which of the program's plans the device took.
std::string opsOf(const Program& program, const LaunchCheck& check) {
  for (const Plan& plan : program.data().plans) {
    const auto& launches = plan.launches(check.list);
    auto index = static_cast<size_t>(check.index);
    if (index < launches.size() && launches[index].kernel == check.kernel)
      return fmt::format("{}", fmt::join(launches[index].ops, " + "));
  }
  return check.kind;
}

std::string errorText(double worst) { return worst == 0 ? "0" : fmt::format("{:.2e}", worst); }

/// How far an error reaches into what is allowed: above 1 it fails.
double share(double worst, double tolerance) { return worst == 0 ? 0 : worst / tolerance; }

const LaunchCheck* worstLaunch(const CheckReport& report) {
  auto found = std::ranges::max_element(report.launches, {}, [](const LaunchCheck& check) { return share(check.worst, check.tolerance); });
  return found == report.launches.end() ? nullptr : &*found;
}

void printJson(const Program& program, const CheckReport& report, const std::string& weightsAs, const std::vector<ConversionError>& conversion) {
  Json result{{"passed", report.passed()}};
  result["launches"] = Json::array();
  for (const LaunchCheck& check : report.launches)
    result["launches"].push_back({{"list", name(check.list)},
                                  {"launch", check.index},
                                  {"layer", check.label},
                                  {"kind", check.kind},
                                  {"ops", opsOf(program, check)},
                                  {"buffer", check.buffer},
                                  {"error", check.worst},
                                  {"allowed", check.tolerance},
                                  {"nans", check.nans},
                                  {"passed", check.passed}});
  result["outputs"] = Json::array();
  for (const OutputCheck& check : report.outputs)
    result["outputs"].push_back(
        {{"name", check.name}, {"kind", wordOf(check.kind)}, {"error", check.worst}, {"allowed", check.tolerance}, {"passed", check.passed}});
  if (const LaunchCheck* worst = worstLaunch(report))
    result["worst"] = {{"error", worst->worst}, {"layer", worst->label}, {"ops", opsOf(program, *worst)}};
  if (!conversion.empty()) {
    result["conversion"] = {{"weights_as", weightsAs}, {"outputs", Json::array()}};
    for (const ConversionError& one : conversion)
      result["conversion"]["outputs"].push_back({{"name", one.output}, {"error", one.error}});
  }
  fmt::print("{}\n", result.dump());
}

void printText(const Program& program, const CheckReport& report, const std::string& weightsAs, const std::vector<ConversionError>& conversion) {
  Table table({"layer", "kind", ">error", ">allowed", "", "worst in"});
  for (const LaunchCheck& check : report.launches)
    table.add({check.label, check.kind, errorText(check.worst), errorText(check.tolerance),
               check.passed                    ? ""
               : check.worst > check.tolerance ? "WRONG"
                                               : "NaN",
               check.worst > check.tolerance || check.nans == 0 ? check.buffer : check.nanBuffer});
  for (const OutputCheck& check : report.outputs)
    table.add({"end to end", wordOf(check.kind), errorText(check.worst), errorText(check.tolerance), check.passed ? "" : "WRONG", check.name});
  fmt::print("{}", table.str());
  if (const LaunchCheck* worst = worstLaunch(report))
    fmt::print("worst error {} of {} allowed, in {} {} ({})\n", errorText(worst->worst), errorText(worst->tolerance), worst->label, worst->kind,
               opsOf(program, *worst));
  for (const ConversionError& one : conversion)
    fmt::print("weights as {}: {} is {} from what the model's own weights give\n", weightsAs, one.output, errorText(one.error));
}

void check(const CheckFlags& flags) {
  DeviceOptions options{.threads = flags.threads, .maxInstructions = flags.maxInstructions};
  std::shared_ptr<Device> device = openDevice(flags.device, options), against = openDevice(flags.against, options);
  // With gradients as states, each of them can be compared by itself.
  CompileOptions compile{
      .targets = targetsFor({device, against}), .drawsAsInputs = flags.draws.has_value(), .checkSizes = !flags.full, .accumulate = flags.train};
  auto isOfGpu = [](const std::string& target) { return target.starts_with("cuda:"); };
  compile.wayBackByParts = flags.train && std::ranges::any_of(compile.targets, isOfGpu) && !std::ranges::all_of(compile.targets, isOfGpu);
  Program program = openProgram(flags, compile).program;
  CommonOptions anyTarget = flags; // parameters and inputs are the same for all of them
  anyTarget.targets.clear();
  anyTarget.invariant = false; // a demand on what the devices run
  const Plan& plan = choosePlan(program, anyTarget);
  for (const auto& one : {device, against})
    if (flags.invariant && !one->targets().empty())
      checkInvariant(one->load(program, plan.purpose)->plan(), flags);
  auto progress =
      std::make_unique<Progress>(fmt::format("checking {} on {} against {}", flags.file.filename().string(), flags.device, flags.against), flags.quiet);
  constexpr double kLearningRate = 0.01; // large enough for what a step changes to show
  TensorMap weights = weightsOf(plan, flags), inputs = inputsOf(plan, flags);
  CheckReport report = flags.train ? checkTraining(program, device, against, weights, inputs, {.learningRate = kLearningRate, .seed = flags.seed})
                                   : moec::check(program, device, against, weights, inputs, {.seed = flags.seed}, moec::tolerance, plan.purpose);
  std::vector<ConversionError> conversion;
  if (!flags.train)
    conversion = conversionErrors(program, flags, compile, *against, weights, inputs, plan.purpose);
  progress.reset();
  flags.json ? printJson(program, report, plan.weightsAs, conversion) : printText(program, report, plan.weightsAs, conversion);
  if (!report.passed())
    throw Error(Fault::Mismatch, fmt::format("{} and {} differ:\n{}", flags.device, flags.against, report.describeFailures()));
}

} // namespace

void addCheckCommand(CLI::App& app) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* command = addSubcommand(app, "check",
                                    "Run a program launch by launch on two devices and compare. Without "
                                    "weights and inputs: --init 0 and generated ones");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  addWeightFlags(*command, *flags);
  addInputFlags(*command, *flags);
  addDeviceFlags(*command, *flags);
  addSizeFlag(*command, *flags);
  addOption(*command, "--against", flags->against, "the device that is right (default reference)")->type_name("DEVICE");
  auto* train = addFlag(
      *command, "--train", flags->train,
      "two steps of training, and with them every gradient, updated parameter and state; a model is compiled with --accumulate, so that gradients are stored, and for a CPU and a "
      "GPU with the way back through experts in parts, as GPUs have it");
  addFlag(*command, "--recompute", flags->recompute, "with --train: the plan that computes again what is cheap")->needs(train);
  addEvaluateFlags(*command, *flags, "the plan for evaluation, not that for inference");
  addGenerateFlags(*command, *flags);
  addFlag(*command, "--full", flags->full, "the model at its real size, not at its check size");
  addJsonFlag(*command, *flags);
  addExamples(*command, {{"the CPU against plain loops in double, at the model's check size", "moec check models/zoo/vit-moe.json"},
                         {"CUDA kernels without a GPU", "moec check models/zoo/vit-moe.json --device ptx-emulator:sm_90a --size batch=1"},
                         {"gradients and the optimizer's update", "moec check models/zoo/vit-moe.json --train"},
                         {"the loss of the model as it infers, and its accuracy", "moec check models/zoo/vit-moe.json --evaluate"},
                         {"weights as int8: the kernels, and what the conversion costs", "moec check models/zoo/vit-moe.json --weights-as int8"},
                         {"with weights and an input of yours", "moec check vit-moe.moec --weights w.safetensors --input image=photo.jpg"}});
  command->callback([flags] { check(*flags); });
}

} // namespace moec::cli
