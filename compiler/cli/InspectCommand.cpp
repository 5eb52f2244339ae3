#include "compiler/cli/CommandInputs.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/KernelTable.h"
#include "compiler/cli/MemoryForecast.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/ProgramSummary.h"
#include "compiler/cli/Table.h"
#include "compiler/cli/TrainingReport.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/CudaImage.h"
#include "runtime/core/Error.h"
#include "runtime/device/cpu/CpuCount.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <memory>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

using Json = nlohmann::ordered_json;

struct InspectFlags : CommonOptions {
  std::optional<fs::path> extract;
};

constexpr std::array<const char*, 7> kKindNames{"input", "parameter", "state", "prepared", "temporary", "output", "constant"};

Json tensorsJson(const Plan& plan) {
  Json result;
  result["inputs"] = Json::array();
  for (const InputInfo& input : plan.inputs)
    result["inputs"].push_back(
        {{"name", input.name}, {"dtype", name(input.dtype)}, {"shape", shapeText(input.shape)}, {"for_loss", input.forLoss}, {"draw", input.isDraw}});
  result["outputs"] = Json::array();
  for (const OutputInfo& output : plan.outputs)
    result["outputs"].push_back({{"name", output.name}, {"dtype", name(output.dtype)}, {"shape", shapeText(output.shape)}});
  result["weights"] = Json::array();
  for (const ParameterInfo& parameter : plan.parameters)
    result["weights"].push_back({{"name", parameter.name}, {"dtype", name(parameter.dtype)}, {"shape", parameter.shape}});
  if (plan.purpose == Purpose::Training)
    result["states"] = Json::array();
  for (const StateInfo& state : plan.states)
    result["states"].push_back(
        {{"name", state.name}, {"dtype", name(state.dtype)}, {"shape", state.shape}, {"from", state.from ? Json(*state.from) : Json(nullptr)}});
  return result;
}

Json launchJson(const LaunchInfo& launch, const Bindings& sizes) {
  return {{"layer", launch.label},
          {"kind", launch.kind},
          {"kernel", launch.kernel},
          {"flops", launch.flops.evaluate(sizes)},
          {"bytes", launch.bytes.evaluate(sizes)}};
}

/// The memory of a run on the CPU; nothing for plans of GPUs, whose memory is another's.
std::optional<MemoryForecast> forecastOf(const Program& program, const Plan& plan, const Bindings& sizes, int threads) {
  if (plan.target.starts_with("cuda:"))
    return {};
  return forecastMemory(program, plan, sizes, threads);
}

Json forecastJson(const MemoryForecast& memory, int threads) {
  return {{"threads", threads},
          {"scratch", memory.scratch},
          {"results", memory.results},
          {"loading", memory.loading()},
          {"call", memory.call()},
          {"session_peak", memory.peak()},
          {"given", memory.given},
          {"program", memory.program},
          {"drawing", memory.drawing},
          {"reading", memory.reading},
          {"peak_with_weights", memory.peakWithWeights()},
          {"peak_with_init", memory.peakWithInit()}};
}

void addForecast(Table& table, const MemoryForecast& memory, int threads, bool trains) {
  auto bytes = [](int64_t count) { return shortBytes(static_cast<double>(count)); };
  table.add({"  scratch", bytes(memory.scratch), "of " + counted(threads, "thread")});
  table.add({"  results", bytes(memory.results), "copies of outputs that the caller gets; others it gets as they are"});
  if (trains)
    table.add({"  peak of training", bytes(memory.peakWithWeights()),
               fmt::format("a step {}; with drawn weights {}", bytes(memory.call()), bytes(memory.peakWithInit()))});
  else
    table.add({"  peak of run", bytes(memory.peakWithWeights()),
               fmt::format("a call {}; with --init {}; of a session that is given weights in both forms {}", bytes(memory.call()), bytes(memory.peakWithInit()),
                           bytes(memory.loading()))});
}

Json memoryJson(const Plan& plan, const Bindings& sizes) {
  MemorySummary memory = memorySummary(plan, sizes);
  ArenaLayout arena = layoutArena(plan, sizes);
  Json result{{"parameters", memory.parameters}, {"prepared", memory.prepared}, {"constants", memory.constants},    {"inputs", memory.inputs},
              {"outputs", memory.outputs},       {"arena", memory.arena},       {"temporaries", memory.temporaries}};
  if (plan.purpose == Purpose::Training || !plan.states.empty())
    result["states"] = memory.states;
  if (plan.purpose == Purpose::Training)
    result["activations"] = memory.activations;
  result["buffers"] = Json::array();
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const BufferInfo& buffer = plan.buffers[i];
    Json entry{{"name", buffer.name},
               {"kind", kKindNames[static_cast<size_t>(buffer.kind)]},
               {"dtype", name(buffer.dtype)},
               {"shape", shapeText(buffer.shape)},
               {"bytes", elementCount(buffer.shape, sizes) * static_cast<int64_t>(byteSize(buffer.dtype))}};
    if (buffer.kind == BufferKind::Temporary) {
      entry["offset"] = arena.offsets[i];
      entry["launches"] = {buffer.firstLaunch, buffer.lastLaunch};
    }
    result["buffers"].push_back(std::move(entry));
  }
  return result;
}

