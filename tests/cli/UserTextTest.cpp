// CUDA text that a user edits, through the command: the texts are written, edited here as a user would, compiled and run by the PTX emulator, which names
// a planted mistake at the line of the user's file.

#include "runtime/Compile.h"
#include "runtime/core/CudaImage.h"
#include "tests/cli/Process.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

using namespace moec::test;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

namespace {

const std::string kTarget = "cuda:sm_90a", kDevice = "ptx-emulator:sm_90a";

std::string model(const std::string& layers) { return R"({"name": "m", "inputs": {"x": {"shape": ["batch", 16]}}, "model": [)" + layers + "]}"; }

/// One kernel of kind rows, and one of kind matmul.
const std::string kNorm = R"({"kind": "layer_norm"})", kLinear = R"({"kind": "linear", "out": 10, "name": "scores"})";

class UserText : public CommandTest {
protected:
  void SetUp() override {
    CommandTest::SetUp();
    if (std::string why = moec::missingCudaCompiler(); !why.empty())
      GTEST_SKIP() << "[SKIP] " << why;
    nlohmann::json rows;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 16; ++j)
        rows[i].push_back(0.25 * ((7 * i + 3 * j) % 11) - 1);
    file("x.json", rows.dump());
  }

  /// Writes the texts of a model, m.json, to a folder.
  void emitTexts(const std::string& layers, const std::string& to = "texts") {
    file("m.json", model(layers));
    Outcome outcome = moec({"compile", "m.json", "--target", kTarget, "--emit", "cuda", "--kernels", to});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  std::vector<fs::path> textsIn(const std::string& name) const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder / name))
      paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  /// The one text in a folder.
  fs::path textIn(const std::string& name) const {
    auto paths = textsIn(name);
    EXPECT_EQ(paths.size(), 1u);
    return paths.at(0);
  }

  Outcome compile(const std::string& kernels, const std::string& output = "m.moec") {
    return moec({"compile", "m.json", "--target", kTarget, "--kernels", kernels, "-o", output});
  }
  Outcome run(const std::string& program) { return moec({"run", program, "--device", kDevice, "--init", "0", "--input", "x=x.json", "--json"}); }
  std::vector<double> scores(const std::string& program) {
    Outcome outcome = run(program);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::vector<double> all;
    auto outputs = nlohmann::json::parse(outcome.out)["outputs"];
    for (const auto& row : outputs.begin().value()["values"])
      all.insert(all.end(), row.begin(), row.end());
    return all;
  }

  /// Replaces what a text has exactly once.
  static void edit(const fs::path& path, const std::string& from, const std::string& to) {
    std::string text = slurp(path);
    size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    ASSERT_EQ(text.find(from, at + 1), std::string::npos) << from << " stands there twice";
    std::ofstream(path, std::ios::binary) << text.replace(at, from.size(), to);
  }
  /// Of the one line that holds the words.
  static int lineOf(const std::string& text, const std::string& words) {
    size_t at = text.find(words);
    EXPECT_NE(at, std::string::npos) << words;
    EXPECT_EQ(text.find(words, at + 1), std::string::npos) << words << " stands there twice";
    return static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n')) + 1;
  }
};

