// Models that continue texts: however a text is cut into calls, its scores are those of inference over the whole text where nothing is dropped.

#include "runtime/core/Generation.h"
#include "runtime/Generator.h"
#include "runtime/Weights.h"
#include "runtime/core/Error.h"
#include "runtime/device/check/CheckDevice.h"
#include "tests/e2e/Support.h"
#include "tests/runner/Combinations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

namespace moec::test {

namespace {

constexpr int64_t kBatch = 3, kContext = 12, kVocabulary = 40;

/// Gates with room for every token, so that inference drops none.
const char* kRoomy = R"({"blocks": {"mixture": {"gate": {"capacity": {"train": 1.25, "eval": 4}}}}})";

const std::string kTokens = R"("inputs": {"tokens": {"shape": ["batch", "sequence"], "dtype": "i64"}})";
/// Turned positions, shared heads of keys, gated experts, as Mixtral has them.
const std::string kLlama = R"({"name": "llama", "dtype": "DTYPE", )" + kTokens + R"(, "model": [
  {"kind": "embedding", "vocabulary": 40, "dim": 24},
  {"kind": "repeat", "times": 2, "name": "layers", "body": [
    {"kind": "residual", "body": [{"kind": "rms_norm"}, {"kind": "attention", "heads": 6, "kv_heads": 2, "head_dim": 10, "rotary": "halves", "causal": true, "qkv_bias": false, "out_bias": false}]},
    {"kind": "residual", "body": [{"kind": "rms_norm"}, {"kind": "moe", "gate": {"kind": "top_k", "softmax": "all", "normalize": true, "bias": false}, "experts": {"kind": "gated_mlp", "count": 4, "hidden": 20}}]}]},
  {"kind": "rms_norm"}, {"kind": "linear", "out": 40, "bias": false, "name": "scores"}]})";
/// Distances in place of positions, as T5's decoder has them; pairs turned side by side in the second layer; experts that see everything.
const std::string kDistances = R"({"name": "distances", "dtype": "DTYPE", )" + kTokens + R"(, "model": [
  {"kind": "embedding", "vocabulary": 40, "dim": 16, "name": "x"},
  {"kind": "relative_bias", "heads": 2, "buckets": 6, "max_distance": 8, "bidirectional": false, "name": "near"},
  {"kind": "residual", "from": "x", "body": [{"kind": "layer_norm"}, {"kind": "attention", "heads": 2, "causal": true, "bias": "near", "scale": 1}]},
  {"kind": "residual", "body": [{"kind": "attention", "heads": 1, "causal": true, "rotary": "interleaved", "rotary_base": 100}]},
  {"kind": "residual", "body": [{"kind": "moe", "gate": {"kind": "switch", "capacity": {"train": 1, "eval": 8}}, "experts": {"kind": "mlp", "count": 3, "hidden": 12, "layer_norm": true}}]},
  {"kind": "linear", "out": 40}, {"kind": "softmax"}]})";

/// A model of a zoo file ("switch-lm.json") or of a text, in a dtype.
std::filesystem::path modelOf(const std::string& what, const std::string& dtype) {
  if (!what.starts_with("{"))
    return patchedModel(what,
                        what == "switch-lm.json" ? R"({"dtype": ")" + dtype + R"(", )" + std::string(kRoomy).substr(1) : R"({"dtype": ")" + dtype + R"("})");
  static TemporaryFolder folder;
  static int count = 0;
  std::string text = what;
  text.replace(text.find("DTYPE"), 5, dtype);
  auto path = folder.path() / (std::to_string(count++) + ".json");
  std::ofstream(path) << text;
  return path;
}

CompileOptions optionsFor(const std::string& target, int64_t batch = kBatch, int64_t context = kContext) {
  CompileOptions options{.targets = {target}, .checkSizes = true};
  options.generate = GenerationSizes{batch, context};
  return options;
}