void printJson(const Program& program, const Plan& plan, const Bindings& sizes, int threads) {
  Json result{{"name", program.name()}, {"compiler", program.data().buildId}, {"target", plan.target}};
  result["targets"] = targetsOf(program);
  if (plan.purpose != Purpose::Inference)
    result["purpose"] = name(plan.purpose);
  result["parameters"] = parameterCount(plan);
  result["sizes"] = sizes;
  result["flops"] = callFlops(plan, sizes);
  result["bytes"] = callBytes(plan, sizes);
  result["invariant"] = plan.invariant;
  result["couplings"] = Json::array();
  for (const RowCoupling& coupling : plan.couplings)
    result["couplings"].push_back({{"label", coupling.label}, {"why", coupling.why}});
  if (!plan.weightsAs.empty())
    result["weights_as"] = plan.weightsAs;
  result.update(tensorsJson(plan));
  result["kernels"] = Json::array();
  for (const KernelSummary& kernel : kernelSummaries(program, plan)) {
    Json entry{{"symbol", kernel.symbol},     {"kind", kernel.kind},     {"image_bytes", kernel.imageBytes},
               {"launches", kernel.launches}, {"layers", kernel.layers}, {"chosen_by", kernel.isTuned ? "tuning" : "cost model"}};
    for (const FunctionSummary& function : kernel.functions)
      entry["functions"].push_back(functionJson(function, &sizes));
    result["kernels"].push_back(std::move(entry));
  }
  for (LaunchList list : {LaunchList::Prepare, LaunchList::Forward, LaunchList::Apply}) {
    if (list == LaunchList::Apply && plan.purpose != Purpose::Training)
      continue;
    Json& launches = result[name(list)] = Json::array();
    for (const LaunchInfo& launch : plan.launches(list))
      launches.push_back(launchJson(launch, sizes));
  }
  result["memory"] = memoryJson(plan, sizes);
  if (auto memory = forecastOf(program, plan, sizes, threads))
    result["memory"]["run"] = forecastJson(*memory, threads);
  fmt::print("{}\n", result.dump(2));
}

template <class Info> std::string tensorTable(const char* title, const std::vector<Info>& infos) {
  if (infos.empty())
    return "";
  Table table({"  name", "dtype", "shape", ">elements"});
  for (const ParameterInfo& info : infos) {
    std::vector<Size> shape(info.shape.begin(), info.shape.end());
    table.add({"  " + info.name, std::string(name(info.dtype)), shapeText(shape), std::to_string(elementCount(shape, {}))});
  }
  return fmt::format("\n{}\n{}", title, table.str());
}

std::string launchTable(const std::vector<LaunchInfo>& launches, const Bindings& sizes) {
  Table table({">  #", "layer", "kind", ">flop", ">traffic", "kernel"});
  for (size_t i = 0; i < launches.size(); ++i)
    table.add({std::to_string(i), launches[i].label, launches[i].kind, shortNumber(static_cast<double>(launches[i].flops.evaluate(sizes))),
               shortBytes(static_cast<double>(launches[i].bytes.evaluate(sizes))), launches[i].kernel});
  return table.str();
}

/// Bits never depend on threads; on what stands beside a row, as the plan says.
std::string bitsText(const Plan& plan) {
  if (plan.invariant)
    return "a row's do not depend on its neighbours";
  bool isOfSums = plan.purpose == Purpose::Training || plan.purpose == Purpose::Evaluation;
  if (plan.couplings.empty())
    return isOfSums ? "do not depend on threads; results are sums over the rows of a call"
                    : "do not depend on threads; whether a row's do on its neighbours, this program does not say";
  std::string text = "do not depend on threads; a row's do on its neighbours:";
  for (const RowCoupling& coupling : plan.couplings)
    text += "\n            " + describe(coupling);
  return text;
}

