#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/CommonOptions.h"
#include "compiler/cli/ExitCode.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/StopSignals.h"
#include "compiler/cli/TrainingProgress.h"
#include "compiler/cli/TrainingReport.h"
#include "runtime/core/Error.h"
#include "runtime/core/Printable.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/OutFolder.h"
#include "runtime/train/TensorBoard.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <unistd.h>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

struct TrainFlags : CommonOptions {
  std::optional<fs::path> out, config;
  bool resume = false, deviceGiven = false;
  std::vector<std::string> fields, lets;                     // NAME=VALUE
  std::vector<std::pair<std::string, std::string>> settings; // keys of the configuration and their texts, as flags gave them
};

/// Keys that flags of their own or common ones give.
bool hasOwnFlag(const std::string& key) {
  for (const char* own : {"inputs", "let", "moefy", "recompute", "device"})
    if (key == own)
      return true;
  return false;
}

/// The word that help shows for a key's value, see ValueKinds.cpp.
std::string valueWord(const train::ConfigKey& key) {
  for (const auto& [name, word] : {std::pair("data", "DATA"),
                                   {"validation_data", "DATA"},
                                   {"data_kind", "DATAKIND"},
                                   {"schedule", "SCHEDULE"},
                                   {"bad_records", "WHAT"},
                                   {"non_finite", "LOGITS"},
                                   {"record", "CHOICES"},
                                   {"replay", "CHOICES"},
                                   {"weights", "TENSORS"},
                                   {"tokenizer", "TOKENIZER"},
                                   {"seed", "SEED"}})
    if (key.name == name)
      return word;
  return key.type == "number" ? "X" : "N";
}

/// A flag for each key of the configuration: its words are the table's.
void addSettings(CLI::App& command, TrainFlags& flags) {
  for (const train::ConfigKey& key : train::configKeys()) {
    if (hasOwnFlag(key.name))
      continue;
    std::string flag = "--" + key.name, words = key.doc;
    std::ranges::replace(flag, '_', '-');
    if (key.name == "learning_rate")
      flag = "--lr," + flag;
    bool said = key.standard != "null" && key.standard != "\"\"" && key.standard != "false";
    if (said && key.words.empty())
      words += fmt::format(" (default {})", key.standard);
    else if (said) // a word, in quotes
      words += fmt::format(" (default {})", key.standard.substr(1, key.standard.size() - 2));
    if (key.type == "boolean")
      command.add_flag_function(flag, [&flags, name = key.name](int64_t) { flags.settings.emplace_back(name, "true"); }, words);
    else
      command.add_option_function<std::string>(
                 flag, [&flags, name = key.name](const std::string& text) { flags.settings.emplace_back(name, text); }, words)
          ->type_name(valueWord(key));
  }
}

int64_t integerOf(const std::string& text, const std::string& flag) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw Error(Fault::Usage, fmt::format("{}: expected an integer, found {}", flag, text));
  return value;
}

/// What a resumed training was told, then --config, then flags.
train::Config configOf(const TrainFlags& flags, const fs::path& out) {
  train::Config config;
  if (flags.resume)
    config = train::readOutFolder(out);
  std::string tokenizer = config.data.tokenizer;
  if (flags.config)
    train::readConfig(*flags.config, config);
  auto given = [&](const char* key) { return std::ranges::any_of(flags.settings, [&](const auto& setting) { return setting.first == key; }); };
  if (given("steps") != given("epochs")) // one takes the place of the other
    (given("steps") ? config.epochs : config.steps) = 0;
  for (const auto& [key, text] : flags.settings)
    train::setConfig(config, key, text);
  for (const std::string& text : flags.fields) {
    auto [input, field] = splitAssignment(text, "--field");
    config.data.inputs[input] = field;
  }
  for (const std::string& text : flags.lets) {
    auto [name, value] = splitAssignment(text, "--let");
    config.let[name] = integerOf(value, "--let " + name);
  }
  if (!flags.moefy.empty())
    config.moefy = flags.moefy;
  config.recompute |= flags.recompute;
  if (flags.deviceGiven || !flags.resume)
    config.device = flags.device;
  if (config.data.tokenizer != tokenizer)
    config.data.tokenizerInHand = nullptr; // the training is refused where it was begun with another one
  config.out = out;
  if (!flags.resume || !fs::is_directory(flags.file))
    config.model = flags.file;
  train::checkConfig(config);
  return config;
}