TEST_F(UserText, AnEditedTextTakesTheKernelsPlace) {
  emitTexts(kNorm + ", " + kLinear);
  ASSERT_EQ(moec({"compile", "m.json", "--target", kTarget, "-o", "own.moec", "--dump-phases", "phases"}).code, 0);
  // Unedited, the texts give the same results.
  ASSERT_EQ(compile("texts", "same.moec").code, 0);
  std::vector<double> own = scores("own.moec");
  EXPECT_EQ(scores("same.moec"), own);

  for (const fs::path& path : textsIn("texts"))
    if (path.filename().string().starts_with("matmul"))
      edit(path, "= sums[m][n] + ", "= 2.0f + sums[m][n] + ");
    else
      fs::remove(path); // this kernel stays moec's
  Outcome compiled = compile("texts", "edited.moec");
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  std::vector<double> edited = scores("edited.moec");
  ASSERT_EQ(edited.size(), 30u);
  for (size_t i = 0; i < own.size(); ++i)
    EXPECT_NEAR(edited[i], own[i] + 2, 1e-5) << i;
  // From the dump behind which kernels are emitted: the same program.
  Outcome resumed = moec({"compile", "phases/5-plan.sm_90a.mlir", "--from", "emit", "--kernels", "texts", "-o", "resumed.moec"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(slurp(path("resumed.moec")), slurp(path("edited.moec")));
  // Caches hold neither for the other.
  ASSERT_EQ(moec({"compile", "m.json", "--target", kTarget, "-o", "again.moec"}).code, 0);
  EXPECT_EQ(scores("again.moec"), own);
  edit(textIn("texts"), "= 2.0f + sums", "= 3.0f + sums");
  ASSERT_EQ(compile("texts", "more.moec").code, 0);
  EXPECT_NEAR(scores("more.moec")[0], own[0] + 3, 1e-5);
}

TEST_F(UserText, TheUsersTextCanBeSeenAsPtx) {
  emitTexts(kLinear);
  edit(textIn("texts"), "= sums[m][n] + ", "= 1234.0f + sums[m][n] + ");
  Outcome ptx = moec({"compile", "m.json", "--target", kTarget, "--emit", "ptx", "--kernels", "texts"});
  ASSERT_EQ(ptx.code, 0) << ptx.err;
  EXPECT_THAT(ptx.out, AllOf(HasSubstr("0f449A4000"), HasSubstr("\"texts/matmul_")));
}

TEST_F(UserText, AnEditedFileIsNotWrittenOver) {
  emitTexts(kNorm + ", " + kLinear);
  auto paths = textsIn("texts");
  ASSERT_EQ(paths.size(), 2u);
  fs::remove(paths[0]);
  std::string whole = slurp(paths[1]);
  std::ofstream(paths[1], std::ios::app) << "// mine\n";
  std::vector<std::string> emit{"compile", "m.json", "--target", kTarget, "--emit", "cuda", "--kernels", "texts"};
  expectFailure(emit, 1, "texts/" + paths[1].filename().string() + ": differs from moec's text of this kernel");
  EXPECT_FALSE(fs::exists(paths[0])) << "nothing is written beside an error";
  EXPECT_EQ(slurp(paths[1]), whole + "// mine\n");
  fs::remove(paths[1]);
  Outcome outcome = moec(emit);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("scores (written)"));
  EXPECT_EQ(slurp(paths[1]), whole);
  EXPECT_THAT(moec(emit).out, AllOf(HasSubstr("scores (as it was)"), Not(HasSubstr("written"))));
}

TEST_F(UserText, NamesAreHeldAgainstTheKernels) {
  emitTexts(kLinear);
  fs::path text = textIn("texts");
  std::string name = text.filename().string(), typo = name;
  typo[9] = typo[9] == '0' ? '1' : '0';
  fs::rename(text, folder / "texts" / typo);
  std::vector<std::string> compile{"compile", "m.json", "--target", kTarget, "--kernels", "texts"};
  expectFailure(compile, 1, "texts/" + typo + ": the program for cuda:sm_90a has no kernel of this name; did you mean \"" + name + "\"?");
  expectFailure(compile, 1, "known:\n  " + name + ": scores\n");
  EXPECT_FALSE(fs::exists(path("m.moec")));
  // What the kernel computes has changed: its name has, too.
  fs::rename(folder / "texts" / typo, text);
  file("m.json", model(R"({"kind": "linear", "out": 11, "name": "scores"})"));
  expectFailure(compile, 1, "texts/" + name + ": the program");
  // The other target's kernels are no one's here, and someone's where both are compiled.
  file("m.json", model(kLinear));
  expectFailure({"compile", "m.json", "--target", "cuda:sm_80", "--kernels", "texts"}, 1, "the program for cuda:sm_80 has no kernel");
  EXPECT_EQ(moec({"compile", "m.json", "--target", "cuda:sm_80,cuda:sm_90a,cpu:x86-64-v3", "--kernels", "texts"}).code, 0);

  expectFailure({"compile", "m.json", "--target", kTarget, "--kernels", "nowhere"}, 1, "nowhere: cannot be read as a folder of CUDA texts: No such file");
  fs::create_directories(folder / "empty");
  expectFailure({"compile", "m.json", "--target", kTarget, "--kernels", "empty"}, 1, "empty: holds no CUDA text");
  std::string ofNothing = "texts/" + name + ": cannot be read as CUDA text: it is empty, no file, or not readable";
  std::string whole = slurp(text);
  std::ofstream(text, std::ios::binary | std::ios::trunc);
  expectFailure(compile, 1, ofNothing);
  fs::remove(text);
  fs::create_directories(text);
  expectFailure(compile, 1, ofNothing);
  fs::remove(text);
  std::ofstream(text, std::ios::binary) << whole;
  expectFailure({"compile", "m.json", "--target", "cpu:x86-64-v3", "--kernels", "texts"}, 2, "kernels of cpu:x86-64-v3 have none");
  expectFailure({"compile", "m.json", "--kernels", "texts"}, 2, "name a CUDA target");
  expectFailure({"compile", "m.json", "--target", kTarget, "--stop-after", "fuse", "--kernels", "texts"}, 2, "does not run with --stop-after fuse");
}

TEST_F(UserText, ARefusedTextIsNamedAtItsLine) {
  emitTexts(kNorm);
  fs::path text = textIn("texts");
  std::string name = text.filename().string(), shown = "moec: error: texts/" + name, whole = slurp(text);
  std::string function = name.substr(0, name.size() - 3) + "_rows";
  auto refused = [&](const std::string& from, const std::string& to, const std::string& words) {
    std::ofstream(text, std::ios::binary) << whole;
    edit(text, from, to);
    Outcome outcome = compile("texts");
    EXPECT_EQ(outcome.code, 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words)) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith(shown));
    EXPECT_FALSE(fs::exists(path("m.moec")));
  };
  std::string mean = "const float mean0 = total0", meanLine = shown + ":" + std::to_string(lineOf(whole, mean)) + ": error: ";
  refused(mean, "const float mean0 = totl0", meanLine + "identifier \"totl0\" is undefined");
  refused(mean, "asm volatile(\"bad.word %0;\" :: \"r\"(lane)); " + mean, meanLine + "ptxas: ");
  // ptxas names no line of what is too much for a function.
  refused(mean, "__shared__ volatile float big[60000]; big[lane] = 1; " + mean,
          ": error: ptxas: Entry function '" + function + "' uses too much shared data (");
  std::string functionLine = "texts/" + name + ":" + std::to_string(lineOf(whole, function + "(")) + ": error: ";
  refused("    const float* __restrict__ in2,\n", "", functionLine + "this function must keep its parameters");
  refused("    long long n0,\n", "    int n0,\n", functionLine + "this function must keep its parameters");
  refused("    long long n0,\n", "    int n0,\n", "\n  expected: extern \"C\" __global__ void " + function + "(const float* ");
  refused("extern \"C\" __global__", "__global__", functionLine);
  refused(function + "(", "renamed(", ": error: the text defines no function " + function + "\n  expected: ");
  refused("__launch_bounds__(128, 8)", "__launch_bounds__(64)", "__launch_bounds__ of " + function + " allow 64 threads, and it is launched with 128");
}