void printText(const Program& program, const Plan& plan, const Bindings& sizes, int threads) {
  // Sizes that no memory holds are an error before a word is printed.
  MemorySummary memory = memorySummary(plan, sizes);
  auto run = forecastOf(program, plan, sizes, threads);
  std::string bound;
  for (const auto& [symbol, value] : sizes)
    bound += fmt::format("{}{}={}", bound.empty() ? " at " : ", ", symbol, value);
  bool trains = plan.purpose == Purpose::Training;
  fmt::print("{} for {}{}, compiled by moec {}\n", program.name(), plan.target, purposeSuffix(plan), program.data().buildId);
  if (targetsOf(program).size() > 1)
    fmt::print("targets     {}; choose with --target\n", fmt::join(targetsOf(program), ", "));
  for (const InputInfo& input : plan.inputs)
    fmt::print("input       {} {}{}{}\n", input.name, name(input.dtype), shapeText(input.shape),
               input.forLoss  ? " (for the loss)"
               : input.isDraw ? " (a draw)"
                              : "");
  for (const OutputInfo& output : plan.outputs)
    fmt::print("output      {} {}{}\n", output.name, name(output.dtype), shapeText(output.shape));
  fmt::print("parameters  {}\n", parameterCount(plan));
  if (!plan.weightsAs.empty())
    fmt::print("weights     of products as {}, but for gates'\n", plan.weightsAs);
  fmt::print("{}    {}flop, {} of traffic at least{}\n", trains ? "one step" : "one call", shortNumber(static_cast<double>(callFlops(plan, sizes))) + " ",
             shortBytes(static_cast<double>(callBytes(plan, sizes))), bound);
  fmt::print("bits        {}\n", bitsText(plan));

  fmt::print("{}{}", tensorTable("parameters", plan.parameters), tensorTable("states", plan.states));

  fmt::print("\nmemory{}\n", bound);
  Table table({"  ", ">", ""});
  for (const auto& [what, bytes, note] :
       {std::tuple("  parameters", memory.parameters, std::string()),
        {"  states", memory.states, trains ? "gradients that add up, moments" : "keys and values of the tokens so far"},
        {"  prepared", memory.prepared, "packed weights"},
        {"  constants", memory.constants, ""},
        {"  activations", memory.activations, "in the arena: made on the way to the loss, kept for the way back (fewer with --recompute)"},
        {"  inputs", memory.inputs, ""},
        {"  outputs", memory.outputs, ""},
        {"  arena", memory.arena,
         fmt::format("for {} of {}", shortBytes(static_cast<double>(memory.temporaries)),
                     trains ? "activations, gradients and other temporaries" : "temporaries")}})
    if (trains || (what == std::string("  states") ? !plan.states.empty() : what != std::string("  activations")))
      table.add({what, shortBytes(static_cast<double>(bytes)), note});
  if (run)
    addForecast(table, *run, threads, trains);
  fmt::print("{}", table.str());

  std::vector<KernelSummary> kernels = kernelSummaries(program, plan);
  fmt::print("\nkernels\n");
  Table images({"  kind", ">launches", ">image", "schedule by", "symbol"});
  for (const KernelSummary& kernel : kernels)
    images.add({"  " + kernel.kind, std::to_string(kernel.launches), shortBytes(static_cast<double>(kernel.imageBytes)),
                kernel.isTuned ? "tuning" : "cost model", kernel.symbol});
  fmt::print("{}", images.str());
  if (std::string functions = functionTable(kernels, &sizes); !functions.empty())
    fmt::print("\nfunctions of kernels, a launch each{}\n{}", bound, functions);

  fmt::print("\nlaunches of {}\n", !trains ? "a call" : plan.apply.empty() ? "a step" : "an accumulation");
  fmt::print("{}", launchTable(plan.forward, sizes));
  if (!plan.apply.empty())
    fmt::print("\nlaunches that apply what has added up\n{}", launchTable(plan.apply, sizes));
}

void writeFile(const fs::path& path, std::span<const uint8_t> bytes) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error)
    throw Error(Fault::System, fmt::format("{}: cannot make the folder: {}", path.parent_path().string(), error.message()));
  writeFileAtomically(path, bytes);
}

std::span<const uint8_t> bytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

/// Names inside a program are not to be trusted with paths: everything but letters, digits and . _ - becomes _, and no
/// name begins with a dot.
std::string fileName(std::string text) {
  for (char& c : text)
    if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-'))
      c = '_';
  if (text.empty() || text[0] == '.')
    text.insert(0, "_");
  return text;
}

void extractKernel(const Program& program, const Plan& plan, const std::string& symbol, const fs::path& folder) {
  std::span<const uint8_t> bytes = program.kernel(plan.target, symbol);
  std::string file = fileName(symbol);
  if (!plan.target.starts_with("cuda:"))
    return writeFile(folder / (file + ".so"), bytes);
  CudaImage image = CudaImage::parse(bytes, symbol);
  writeFile(folder / (file + ".cu"), bytesOf(image.source));
  writeFile(folder / (file + ".ptx"), bytesOf(image.ptx));
  writeFile(folder / (file + ".cubin"), image.cubin);
}