/// A folder beside the caller, named like the model where that makes a plain name.
fs::path outOf(const TrainFlags& flags) {
  std::error_code code;
  if (fs::is_directory(flags.file, code)) {
    if (!flags.resume)
      throw Error(Fault::Usage, fmt::format("{} is a folder: train takes a model, or with --resume the folder of a training", flags.file.string()));
    if (flags.out && !fs::equivalent(*flags.out, flags.file, code))
      throw Error(Fault::Usage, fmt::format("{} goes on where it is: leave out --out {}, or copy the folder before", flags.file.string(), flags.out->string()));
    return flags.file;
  }
  if (!fs::exists(flags.file, code))
    throw Error(Fault::Data, fmt::format("{}: there is no such {}", flags.file.string(), flags.resume ? "model, nor the folder of a training" : "model"));
  if (flags.out)
    return *flags.out;
  std::string name = modelName(flags.file);
  bool plain = !name.empty() && name[0] != '.' && name.find_first_of("/\\\n") == std::string::npos;
  return (plain ? name : flags.file.stem().string()) + "-training";
}

/// What the trainer tells, to all that listen: curves, progress, event files, the page.
class Course : public train::Listener {
public:
  Course(TrainingReport& report, TrainingProgress& progress, bool tensorBoard) : report_(report), progress_(progress), tensorBoard_(tensorBoard) {}

  void onStart(int64_t fromStep, int64_t steps, int64_t batchesPerEpoch) override {
    report_.about.steps = steps;
    if (fromStep > 0)
      report_.history = readTraining(report_.out).history;
    hasBegun_ = true;
    if (tensorBoard_)
      events_.emplace(report_.out, fromStep + 1);
    progress_.onStart(fromStep, steps, batchesPerEpoch);
  }
  void onStep(const train::StepRecord& record) override {
    report_.history.add(record);
    progress_.onStep(record);
    if (events_)
      events_->add(record.step, train::scalarsOf(record));
  }
  void onEvaluation(const train::EvaluationRecord& record) override {
    report_.history.add(record);
    progress_.onEvaluation(record);
    if (events_) {
      events_->add(record.step, train::scalarsOf(record));
      events_->flush();
    }
  }
  void onCheckpoint(const fs::path& folder) override {
    report_.checkpoint = folder;
    writePage(report_);
  }
  void onSkippedRecord(const std::string& message) override { progress_.onSkippedRecord(message); }
  void onNotice(const std::string& message) override { progress_.onNotice(message); }

  /// To be called where the training has failed. A page that cannot be written is not what it failed of.
  void onFailure() {
    if (!hasBegun_) // then the folder may be another training's, or its curves have not been read
      return;
    report_.about.state = "failed";
    try {
      writePage(report_);
    } catch (const Error&) {
    }
  }

private:
  TrainingReport& report_;
  TrainingProgress& progress_;
  bool tensorBoard_, hasBegun_ = false;
  std::optional<train::EventFile> events_;
};

Program openTrainingProgram(const TrainFlags& flags, const train::Config& config, const Device& device, std::shared_ptr<Trace> trace) {
  CommonOptions common = flags;
  common.file = config.model;
  common.moefy = config.moefy;
  common.recompute = config.recompute;
  if (!config.weights.empty() && !flags.resume) // a training that goes on has its own
    common.weights = train::weightsFile(config.weights);
  bool validates = !config.data.validationPath.empty() || config.data.validation != 0.0;
  CompileOptions options{
      .targets = device.targets(), .train = true, .accumulate = config.accumulate > 1, .statistics = true, .evaluate = validates, .trace = std::move(trace)};
  options.record = !config.record.empty();
  options.replay = !config.replay.empty();
  options.ofStepsAlone = options.record || options.replay; // an evaluation chooses for itself
  options.nonFinite = config.nonFinite;
  options.ema = config.ema;
  options.let = config.let;
  return openProgram(common, std::move(options)).program;
}