TEST_F(UserText, AllRefusedTextsAreNamed) {
  emitTexts(kNorm + "," + kLinear);
  std::vector<fs::path> texts = textsIn("texts");
  ASSERT_GE(texts.size(), 2u);
  for (const fs::path& text : texts)
    std::ofstream(text, std::ios::app) << "wrong words;\n";
  Outcome outcome = compile("texts");
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  for (const fs::path& text : texts)
    EXPECT_THAT(outcome.err, HasSubstr("texts/" + text.filename().string() + ":")) << outcome.err;
}

/// The names of files are held against the kernels of the last plan, behind which the kernels of the first may still be on their way.
TEST_F(UserText, WhatIsWrongWithTheFirstPlansKernelsIsToldFirst) {
  file("m.json", model(kNorm));
  ASSERT_EQ(moec({"compile", "m.json", "--target", "cuda:sm_80", "--emit", "cuda", "--kernels", "texts"}).code, 0);
  fs::path text = textIn("texts");
  file("texts/rows_0.cu", slurp(text));
  std::vector<std::string> compile{"compile", "m.json", "--target", "cuda:sm_80," + kTarget, "--kernels", "texts"};
  expectFailure(compile, 1, "texts/rows_0.cu: the program");
  std::ofstream(text, std::ios::app) << "wrong words;\n";
  Outcome outcome = moec(compile);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, StartsWith("moec: error: texts/" + text.filename().string() + ":"));
}