/// FOLDER/manifest.json; for each target FOLDER/TARGET/ir.mlir and, with plans for these, training.mlir, evaluation.mlir and generation.mlir; and
/// FOLDER/TARGET/kernels/ with SYMBOL.so of a CPU, SYMBOL.cu, .ptx and .cubin of CUDA.
void extract(const Program& program, const fs::path& folder) {
  Json manifest{{"name", program.name()}, {"compiler", program.data().buildId}};
  manifest["plans"] = Json::array();
  for (const Plan& plan : program.data().plans) {
    manifest["plans"].push_back(Json::parse(toJson(plan)));
    fs::path inside = folder / fileName(plan.target);
    if (auto ir = program.data().ir.find(irKey(plan.target, plan.purpose)); ir != program.data().ir.end())
      writeFile(inside / (plan.purpose == Purpose::Inference ? "ir.mlir" : fmt::format("{}.mlir", name(plan.purpose))), bytesOf(ir->second));
    for (const KernelSummary& kernel : kernelSummaries(program, plan))
      extractKernel(program, plan, kernel.symbol, inside / "kernels");
  }
  writeFile(folder / "manifest.json", bytesOf(manifest.dump(2) + "\n"));
}

/// A training's folder: its numbers, and its page anew. Flags of programs say nothing here.
void inspectTraining(const InspectFlags& flags, const CLI::App& command) {
  for (const CLI::Option* option : command.get_options())
    if (option->count() > 0 && option->nonpositional() && !option->check_lname("json") && !option->check_lname("quiet"))
      throw Error(Fault::Usage, fmt::format("{} is for models and programs; {} is a folder", option->get_name(), flags.file.string()));
  TrainingReport report = readTraining(flags.file);
  writePage(report);
  fmt::print("{}{}", flags.json ? reportJson(report) : reportText(report), flags.json ? "\n" : "");
}

/// Sizes that no memory holds are the mistake of who gives them.
void requireMemory(const Plan& plan, const Bindings& sizes, const InspectFlags& flags) {
  try {
    for (const BufferInfo& buffer : plan.buffers)
      moec::bytesOf(buffer, sizes);
    layoutArena(plan, sizes);
  } catch (const Error& error) {
    if (flags.sizes.empty() || error.fault() != Fault::Data)
      throw;
    throw Error(Fault::Usage, fmt::format("{}: give smaller sizes", error.what()));
  }
}

void inspect(const InspectFlags& flags, const CLI::App& command) {
  std::error_code code;
  if (fs::is_directory(flags.file, code))
    return inspectTraining(flags, command);
  checkOutputFiles(flags, {{"--extract", flags.extract, true}});
  Program program = openForView(flags);
  const Plan& plan = choosePlan(program, flags);
  Bindings sizes = checkSizes(plan, parseSizes(flags));
  requireMemory(plan, sizes, flags);
  saveInitialWeights(plan, flags);
  if (flags.extract)
    extract(program, *flags.extract);
  int threads = flags.threads > 0 ? flags.threads : usableCpus();
  flags.json ? printJson(program, plan, sizes, threads) : printText(program, plan, sizes, threads);
}

} // namespace

void addInspectCommand(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = addSubcommand(app, "inspect", "Show parameters, work, kernels and memory of a program, and take it apart; show how a training went");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  command->get_option("file")->description("model.json or program.moec; or the folder of a training, for its numbers and its page of curves, DIR/index.html");
  describeTargetOfView(*command);
  addTrainFlags(*command, *flags, "the plan for training, not that for inference");
  addEvaluateFlags(*command, *flags, "the plan for evaluation, not that for inference");
  addGenerateFlags(*command, *flags);
  addSaveWeightsFlag(*command, *flags);
  addSizeFlag(*command, *flags);
  checkInteger(
      addOption(*command, "--threads", flags->threads, "of the run whose memory is foretold (default: as many as this process may use)")->type_name("N"), 1,
      4096);
  addOption(*command, "--extract", flags->extract, "write manifest.json, the IR and the kernels (.so, or .cu, .ptx and .cubin) into a folder")
      ->type_name("DIR");
  addJsonFlag(*command, *flags);
  command->get_option("--json")->description("print JSON; of a training, what `moec train --json` prints");
  addExamples(*command,
              {{"what a model costs at a batch of 8", "moec inspect models/zoo/vit-moe.json --size batch=8"},
               {"what a step of training keeps in memory", "moec inspect models/zoo/vit-moe.json --train --size batch=64"},
               {"how a training went: its numbers, and its curves in vit-moe-training/index.html", "moec inspect vit-moe-training"},
               {"a program in its parts: manifest, IR, kernels", "moec inspect vit-moe.moec --extract parts"},
               {"the weights that --init 0 draws, as a file for --weights", "moec inspect models/zoo/vit-moe.json --init 0 --save-weights w.safetensors"}});
  command->callback([flags, command] { inspect(*flags, *command); });
}

} // namespace moec::cli
