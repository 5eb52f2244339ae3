#include "compiler/cli/CommandTree.h"
#include "compiler/cli/Commands.h"
#include "compiler/cli/GenerationSource.h"
#include "compiler/cli/OpenProgram.h"
#include "compiler/cli/Options.h"
#include "compiler/cli/OutputFiles.h"
#include "compiler/cli/Progress.h"
#include "compiler/cli/Table.h"
#include "runtime/Generator.h"
#include "runtime/Sampling.h"
#include "runtime/core/Error.h"
#include "runtime/core/Printable.h"
#include "runtime/data/Text.h"
#include "runtime/data/TextStream.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <unistd.h>

namespace moec::cli {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kUsualContext = 1024; // tokens, where the model has no limit
constexpr size_t kSpeltPrompt = 16;     // tokens of a prompt that the text behind it may depend on

struct GenerateFlags : GenerationFlags {
  std::optional<std::string> prompt;
  std::optional<fs::path> promptFile;
  int64_t tokens = 100;
  SamplingOptions sampling{.temperature = 0.8};
};

std::string promptOf(const GenerateFlags& flags) {
  if (flags.promptFile)
    return data::readText(*flags.promptFile);
  return flags.prompt.value_or("\n");
}

/// Text for whoever reads it: on a terminal without what would steer that.
void show(const std::string& text) {
  static const bool terminal = isatty(STDOUT_FILENO) != 0;
  if (!terminal) {
    fmt::print("{}", text);
  } else {
    for (size_t at = 0; at <= text.size();) {
      size_t tab = std::min(text.find('\t', at), text.size());
      fmt::print("{}{}", printable(std::string_view(text).substr(at, tab - at)), tab < text.size() ? "\t" : "");
      at = tab + 1;
    }
  }
  std::fflush(stdout);
}

/// The program of the source with a plan for generation of as many tokens as are asked for, or as the model takes.
Program openGeneration(const GenerateFlags& flags, const GenerationSource& source, const std::vector<std::string>& targets) {
  CommonOptions common = flags;
  common.file = source.file;
  CompileOptions options = source.compile;
  options.targets = targets;
  if (!options.moefy.empty())
    common.moefy = options.moefy;
  if (isProgramFile(common.file)) {
    if (flags.context)
      throw Error(Fault::Usage, fmt::format("{}: --context changes how a model is compiled, but this file is compiled already", common.file.string()));
  } else if (!flags.context) { // the limit stands in the plan for inference
    CommonOptions forLimit = common;
    forLimit.invariant = false; // a demand on what generates
    Program plain = openProgram(forLimit, options).program;
    common.context = longestText(plain.data().plans.front()).value_or(kUsualContext);
  }
  return openProgram(common, options).program;
}

void loadWeights(Generator& generator, const GenerateFlags& flags, const GenerationSource& source) {
  if (source.checkpoint)
    generator.load(source.weights, flags.allowNonFinite);
  else if (flags.weights)
    generator.load(*flags.weights, flags.allowNonFinite);
  else if (flags.init || generator.plan().parameters.empty())
    generator.init(flags.init.value_or(0));
  else
    throw Error(Fault::Usage, fmt::format("{} has {} and no weights: give --weights FILE, or --init SEED to draw them by the model's rules",
                                          source.file.string(), counted(std::ssize(generator.plan().parameters), "parameter")));
}

/// A text that is continued token by token, for as long as anybody asks.
class Continuation {
public:
  Continuation(Generator& generator, const data::Tokenizer& tokenizer, const SamplingOptions& sampling, std::vector<int64_t> prompt)
      : generator_(generator), vocabulary_(tokenizer.vocabulary()), sampling_(sampling), tokens_(std::move(prompt)) {
    if (generator.batch() != 1)
      throw Error(Fault::Usage, fmt::format("the program continues {} texts at once, and one is asked for: compile it with --batch 1", generator.batch()));
  }