TEST_F(UserText, AnEndlessKernelEndsAtTheLimit) {
  emitTexts(kNorm);
  edit(textIn("texts"), "  const float mean0 = ", "  for (volatile int i = 0; i < 1;) {}\n  const float mean0 = ");
  ASSERT_EQ(compile("texts").code, 0);
  Outcome outcome = moec({"run", "m.moec", "--device", kDevice, "--init", "0", "--input", "x=x.json", "--max-instructions", "50000"});
  EXPECT_EQ(outcome.code, 4) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("hang: the launch has run 50001 warp instructions")) << outcome.err;
}

TEST_F(UserText, AZeroByteInATextIsNamed) {
  emitTexts(kNorm);
  fs::path text = textIn("texts");
  size_t size = slurp(text).size();
  std::ofstream(text, std::ios::binary | std::ios::app) << std::string("\0static_assert(false);\n", 23);
  expectFailure({"compile", "m.json", "--target", kTarget, "--kernels", "texts"}, 1,
                "texts/" + text.filename().string() + ": is no CUDA text: its byte " + std::to_string(size) + " is zero");
}

TEST_F(UserText, AMissingTemporaryFolderIsNamed) {
  emitTexts(kNorm);
  environment = {{"TMPDIR", "/nonexistent/tmp"}};
  std::ofstream(textIn("texts"), std::ios::app) << "// mine\n"; // compiled by no one yet
  expectFailure({"compile", "m.json", "--target", kTarget, "--kernels", "texts"}, 5, "/nonexistent/tmp: cannot be used as the folder of temporary files");
}

TEST_F(UserText, ATextThatCrashesNvrtcIsNamed) {
  emitTexts(kNorm);
  fs::path text = textIn("texts");
  edit(text, "  const float mean0 = ",
       "  asm volatile(\"stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};\" :: \"r\"(0), \"r\"(0), \"r\"(0), \"r\"(0), \"r\"(0));\n"
       "  const float mean0 = ");
  Outcome outcome = compile("texts");
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("moec: error: texts/" + text.filename().string() + ":"));
  if (outcome.err.find("crashed") == std::string::npos)
    GTEST_SKIP() << "[SKIP] this NVRTC does not crash on the text that 13.0 crashes on";
  EXPECT_THAT(outcome.err, HasSubstr(": NVRTC crashed on the text (Segmentation fault)\n"));
}

/// What the emulator reports first of a launch.
struct Found {
  std::string kernel, file, opcode, kind, thread;
  int line = 0, ptxLine = 0;
};

Found firstFinding(const std::string& report) {
  static const std::regex finding(R"(\n  (\S+) at (.*):(\d+) \(ptx line (\d+), (\S+)\): ([a-z ]+): .*thread (\(\d+,\d+,\d+\))( |\n))");
  std::smatch match;
  EXPECT_TRUE(std::regex_search(report, match, finding)) << report;
  if (match.empty())
    return {};
  return {match[1], match[2], match[5], match[6], match[7], std::stoi(match[3]), std::stoi(match[4])};
}