/// The program of a model, compiled once however many tests ask for it.
const Program& programOf(const std::string& model, const std::string& dtype, const std::string& target = "cpu") {
  static std::map<std::string, Program> known;
  std::string key = model + dtype + target;
  if (auto found = known.find(key); found != known.end())
    return found->second;
  CompileOptions options = optionsFor(target);
  options.kernelCache = sharedKernels();
  return known.emplace(key, compile(modelOf(model, dtype), options)).first->second;
}

Tensor tokensOf(int64_t batch, int64_t count, uint64_t seed) {
  Plan plan;
  plan.inputs.push_back({.name = "tokens", .dtype = DType::I64, .shape = {Size(batch), Size(count)}, .below = kVocabulary});
  return generatedInputs(plan, seed).at("tokens");
}

/// Columns [from, from + count) of ids (batch, n).
Tensor cut(const Tensor& tokens, int64_t from, int64_t count) {
  Tensor part(DType::I64, {tokens.shape()[0], count});
  for (int64_t b = 0; b < tokens.shape()[0]; ++b)
    for (int64_t i = 0; i < count; ++i)
      part.as<int64_t>()[b * count + i] = tokens.as<int64_t>()[b * tokens.shape()[1] + from + i];
  return part;
}

/// Scores (batch, vocabulary) of one token of (batch, n, vocabulary).
Tensor at(const Tensor& scores, int64_t token) {
  int64_t batch = scores.shape()[0], width = scores.shape()[2];
  Tensor row(scores.dtype(), {batch, width});
  size_t bytes = static_cast<size_t>(width) * byteSize(scores.dtype());
  for (int64_t b = 0; b < batch; ++b)
    std::memcpy(static_cast<char*>(row.data()) + b * bytes, static_cast<const char*>(scores.data()) + (b * scores.shape()[1] + token) * bytes, bytes);
  return row;
}

int64_t highest(const Tensor& scores, int64_t row) {
  std::vector<double> all = scores.toDoubles();
  auto begin = all.begin() + row * scores.shape()[1];
  return std::max_element(begin, begin + scores.shape()[1]) - begin;
}

std::string messageOf(const std::function<void()>& work, Fault fault) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

struct Text {
  const char* name;
  std::string model;
  std::string dtype;
};
void PrintTo(const Text& one, std::ostream* stream) { *stream << one.name; }

const Text kTexts[] = {
    {"switch", "switch-lm.json", "f32"}, {"switchF64", "switch-lm.json", "f64"}, {"gating", "gating-lm.json", "f32"},
    {"random", "random-lm.json", "f32"}, {"blended", "blended-lm.json", "f32"},  {"llama", kLlama, "f32"},
    {"llamaF64", kLlama, "f64"},         {"distances", kDistances, "f32"},       {"distancesF64", kDistances, "f64"},
};

class Texts : public testing::TestWithParam<Text> {};

/// Feeds a text in parts of these lengths; every part's scores are those of inference at its last token.
void expectScores(Generator& generator, const Tensor& tokens, const Tensor& whole, std::vector<int64_t> parts, double tolerance) {
  generator.reset();
  int64_t from = 0;
  for (int64_t count : parts) {
    Tensor scores = generator.feed(cut(tokens, from, count));
    from += count;
    EXPECT_EQ(generator.position(), from);
    EXPECT_LE(test::relativeError(scores, at(whole, from - 1)), tolerance) << "behind " << from << " tokens in parts " << testing::PrintToString(parts);
  }
}

const std::vector<std::vector<int64_t>> kCuts = {std::vector<int64_t>(kContext, 1), {kContext}, {5, 1, 1, 4, 1}};

} // namespace

