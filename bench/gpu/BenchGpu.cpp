// bench_gpu: every kernel of the zoo and of S1 on a GPU, or on the emulator of one (README.md). Results go to stdout as
// Markdown or JSON.
#include "bench/gpu/Collect.h"
#include "bench/gpu/Gpu.h"
#include "bench/gpu/Models.h"
#include "bench/gpu/SideBySide.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/emulator/VectorReplay.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace moec::bench {
namespace {

struct Flags {
  std::vector<std::string> devices, models;
  int repetitions = 30;
  std::string python = "python3", against = "cpu";
  bool json = false, countOnly = false;
};

void say(const std::string& what) { fmt::print(stderr, "bench_gpu: {}\n", what); }

//===--- the vectors ---===//

struct Replayed {
  size_t agreed = 0;
  std::vector<std::string> wrong, skipped;
};

Replayed replayVectors(const Gpu& gpu) {
  namespace vectors = emulator::test;
  Replayed result;
  CudaContext::Current current(*gpu.context);
  vectors::ReplayOptions options{true, [&](cuda::Result code) { return gpu.context->describe(code); }};
  for (const vectors::VectorCase& c : vectors::readVectors(MOEC_SOURCE_DIR "/tests/emulator/vectors")) {
    if (std::string needs = vectors::vectorNeeds(c, gpu.context->major(), gpu.context->minor()); !needs.empty()) {
      result.skipped.push_back(c.name() + ": " + needs);
      continue;
    }
    if (std::string problem = vectors::replayVector(c, gpu.context->table(), options); !problem.empty())
      result.wrong.push_back(c.name() + ": " + problem);
    else
      ++result.agreed;
    // A launch that went wrong leaves the context unusable: everything behind it would only repeat its error.
    if (!gpu.emulator && gpu.context->table().contextSynchronize() != cuda::kSuccess)
      throw Error(Fault::Device,
                  fmt::format("{}: the GPU's context is lost at the vector {}", gpu.context->name(), result.wrong.empty() ? c.name() : result.wrong.back()));
  }
  return result;
}

std::string toMarkdown(const Replayed& replayed) {
  std::string text =
      fmt::format("Vectors of tests/emulator: {} as expected, {} wrong, {} skipped.\n", replayed.agreed, replayed.wrong.size(), replayed.skipped.size());
  for (const std::string& line : replayed.wrong)
    text += "- WRONG: " + line + "\n";
  for (const std::string& line : replayed.skipped)
    text += "- skipped: " + line + "\n";
  return text;
}

//===--- the models ---===//

/// Every launch of the program against another device, and the whole of it end to end. Error(Mismatch) with what
/// differs.
void checkModel(const Gpu& gpu, const Program& program, const Bindings& sizes, const std::string& against) {
  const Plan& plan = *program.plan(gpu.target());
  CheckReport report = check(program, gpu.device, openDevice(against), initialWeights(plan, 0), inputsOf(plan, sizes));
  if (!report.passed())
    throw Error(Fault::Mismatch, fmt::format("{}: {} and {} differ:\n{}", program.name(), gpu.context->name(), against, report.describeFailures()));
}

/// The first launch of each kernel. A launch finds its inputs only while a call has come as far as to it: each turn is
/// a call, in which every launch is repeated and timed where it stands.
void timeLaunches(const Gpu& gpu, const Program& program, const Bindings& sizes, int repetitions, ModelFigures& figures) {
  LoadedModel model(gpu, program, sizes);
  StreamTimer timer(gpu.context, model.stream());
  const std::vector<LaunchInfo>& launches = model.plan().forward;
  std::vector<int> repeats(launches.size());
  std::vector<std::vector<double>> times(launches.size());
  for (int turn = -1; turn < (gpu.emulator ? 0 : repetitions); ++turn)
    for (size_t i = 0; i < launches.size(); ++i) {
      auto once = [&] { model.launch(i); };
      if (turn < 0)
        repeats[i] = gpu.emulator ? 1 : timer.repeatsOf(once);
      double time = timer.secondsOf(repeats[i], once);
      if (turn >= 0)
        times[i].push_back(time);
    }
  for (LaunchFigures& figure : figures.launches)
    for (size_t i = 0; i < launches.size(); ++i)
      if (launches[i].kernel == figure.symbol && !times[i].empty()) {
        figure.seconds = spreadOf(times[i]);
        break;
      }
}

ModelFigures measure(const Gpu& gpu, const BenchModel& model, const Program& program, const Flags& flags) {
  const Bindings& sizes = gpu.emulator ? model.emulated : model.measured;
  const Plan& plan = *program.plan(gpu.target());
  ModelFigures figures = figuresOf(model.name, gpu.context->name(), plan, sizes, model.measured);
  figures.sizes = text(sizes);
  figures.boundSizes = text(model.measured);
  if (gpu.emulator)
    gpu.emulator->resetCounters();
  checkModel(gpu, program, sizes, flags.against);
  if (gpu.emulator)
    addCounters(figures, program, gpu.emulator->counters());
  if (!flags.countOnly)
    timeLaunches(gpu, program, sizes, flags.repetitions, figures);
  return figures;
}

bool isChosen(const BenchModel& model, const Flags& flags) {
  return flags.models.empty() || std::find(flags.models.begin(), flags.models.end(), model.name) != flags.models.end();
}

/// The number of things that are not as they should be.
size_t runDevice(const std::string& name, const Flags& flags, nlohmann::ordered_json& json, std::string& markdown) {
  Gpu gpu = openGpu(name);
  nlohmann::ordered_json mine{{"device", name}, {"chip", gpu.context->chip()}, {"target", gpu.target()}, {"emulated", gpu.emulator != nullptr}};
  markdown += fmt::format("## {}: {}\n\n", name, gpu.context->chip());
  if (gpu.emulator)
    markdown += "Emulated: counted. Skipped for want of a GPU: times of launches, times side by side, what the driver "
                "says of registers and occupancy.\n\n";
  size_t faults = 0;
  if (!flags.countOnly) {
    say(name + ": vectors");
    Replayed replayed = replayVectors(gpu);
    faults += replayed.wrong.size();
    markdown += toMarkdown(replayed) + "\n";
    mine["vectors"] = {{"agreed", replayed.agreed}, {"wrong", replayed.wrong}, {"skipped", replayed.skipped}};
  }
  std::vector<std::string> lines;
  for (const BenchModel& model : benchModels()) {
    if (!isChosen(model, flags))
      continue;
    say(name + ": " + model.name);
    Program program = compileModel(model, {gpu.target(), "cpu"});
    ModelFigures figures = measure(gpu, model, program, flags);
    for (const std::string& fault : faultsOf(figures))
      lines.push_back(fault);
    markdown += toMarkdown(figures, h100Sxm()) + "\n";
    mine["models"].push_back(toJson(figures, h100Sxm()));
    std::vector<std::string> differs = driverDiffers(gpu, program, figures);
    mine["models"].back()["driver"] = differs;
    for (const std::string& line : differs)
      markdown += "- the driver differs: " + line + "\n";
    if (!differs.empty())
      markdown += "\n";
    if (model.name == "s1" && !flags.countOnly) {
      say(name + ": s1 side by side");
      auto rows = runSideBySide(gpu, program, gpu.emulator ? model.emulated : model.measured, {flags.repetitions, flags.python});
      markdown += fmt::format("### s1 side by side, {}\n\n{}\n", figures.sizes, toMarkdown(rows));
      mine["side_by_side"] = toJson(rows);
    }
  }
  markdown += lines.empty() ? "Past the limits: nothing.\n" : "Past the limits:\n\n";
  for (const std::string& line : lines)
    markdown += "- " + line + "\n";
  markdown += "\n";
  mine["faults"] = lines;
  json.push_back(std::move(mine));
  return faults + lines.size();
}

int run(int argc, char** argv) {
  Flags flags;
  CLI::App app("Checks and measures moec's CUDA kernels: counted on an emulated GPU, timed on a real one.", "bench_gpu");
  app.add_option("--device", flags.devices, "cuda:N or ptx-emulator:TARGET; may be given several times")->required();
  app.add_option("--model", flags.models, "only this model; may be given several times");
  app.add_option("--repetitions", flags.repetitions, "of every time (default 30)")->check(CLI::Range(3, 10000));
  app.add_option("--python", flags.python, "the Python that has PyTorch (default python3)");
  app.add_option("--against", flags.against, "the device that results are checked against (default cpu)");
  app.add_flag("--count-only", flags.countOnly, "only the figures of the kernels");
  app.add_flag("--json", flags.json, "JSON instead of Markdown");
  CLI11_PARSE(app, argc, argv);
  for (const std::string& name : flags.models)
    if (std::none_of(benchModels().begin(), benchModels().end(), [&](const BenchModel& model) { return model.name == name; }))
      throw Error(Fault::Usage, fmt::format("no model \"{}\"; known: batched-experts.f64, batched-experts.f32, vit, vit-moe, s1", name));
  auto json = nlohmann::ordered_json::array();
  std::string markdown;
  size_t faults = 0;
  for (const std::string& device : flags.devices)
    faults += runDevice(device, flags, json, markdown);
  fmt::print("{}", flags.json ? json.dump(2) + "\n" : markdown);
  return faults == 0 ? 0 : exitCode(Fault::Mismatch);
}

} // namespace
} // namespace moec::bench

int main(int argc, char** argv) {
  try {
    return moec::bench::run(argc, argv);
  } catch (const moec::Error& error) {
    fmt::print(stderr, "bench_gpu: error: {}\n", error.what());
    return moec::exitCode(error.fault());
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_gpu: error: {}\n", error.what());
    return moec::exitCode(moec::Fault::Internal);
  }
}