class PlantedFault : public UserText {
protected:
  /// Compiles the only text of the model with an edit, runs it, and holds the report against the kind and the line, and the PTX line against the PTX.
  Found plant(const std::string& kernels, const std::string& from, const std::string& to, const std::string& lineWords, const std::string& kind) {
    fs::path text = textIn(kernels);
    std::string symbol = text.stem().string(), program = "planted.moec";
    EXPECT_EQ(compile(kernels, program).code, 0);
    EXPECT_EQ(run(program).code, 0) << "before the edit";
    edit(text, from, to);
    int line = lineOf(slurp(text), lineWords);
    Outcome compiled = compile(kernels, program);
    EXPECT_EQ(compiled.code, 0) << compiled.err;
    Outcome outcome = run(program);
    EXPECT_EQ(outcome.code, 4) << outcome.err; // a fault in a kernel; 3 would be a device that is not there
    Found found = firstFinding(outcome.err);
    EXPECT_THAT(found.kernel, StartsWith(symbol));
    EXPECT_EQ(found.file, kernels + "/" + symbol + ".cu");
    EXPECT_EQ(found.line, line) << outcome.err;
    EXPECT_EQ(found.kind, kind);
    EXPECT_THAT(outcome.err, HasSubstr("\n    " + std::to_string(line) + " | ")) << "the line itself";
    expectPtxLine(program, symbol, found);
    return found;
  }

  /// The PTX line is of the instruction, and made from the source line.
  void expectPtxLine(const std::string& program, const std::string& symbol, const Found& found) {
    moec::Program compiled = moec::Program::load(path(program));
    std::istringstream ptx(moec::CudaImage::parse(compiled.kernel(kTarget, symbol), symbol).ptx);
    std::string line;
    int lastLoc = 0;
    for (int i = 0; i < found.ptxLine && std::getline(ptx, line); ++i) {
      std::istringstream words(line);
      std::string directive;
      int fileNumber = 0, sourceLine = 0;
      if (words >> directive >> fileNumber >> sourceLine && directive == ".loc")
        lastLoc = sourceLine;
    }
    EXPECT_THAT(line, HasSubstr(found.opcode));
    EXPECT_EQ(lastLoc, found.line);
  }
};

TEST_F(PlantedFault, AReadOutOfBoundsInTheKernelsOwnLines) {
  emitTexts(kNorm);
  // The norm has 16 weights: the thread of the last column reads behind them.
  Found found = plant("texts", "= in1[column];", "= in1[column + 1];", "= in1[column + 1];", "out of bounds");
  EXPECT_THAT(found.opcode, StartsWith("ld.global"));
  EXPECT_EQ(found.thread, "(15,0,0)");
}

TEST_F(PlantedFault, ASharedMemoryRaceInASkeletonsLines) {
  emitTexts(kLinear);
  // Without the barrier, a slice is read that other threads copy. Where it is read is a line of async_copy.cuh, in the middle of the user's file.
  Found found = plant("texts", "__syncthreads(); // this slice is there for all", "// this slice is there for all",
                      "return *(const Chunk<T>*)(slice + place(row, chunkOfRow));", "race");
  EXPECT_THAT(found.opcode, StartsWith("ld.shared"));
  EXPECT_EQ(found.thread, "(0,0,0)");
}

TEST_F(PlantedFault, ADivergentBarrier) {
  emitTexts(kNorm);
  Found found =
      plant("texts", "  const float mean0 = ", "  if (lane < 5)\n    __syncthreads(); // planted\n  const float mean0 = ", "__syncthreads(); // planted",
            "divergent barrier");
  EXPECT_THAT(found.opcode, StartsWith("bar"));
  EXPECT_EQ(found.thread, "(0,0,0)");
}

TEST_F(PlantedFault, TheFileIsNamedAsTheFolderWas) {
  std::string odd = "m\u00e9 \"1\"", absolute = path("else where");
  for (const std::string& name : {std::string("./texts/../other"), odd, absolute}) {
    fs::create_directories(folder / "texts");
    emitTexts(kNorm, name);
    plant(name, "= in1[column];", "= in1[column + 1];", "= in1[column + 1];", "out of bounds");
  }
}

} // namespace