void train(const TrainFlags& flags) {
  fs::path out = outOf(flags);
  train::Config config = configOf(flags, out);
  CommonOptions files = flags;
  if (!config.replay.empty())
    files.replay = config.replay;
  checkOutputFiles(files, {{"--record", config.record}, {"--out", out, true}});
  if (isProgramFile(config.model))
    throw Error(Fault::Usage, fmt::format("{} is compiled already; train takes a model, which it keeps beside the weights", config.model.string()));
  if (auto old = train::listCheckpoints(out); !flags.resume && !old.empty())
    throw Error(Fault::Usage, fmt::format("{} holds a training, up to step {}: go on with `moec train --resume {}`, or give another folder with --out",
                                          out.string(), *train::stepOf(old.back()), out.string()));
  data::checkSources(config.data);
  auto trace = flags.trace ? std::make_shared<Trace>() : nullptr;
  DeviceOptions deviceOptions{.threads = flags.threads, .maxInstructions = flags.maxInstructions};
  Program program = openTrainingProgram(flags, config, *openDevice(config.device, deviceOptions), trace);
  const Plan* plan = nullptr;
  for (const Plan& one : program.data().plans)
    if (one.purpose == Purpose::Training && !plan)
      plan = &one;
  requirePlans(program.data(), Purpose::Training);

  auto reading = std::make_unique<Progress>("reading " + dataName(config), flags.quiet);
  config.data.seed = config.seed;
  data::OpenedData data = data::openData(config.data, plan->inputs, plan->rules);
  TrainingReport report{.out = out,
                        .about = {.model = program.name(), .data = data.name, .target = plan->target, .state = "under way", .facts = factsOf(config)},
                        .history = {},
                        .checkpoint = {}};
  train::Trainer trainer(program, config.device, deviceOptions, config, std::move(data));
  trainer.trace(trace);
  if (flags.resume)
    trainer.resume();
  reading.reset();

  StopSignals signals(fmt::format("{}moec: stopped at once: the steps behind the last checkpoint of {} are lost\n", isatty(STDERR_FILENO) ? "\r\033[K" : "",
                                  printable(out.string())));
  TrainingProgress progress(flags.quiet, signals.flag());
  Course course(report, progress, config.tensorboard);
  train::Outcome outcome;
  try {
    outcome = trainer.run(course, signals.flag());
  } catch (...) { // also where memory ended
    progress.end();
    course.onFailure();
    throw;
  }
  progress.end();
  report.about.state = outcome.end == train::Outcome::End::Finished    ? "finished"
                       : outcome.end == train::Outcome::End::EarlyStop ? "stopped early"
                                                                       : "interrupted";
  report.checkpoint = outcome.checkpoint;
  writePage(report);
  fmt::print("{}{}", flags.json ? reportJson(report) : reportText(report), flags.json ? "\n" : "");
  if (trace)
    trace->write(*flags.trace);
  if (outcome.end == train::Outcome::End::Interrupted) {
    fmt::print(stderr, "moec: interrupted behind step {}; go on with: moec train --resume {}\n", outcome.steps, out.string());
    throw ExitCode{kInterrupted};
  }
}

} // namespace

void addTrainCommand(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = addSubcommand(app, "train", "Train a model on data: checkpoints, metrics and a page of curves in a folder");
  addModelFlags(*command, *flags);
  command->get_option("file")->description("model.json; with --resume also the folder of a training");
  command->get_option("--target")->description("compile for these (default: what the device runs best)");
  addOption(*command, "--out", flags->out, "the folder of the training (default: the model's name, -training)")->type_name("DIR");
  addFlag(*command, "--resume", flags->resume, "go on from the last checkpoint in the folder; what flags do not say stays as it was");
  addOption(*command, "--config", flags->config, "a file of these settings, as the training's own train.json; flags win over it")->type_name("CONFIG");
  addSettings(*command, *flags);
  addOption(*command, "--field", flags->fields, "an input of the model reads this field of the data; once per input")
      ->allow_extra_args(false)
      ->type_name("INPUT=FIELD");
  addOption(*command, "--let", flags->lets, "takes the place of a value in the model's `let`; once per value")->allow_extra_args(false)->type_name("NAME=N");
  addDeviceFlags(*command, *flags);
  addFlag(*command, "--recompute", flags->recompute, "what is cheap is computed again on the way back, not kept for it: mostly less memory, more work");
  addTraceFlag(*command, *flags);
  addJsonFlag(*command, *flags);
  addExamples(
      *command,
      {{"handwritten digits, which ship with moec", "moec train models/zoo/vit-moe.json"},
       {"a text of yours, until five evaluations bring nothing better",
        "moec train models/zoo/switch-lm.json --data corpus.txt --steps 5000 --evaluate-every 250 --patience 5"},
       {"a folder of pictures, a folder a class",
        "moec train models/zoo/vit-moe.json --data photos --epochs 20 --batch 32 --lr 3e-4 --schedule cosine --warmup 200"},
       {"go on after Ctrl-C, and further than was asked for at first",
        "moec train --resume vit-moe-training\nmoec train --resume vit-moe-training --steps 3000"},
       {"what gates chose in one training, in another that begins with other weights",
        "moec train models/zoo/vit-moe.json --steps 100 --record choices.bin --out recorded\nmoec train models/zoo/vit-moe.json --steps 100 --replay choices.bin "
        "--weights w.safetensors --out replayed"},
       {"the curves as a page, and in TensorBoard", "moec inspect vit-moe-training\nmoec train models/zoo/vit-moe.json --tensorboard --out curves"}});
  command->callback([flags, command] {
    flags->deviceGiven = command->count("--device") > 0;
    train(*flags);
  });
}

} // namespace moec::cli
