// Phases can be stopped at, dumped, and gone on from, and it makes no difference to the program.

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace moec::test {

namespace {

std::string textOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What the error says; empty where it compiles.
std::string problem(const CompileOptions& options, const std::filesystem::path& file, Fault fault = Fault::Usage) {
  try {
    compileFile(file, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.what();
    return error.what();
  }
  return "";
}

} // namespace

TEST(Phases, GoingOnFromEveryDumpGivesTheSameProgram) {
  TemporaryFolder folder;
  CompileOptions options;
  options.targets = {"cpu:x86-64-v3"};
  options.dumpPhases = folder.path();
  auto model = patchedModel("vit-moe.json");
  Program whole = *compileFile(model, options).program;

  const char* phases[] = {"import", "fuse", "schedule", "plan", "emit", "pack"};
  std::vector<std::filesystem::path> dumps;
  for (auto& entry : std::filesystem::directory_iterator(folder.path()))
    dumps.push_back(entry.path());
  std::sort(dumps.begin(), dumps.end());
  ASSERT_EQ(dumps.size(), 5u) << "one file for each phase before pack";
  for (size_t i = 0; i < dumps.size(); ++i) {
    CompileOptions resume;
    resume.targets = options.targets;
    resume.from = phases[i + 1];
    Program again = *compileFile(dumps[i], resume).program;
    EXPECT_EQ(again.data().kernels, whole.data().kernels) << dumps[i];
    EXPECT_EQ(toJson(again.data().plans.front()), toJson(whole.data().plans.front())) << dumps[i];
  }
}

TEST(Phases, StopAfterPrintsWhatTheDumpHolds) {
  TemporaryFolder folder;
  auto model = patchedModel("batched-experts.json");
  for (const char* phase : {"import", "fuse", "schedule", "plan", "emit"}) {
    CompileOptions options;
    options.targets = {"cpu:x86-64-v3"};
    options.stopAfter = phase;
    options.dumpPhases = folder.path();
    CompileResult result = compileFile(model, options);
    EXPECT_FALSE(result.program.has_value());
    bool found = false;
    for (auto& entry : std::filesystem::directory_iterator(folder.path()))
      if (entry.path().filename().string().find(std::string("-") + phase) != std::string::npos) {
        EXPECT_EQ(textOf(entry.path()), result.text) << phase;
        found = true;
      }
    EXPECT_TRUE(found) << phase;
  }
}

TEST(Phases, AnEditedDumpIsWhatRuns) {
  TemporaryFolder folder;
  CompileOptions options;
  options.targets = {"cpu:x86-64-v3"};
  options.stopAfter = "import";
  auto model = patchedModel("batched-experts.json");
  std::string text = compileFile(model, options).text;
  size_t place = text.find("moe.relu");
  ASSERT_NE(place, std::string::npos);
  text.replace(place, 8, "moe.silu");
  auto edited = folder.path() / "edited.mlir";
  std::ofstream(edited) << text;

  options.stopAfter.clear();
  Program plain = compile(model, options);
  options.from = "fuse";
  Program changed = compile(edited, options);
  auto run = [](const Program& program) {
    Session session(program, "cpu");
    session.init(0);
    return session.run(generatedInputs(session.plan(), 1));
  };
  EXPECT_GT(relativeError(run(changed)["y"], run(plain)["y"]), 1e-6);
}

TEST(Phases, AKernelOfAnotherKindThanWhatItDoesIsRefused) {
  TemporaryFolder folder;
  CompileOptions options;
  options.targets = {"cpu:x86-64-v3"};
  options.stopAfter = "fuse";
  std::string text = compileFile(patchedModel("batched-experts.json"), options).text;
  size_t place = text.find("moe.kernel \"matmul\"");
  ASSERT_NE(place, std::string::npos);
  options.stopAfter = "schedule";
  options.from = "schedule";
  auto complaint = [&](const std::string& kind) {
    std::string changed = text;
    changed.replace(place, 19, "moe.kernel \"" + kind + "\"");
    auto edited = folder.path() / (kind + ".mlir");
    std::ofstream(edited) << changed;
    try {
      compileFile(edited, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(complaint("rows").find("a 'rows' kernel cannot hold 'moe.matmul'"), std::string::npos);
  EXPECT_NE(complaint("weight_update").find("a 'weight_update' kernel must write a result to a state"), std::string::npos);
}

// A dump has what its import gave it.
TEST(Phases, WhatTheImportWouldDoIsRefusedBehindIt) {
  TemporaryFolder folder;
  auto model = patchedModel("batched-experts.json"), dump = folder.path() / "dump.mlir";
  CompileOptions before;
  before.stopAfter = "import";
  std::ofstream(dump) << compileFile(model, before).text;
  CompileOptions options{.targets = {"cpu:x86-64-v3"}, .stopAfter = "fuse"};
  options.from = "fuse";
  EXPECT_EQ(problem(options, dump), "");
  options.record = true;
  EXPECT_NE(problem(options, dump).find("--record is for phase 'import', which lies before --from fuse"), std::string::npos);
  options.record = false;
  options.replay = true;
  EXPECT_NE(problem(options, dump).find("--replay is for phase 'import'"), std::string::npos);
  options.replay = false;
  options.nonFinite = NonFiniteLogits::Error;
  EXPECT_NE(problem(options, dump).find("--non-finite error is for phase 'import'"), std::string::npos);

  CompileOptions alone{.targets = {"cpu:x86-64-v3"}, .stopAfter = "fuse"};
  alone.record = alone.ofStepsAlone = true;
  EXPECT_NE(problem(alone, model).find("compile for training too"), std::string::npos);
}

// Where nothing looks for couplings, or nobody promises anything.
TEST(Phases, InvarianceThatIsNotLookedAtIsRefused) {
  TemporaryFolder folder;
  auto model = patchedModel("batched-experts.json"), dump = folder.path() / "training.mlir";
  CompileOptions options{.targets = {"cpu:x86-64-v3"}, .invariant = true};
  for (const char* phase : {"import", "fuse", "schedule"}) {
    options.stopAfter = phase;
    EXPECT_EQ(problem(options, model), std::string("--invariant is held against what stands behind phase 'schedule', and --stop-after ") + phase +
                                           " ends before: leave one of them out");
  }
  options.stopAfter = "plan";
  EXPECT_EQ(problem(options, model), "");

  CompileOptions before{.train = true, .stopAfter = "grad"};
  std::ofstream(dump) << compileFile(patchedModel("switch-lm.json"), before).text;
  options.from = "fuse";
  EXPECT_EQ(problem(options, dump), "--invariant is for inference and generation, and this is a dump for training: leave it out");
}

TEST(Phases, WhatCannotBeReadIsNamed) {
  TemporaryFolder folder;
  auto nowhere = folder.path() / "nowhere.json";
  CompileOptions resume;
  resume.from = "schedule";
  for (const CompileOptions& options : {CompileOptions(), resume})
    for (const std::filesystem::path& path : {nowhere, folder.path()})
      EXPECT_EQ(problem(options, path, Fault::Data), path.string() + ": cannot be read");
  std::ofstream(folder.path() / "empty.json");
  EXPECT_THAT(problem({}, folder.path() / "empty.json", Fault::Model), testing::HasSubstr("empty.json:1:1")) << "nothing in it is a mistake of the model";
}

TEST(Phases, DumpsThatAreNoneAreErrorsOfTheirLine) {
  TemporaryFolder folder;
  auto file = folder.path() / "broken.mlir";
  CompileOptions options;
  options.from = "schedule";
  for (auto [text, words] : {std::pair("module { this is not a module }", "broken.mlir:1:"),
                             std::pair("func.func @forward(%r: !moe.routing<3 experts, \"4\" tokens, 2 choices>) {\n  return\n}\n",
                                       "broken.mlir:1:1: error: @forward takes '!moe.routing<3 experts, \"4\" tokens, 2 choices>'; what a function")}) {
    std::ofstream(file) << text;
    EXPECT_THAT(problem(options, file, Fault::Model), testing::HasSubstr(words));
  }
}

} // namespace moec::test