  /// Draws the next token. The first call reads the prompt.
  int64_t next() {
    Tensor scores = read();
    // Ids behind the tokenizer's stand for no text.
    auto count = static_cast<size_t>(std::min(scores.shape().back(), vocabulary_));
    auto place = static_cast<int64_t>(tokens_.size());
    int64_t token = scores.dtype() == DType::F64 ? sampleToken(scores.as<double>().first(count), sampling_, 0, place)
                                                 : sampleToken(scores.as<float>().first(count), sampling_, 0, place);
    tokens_.push_back(token);
    return token;
  }

  /// Has the beginning been left behind?
  bool hasBegunAnew() const { return begunAnew_; }

private:
  Generator& generator_;
  int64_t vocabulary_;
  SamplingOptions sampling_;
  std::vector<int64_t> tokens_; // all, the prompt among them
  size_t read_ = 0;             // of them, those that the model has seen
  bool begunAnew_ = false;

  Tensor read() {
    auto fresh = static_cast<int64_t>(tokens_.size() - read_);
    if (generator_.position() + fresh > generator_.context()) {
      generator_.reset();
      fresh = std::max<int64_t>(1, std::min(generator_.context() / 2, static_cast<int64_t>(tokens_.size())));
      begunAnew_ = true;
    }
    read_ = tokens_.size();
    return generator_.feed(Tensor::of(std::vector<int64_t>(tokens_.end() - fresh, tokens_.end()), {1, fresh}));
  }
};

double secondsSince(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

void printJson(const std::string& prompt, const std::string& text, const std::vector<int64_t>& tokens, size_t promptTokens, bool ended,
               const std::string& target, double seconds) {
  nlohmann::ordered_json json{{"target", target}, {"prompt", prompt},  {"text", text}, {"tokens", tokens}, {"prompt_tokens", promptTokens},
                              {"ended", ended},   {"seconds", seconds}};
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void generate(GenerateFlags flags) {
  checkOutputFiles(flags, {});
  flags.sampling.seed = flags.seed;
  checkSampling(flags.sampling);
  std::string prompt = promptOf(flags);
  std::shared_ptr<Device> device = openDevice(flags.device, {.threads = flags.threads, .maxInstructions = flags.maxInstructions});
  GenerationSource source = findSource(flags);
  std::vector<int64_t> promptTokens = source.tokenizer->encode(prompt);
  if (promptTokens.empty())
    throw Error(Fault::Usage, "a prompt without a token: there is nothing to continue; leave --prompt out to begin with a new line");
  Program program = openGeneration(flags, source, targetsFor({device}));
  Generator generator(program, device);
  checkInvariant(generator.plan(), flags);
  const InputInfo& input = *std::ranges::find_if(generator.plan().inputs, [](const InputInfo& one) { return one.shape.size() == 2; });
  if (input.below && source.tokenizer->vocabulary() > *input.below)
    throw Error(Fault::Usage, fmt::format("the tokenizer, {}, has a vocabulary of {}, but the model takes ids below {}: it is another model's",
                                          source.tokenizer->describe(), source.tokenizer->vocabulary(), *input.below));
  loadWeights(generator, flags, source);

  data::TextStream stream(source.tokenizer);
  for (size_t i = promptTokens.size() - std::min(promptTokens.size(), kSpeltPrompt); i < promptTokens.size(); ++i)
    stream.add(promptTokens[i]);
  auto start = std::chrono::steady_clock::now();
  Continuation continuation(generator, *source.tokenizer, flags.sampling, promptTokens);
  std::vector<int64_t> tokens;
  std::string text;
  bool ended = false;
  double promptSeconds = 0;
  auto add = [&](const std::string& part) {
    text += part;
    if (!flags.json)
      show(part);
  };
  while (!ended && static_cast<int64_t>(tokens.size()) < flags.tokens) {
    int64_t token = continuation.next();
    if (tokens.empty())
      promptSeconds = secondsSince(start);
    tokens.push_back(token);
    ended = token == source.tokenizer->endOfText();
    add(stream.add(token));
  }
  add(stream.finish());
  double seconds = secondsSince(start);
  if (flags.json)
    printJson(prompt, text, tokens, promptTokens.size(), ended, generator.plan().target, seconds);
  else if (!text.ends_with('\n'))
    show("\n");
  // Said at the end: a terminal shows both streams.
  if (continuation.hasBegunAnew())
    fmt::print(stderr, "moec: the context of {} tokens was full: the text went on from its last {}, once or more\n", generator.context(),
               std::max<int64_t>(1, generator.context() / 2));
  if (!flags.quiet && !flags.json) {
    double each = tokens.size() > 1 ? (seconds - promptSeconds) / static_cast<double>(tokens.size() - 1) : promptSeconds;
    fmt::print(stderr, "moec: {} in {}, {} each behind a prompt of {} in {}{}\n", counted(std::ssize(tokens), "token"), shortSeconds(seconds),
               shortSeconds(each), promptTokens.size(), shortSeconds(promptSeconds),
               source.checkpoint ? fmt::format("; weights of {}", source.checkpoint->string()) : "");
  }
}

} // namespace

void addGenerateCommand(CLI::App& app) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = addSubcommand(app, "generate", "Continue a text with a language model, as it comes");
  addModelFlags(*command, *flags);
  addWeightsAsFlag(*command, *flags);
  command->get_option("file")->description("the folder of a training, model.json or program.moec")->type_name("MODEL");
  auto* prompt = addOption(*command, "--prompt", flags->prompt, "the text to continue (default: a new line)")->type_name("TEXT");
  addOption(*command, "--prompt-file", flags->promptFile, "the same from a file of UTF-8 text")->type_name("FILE")->excludes(prompt);
  auto* tokens = addOption(*command, "--tokens", flags->tokens, "how many tokens at most; a token that ends texts ends it before (default: 100)");
  checkInteger(tokens->type_name("COUNT"), 1, INT64_MAX);
  addOption(*command, "--temperature", flags->sampling.temperature,
            "scores are divided by it: 0 takes the best token always, 1 draws by the model's probabilities (default: 0.8)")
      ->type_name("X");
  addOption(*command, "--top-k", flags->sampling.topK, "draw among the K best tokens alone; 0: among all (default)")->type_name("K");
  addOption(*command, "--top-p", flags->sampling.topP, "draw among the fewest tokens whose probabilities add up to this (default: 1, all)")->type_name("SHARE");
  addSeedFlag(*command, *flags, "seed of the draws of tokens (default 0)");
  addWeightFlags(*command, *flags);
  addOption(*command, "--checkpoint", flags->checkpoint, "of a training: last, best or the number of a step (default: last)")
      ->type_name("CHECKPOINT")
      ->excludes("--weights");
  addOption(*command, "--tokenizer", flags->tokenizer,
            "bytes, or a file: tokenizer.model of SentencePiece, tokenizer.json of Hugging Face (default: the training's)")
      ->type_name("TOKENIZER");
  auto* context =
      addOption(*command, "--context", flags->context,
                "tokens that the model sees at once; when they are full, the last half of them goes on (default: as many as the model takes, or 1024)");
  checkInteger(context->type_name("TOKENS"), 1, INT64_MAX);
  addDeviceFlags(*command, *flags);
  addJsonFlag(*command, *flags);
  addExamples(*command, {{"what a training learnt", "moec generate switch-lm-training --prompt \"To be, or not to be\""},
                         {"the same text each time, from its best checkpoint, and more of it",
                          "moec generate switch-lm-training --checkpoint best --temperature 0 --tokens 500"},
                         {"a model with weights and a tokenizer of yours",
                          "moec generate model.json --weights w.safetensors --tokenizer tokenizer.json --prompt-file story.txt --top-p 0.9 --seed 7"}});
  command->callback([flags] { generate(*flags); });
}

} // namespace moec::cli
