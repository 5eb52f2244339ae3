#pragma once
// The flags that several commands share, each declared once: name, words of its help, and where its value goes.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace moec::cli {

struct CommonOptions {
  std::filesystem::path file; // model.json or program.moec
  bool json = false, quiet = false;

  // How a model is compiled.
  std::vector<std::string> targets;
  std::string moefy, weightsAs;
  bool noCache = false;
  std::string cacheLimit;
  std::string tuning; // a file, or "off"; empty: nobody says
  bool debugInfo = false, invariant = false;
  bool train = false, accumulate = false, recompute = false; // of commands that show a plan: the one for training
  bool evaluate = false, statistics = false;                 // the same of the one for evaluation
  bool generate = false;                                     // the same of the one for generation
  std::optional<int64_t> context, batch;                     // of which a program for generation is made
  std::optional<double> ema;
  std::string nonFinite;                      // "count", "error"; empty: nobody says
  std::optional<std::filesystem::path> trace; // a file to write

  // Where the program runs.
  std::string device = "cpu";
  int threads = 0;              // 0: as many as allowed
  uint64_t maxInstructions = 0; // of an emulated launch; 0: the emulator's own limit

  std::optional<std::filesystem::path> weights;
  std::optional<uint64_t> init;
  std::optional<std::filesystem::path> saveWeights;
  bool allowNonFinite = false;

  uint64_t seed = 0;
  std::vector<std::string> inputs; // NAME=FILE
  std::optional<std::filesystem::path> draws, replay;
  std::vector<std::string> sizes; // NAME=NUMBER
};

/// The positional MODEL, the flags of compiling it, and --quiet.
void addModelFlags(CLI::App& command, CommonOptions& options);
/// --weights-as, of commands that compile for something else than training.
void addWeightsAsFlag(CLI::App& command, CommonOptions& options);
/// --target alone, with the words of its help.
void addTargetFlag(CLI::App& command, CommonOptions& options, const std::string& words);
/// --train with the words of its help, --accumulate and --recompute.
void addTrainFlags(CLI::App& command, CommonOptions& options, const std::string& words);
/// --evaluate with the words of its help, and --statistics, which goes with --train too.
void addEvaluateFlags(CLI::App& command, CommonOptions& options, const std::string& words);
/// --context with the words of its help, and --batch.
void addContextFlags(CLI::App& command, CommonOptions& options, const std::string& words);
/// The same of a command that shows a plan, and --generate, which names the plan of a program.
void addGenerateFlags(CLI::App& command, CommonOptions& options);
/// --non-finite.
void addNonFiniteFlag(CLI::App& command, CommonOptions& options);
/// --ema, beside --train.
void addEmaFlag(CLI::App& command, CommonOptions& options);
/// --trace FILE.
void addTraceFlag(CLI::App& command, CommonOptions& options);
/// --weights, --init, --allow-nonfinite.
void addWeightFlags(CLI::App& command, CommonOptions& options);
/// --save-weights, beside --init; declares --init where there is none.
void addSaveWeightsFlag(CLI::App& command, CommonOptions& options);
/// --seed with the words of its help.
void addSeedFlag(CLI::App& command, CommonOptions& options, const std::string& words);
/// --input, --draws, --seed.
void addInputFlags(CLI::App& command, CommonOptions& options);
/// --device, --threads, --max-instructions.
void addDeviceFlags(CLI::App& command, CommonOptions& options);
/// --size NAME=NUMBER.
void addSizeFlag(CLI::App& command, CommonOptions& options);
void addJsonFlag(CLI::App& command, CommonOptions& options);

/// "NAME=VALUE" in two. Error(Usage) that names the flag when there is no name or no value.
std::pair<std::string, std::string> splitAssignment(const std::string& text, const std::string& flag);
/// --size in numbers. Error(Usage) for anything but a positive integer, or a name twice.
std::map<std::string, int64_t, std::less<>> parseSizes(const CommonOptions& options);

} // namespace moec::cli