TEST_P(Texts, DoNotDependOnHowTheyAreCut) {
  const Program& program = programOf(GetParam().model, GetParam().dtype);
  Tensor tokens = tokensOf(kBatch, kContext, 3);
  double tolerance = GetParam().dtype == "f64" ? 1e-12 : 1e-5;
  for (const char* device : {"reference", "cpu"}) {
    SCOPED_TRACE(device);
    Session session(program, device);
    session.init(7);
    TensorMap weights = session.weights();
    Tensor whole = session.run({{"tokens", tokens}}).begin()->second;
    Generator generator(program, device);
    EXPECT_EQ(generator.batch(), kBatch);
    EXPECT_EQ(generator.context(), kContext);
    generator.load(weights);
    for (const auto& parts : kCuts)
      expectScores(generator, tokens, whole, parts, tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Texts, testing::ValuesIn(kTexts), [](const auto& info) { return std::string(info.param.name); });

// A token at a time, the highest one each time: the same tokens as from inference over the text so far.
TEST(Generation, ContinuesAsInferenceDoes) {
  const Program& program = programOf("switch-lm.json", "f32");
  Session session(program, "cpu");
  Generator generator(program, "cpu");
  session.init(1);
  generator.init(1);
  Tensor text = tokensOf(kBatch, 2, 5);
  Tensor scores = generator.feed(text);
  while (text.shape()[1] < kContext) {
    Tensor whole = session.run({{"tokens", text}}).begin()->second;
    int64_t count = text.shape()[1];
    Tensor longer(DType::I64, {kBatch, count + 1});
    for (int64_t b = 0; b < kBatch; ++b) {
      for (int64_t i = 0; i < count; ++i)
        longer.as<int64_t>()[b * (count + 1) + i] = text.as<int64_t>()[b * count + i];
      longer.as<int64_t>()[b * (count + 1) + count] = highest(scores, b);
      EXPECT_EQ(highest(scores, b), highest(at(whole, count - 1), b)) << "sequence " << b << " behind " << count;
    }
    text = longer;
    scores = generator.feed(cut(text, count, 1));
  }
}

TEST(Generation, DropsNobodyWhateverTheCapacity) {
  // Every expert has room for one token, and inference drops most.
  auto tight = patchedModel("switch-lm.json", R"({"blocks": {"mixture": {"gate": {"capacity": {"train": 1.25, "eval": 0.01}}}}})");
  Program program = compile(tight, optionsFor("cpu"));
  const Program& roomy = programOf("switch-lm.json", "f32");
  Tensor tokens = tokensOf(kBatch, kContext, 3);
  Session inference(program, "cpu"), all(roomy, "cpu");
  inference.init(2), all.init(2);
  Tensor whole = all.run({{"tokens", tokens}}).begin()->second;
  EXPECT_GT(test::relativeError(inference.run({{"tokens", tokens}}).begin()->second, whole), 1e-3);
  Generator generator(program, "cpu");
  generator.init(2);
  for (const auto& parts : kCuts)
    expectScores(generator, tokens, whole, parts, 1e-5);
}

TEST(Generation, InBF16IsAsTheReferenceHasIt) {
  for (const std::string& model : {std::string("switch-lm.json"), kLlama}) {
    const Program& program = programOf(model, "bf16");
    Generator generator(program, "cpu"), reference(program, "reference");
    generator.init(4), reference.init(4);
    Tensor tokens = tokensOf(kBatch, kContext, 9);
    for (const auto& parts : kCuts) {
      generator.reset(), reference.reset();
      int64_t from = 0;
      for (int64_t count : parts) {
        Tensor mine = generator.feed(cut(tokens, from, count)), right = reference.feed(cut(tokens, from, count));
        EXPECT_EQ(mine.dtype(), DType::F32);
        EXPECT_LE(test::relativeError(mine, right), 0.05);
        from += count;
      }
    }
  }
}

TEST(Generation, HasTheSameBitsForAnyNumberOfThreadsAndAfterAReset) {
  const Program& program = programOf(kLlama, "f32");
  Tensor tokens = tokensOf(kBatch, kContext, 3);
  std::vector<std::vector<uint8_t>> all;
  for (int threads : {1, 2, 2}) {
    Generator generator(program, "cpu", {.threads = threads});
    generator.init(7);
    generator.feed(cut(tokens, 4, 5)); // what is behind the position later
    for (int again = 0; again < 2; ++again) {
      generator.reset();
      generator.feed(cut(tokens, 0, 3));
      Tensor scores = generator.feed(cut(tokens, 3, 1));
      auto* bytes = static_cast<const uint8_t*>(scores.data());
      all.emplace_back(bytes, bytes + scores.bytes());
    }
  }
  for (const auto& bytes : all)
    EXPECT_EQ(bytes, all.front());
}

TEST(Generation, ATextsBitsDoNotDependOnTheTextsBesideIt) {
  for (const std::string& model : {std::string("switch-lm.json"), kLlama, kDistances}) {
    const Program& several = programOf(model, "f32");
    CompileOptions options = optionsFor("cpu", 1);
    options.kernelCache = sharedKernels();
    options.invariant = true;
    Program one = compile(modelOf(model, "f32"), options);
    EXPECT_EQ(one.data().plans.front().invariant, model == kLlama) << "where the others infer, an expert has room for some rows alone";
    Generator all(several, "cpu"), alone(one, "cpu");
    EXPECT_TRUE(all.plan().invariant && alone.plan().invariant);
    Tensor tokens = tokensOf(kBatch, kContext, 3);
    all.init(7), alone.init(7);
    for (int64_t text = 0; text < kBatch; ++text) {
      all.reset(), alone.reset();
      Tensor own = Tensor::borrow(tokens.as<int64_t>().data() + text * kContext, {1, kContext}, DType::I64);
      int64_t from = 0;
      for (int64_t count : {3, 1, 7, 1}) {
        Tensor scores = all.feed(cut(tokens, from, count)), expected = alone.feed(cut(own, from, count));
        from += count;
        auto* mine = static_cast<const char*>(scores.data()) + static_cast<size_t>(text) * expected.bytes();
        EXPECT_EQ(std::memcmp(mine, expected.data(), expected.bytes()), 0) << model.substr(0, 20) << ", text " << text << " behind " << from << " tokens";
      }
    }
  }
}

TEST(Generation, RefusesWhatDoesNotFit) {
  using testing::HasSubstr;
  const Program& program = programOf("switch-lm.json", "f32");
  Generator generator(program, "cpu");
  Tensor tokens = tokensOf(kBatch, kContext, 3);
  EXPECT_THAT(messageOf([&] { generator.feed(cut(tokens, 0, 1)); }, Fault::Usage), HasSubstr("the generator has no weights"));
  generator.init(7);
  Tensor first = generator.feed(cut(tokens, 0, 10));
  EXPECT_THAT(messageOf([&] { generator.feed(cut(tokens, 0, 3)); }, Fault::Usage),
              HasSubstr("the context of 12 tokens is full: 10 are there, and 3 are to follow"));
  Tensor wrong = cut(tokens, 10, 1);
  wrong.as<int64_t>()[1] = kVocabulary;
  EXPECT_THAT(messageOf([&] { generator.feed(wrong); }, Fault::Usage), HasSubstr("element 1 is 40, expected 0 to 39"));
  EXPECT_THAT(messageOf([&] { generator.feed(tokensOf(kBatch - 1, 1, 3)); }, Fault::Usage), HasSubstr("expected i64[3, sequence]"));
  EXPECT_THAT(messageOf([&] { generator.feed(Tensor(DType::I64, {kBatch, 0})); }, Fault::Usage), HasSubstr("a size of zero"));
  EXPECT_EQ(generator.position(), 10);
  // Nothing has changed.
  Tensor scores = generator.feed(cut(tokens, 10, 2));
  generator.reset();
  generator.feed(cut(tokens, 0, 10));
  EXPECT_EQ(test::relativeError(scores, generator.feed(cut(tokens, 10, 2))), 0);
  EXPECT_THAT(messageOf([&] { generator.feed(cut(tokens, 0, 1)); }, Fault::Usage), HasSubstr("12 are there, and 1 are to follow"));

  Program without = compile(modelOf("switch-lm.json", "f32"), {.targets = {"cpu"}, .checkSizes = true});
  EXPECT_THAT(messageOf([&] { Generator(without, "cpu"); }, Fault::Usage), HasSubstr("has no plan for generation: compile it with --context"));
  EXPECT_THAT(messageOf([&] { Session(program, "cpu", Purpose::Generation); }, Fault::Usage), HasSubstr("not for generation"));
  EXPECT_THAT(messageOf([&] { compile(modelOf("switch-lm.json", "f32"), optionsFor("cpu", 0)); }, Fault::Usage), HasSubstr("expected numbers from 1"));
}

// Keys and values are written where they lie, and by launches that touch the new rows alone.
TEST(Generation, AppendsInPlace) {
  const Program& program = programOf("switch-lm.json", "f32");
  const Plan* plan = program.plan(program.data().plans.front().target, Purpose::Generation);
  ASSERT_TRUE(plan);
  std::vector<std::string> states;
  for (const StateInfo& state : plan->states)
    states.push_back(state.name);
  EXPECT_EQ(states.size(), 4u);
  EXPECT_THAT(states, testing::Contains("layers.0.attention.keys"));
  EXPECT_EQ(plan->states.front().shape, (Shape{kBatch, kContext, 16}));
  int appends = 0;
  for (const LaunchInfo& launch : plan->forward)
    if (launch.kind == "append") {
      ++appends;
      ASSERT_EQ(launch.outputs.size(), 2u);
      for (int output : launch.outputs) {
        EXPECT_EQ(plan->buffers[static_cast<size_t>(output)].kind, BufferKind::State);
        EXPECT_THAT(launch.inputs, testing::Contains(output));
      }
      // The bytes of one token's row, there and back, for keys and values.
      EXPECT_EQ(launch.bytes.evaluate({{"sequence", 1}}), 2 * 2 * kBatch * 16 * 4);
    }
  EXPECT_EQ(appends, 2);
  // The product with the vocabulary is of the last tokens alone.
  EXPECT_EQ(plan->outputs.front().shape, (std::vector<Size>{Size(kBatch), Size(kVocabulary)}));
  EXPECT_EQ(plan->forward.back().kind, "matmul");
  EXPECT_EQ(plan->forward.back().flops.evaluate({{"sequence", 9}}), plan->forward.back().flops.evaluate({{"sequence", 1}}));
}

TEST(Generation, AgreesWithTheReferenceLaunchByLaunch) {
  for (const std::string& model : {std::string("switch-lm.json"), kLlama, kDistances})
    for (const char* dtype : {"f32", "bf16"})
      for (auto [target, device] : {std::pair("cpu", "cpu"), std::pair("cuda:sm_90a", "ptx-emulator:sm_90a")}) {
        // Of the emulator, what a kernel differs by: experts and positions are others' tests. By default each type and each of the two models once.
        if (std::string(device) != "cpu" && (model == "switch-lm.json" || (model == kDistances && std::string(dtype) == "bf16") ||
                                             (model == kLlama && std::string(dtype) == "f32" && !allCombinations())))
          continue;
        SCOPED_TRACE(std::string(device) + " " + dtype + " " + model.substr(0, 30));
        const Program* program = nullptr;
        try {
          program = &programOf(model, dtype, target);
        } catch (const Error& error) {
          if (std::string(error.what()).starts_with("CUDA targets need NVRTC"))
            GTEST_SKIP() << "[SKIP] " << error.what();
          throw;
        }
        const Plan* plan = program->plan(program->data().plans.front().target, Purpose::Generation);
        ASSERT_TRUE(plan);
        for (auto [position, count] : {std::pair<int64_t, int64_t>(0, 12), std::pair<int64_t, int64_t>(7, 1), std::pair<int64_t, int64_t>(4, 5)}) {
          TensorMap inputs{{"tokens", tokensOf(kBatch, count, 3)}, {kPositionInput, Tensor::of<int64_t>({position}, {})}};
          CheckReport report =
              check(*program, openDevice(device), openDevice("reference"), initialWeights(*plan, 1), inputs, {.seed = 5}, tolerance, Purpose::Generation);
          EXPECT_TRUE(report.passed()) << count << " tokens at " << position << "\n" << report.describeFailures();
        }
      }
}

} // namespace moec::test
