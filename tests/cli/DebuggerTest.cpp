// What a debugger and a profiler see of a kernel: its name always, with -g its line in the model; and files of the images where they are asked for.

#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

using namespace moec::test;
using testing::HasSubstr;

namespace {

const std::string kModel = R"({
  "name": "lines",
  "inputs": {"x": {"shape": ["batch", 16]}},
  "model": [
    {"kind": "layer_norm"},
    {"kind": "linear", "out": 8, "name": "y"}
  ]
}
)"; // the linear layer stands in line 6

class Debugger : public CommandTest {
protected:
  std::string program = path("lines.moec"), x = path("x.json");

  void compile(const std::vector<std::string>& options = {}) {
    std::string row = "[0";
    for (int i = 1; i < 16; ++i)
      row += ", " + std::to_string(i);
    file("x.json", "[" + row + "]]");
    std::vector<std::string> arguments{"compile", file("lines.json", kModel), "-o", program, "--target", "cpu:x86-64-v3"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    Outcome outcome = moec(arguments);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  std::string symbolOf(const std::string& kind) const {
    auto inspected = nlohmann::json::parse(moec({"inspect", program, "--json"}).out);
    for (const auto& kernel : inspected["kernels"])
      if (kernel["kind"] == kind)
        return kernel["symbol"];
    ADD_FAILURE() << "no kernel of kind " << kind;
    return {};
  }
  /// What gdb prints for the commands, which run the program.
  std::string gdb(const std::string& commands) const {
    std::string script = file("script.gdb", "set pagination off\nset breakpoint pending on\nset debuginfod enabled off\n" + commands);
    std::string line = fmt::format("cd '{}' && timeout -s KILL 120 gdb -q -nx -batch -x '{}' --args '{}' run '{}' --init 0 --threads 1 --input 'x={}' "
                                   "</dev/null >gdb.txt 2>&1",
                                   folder.string(), script, MOEC_BINARY, program, x);
    EXPECT_NE(std::system(line.c_str()), -1);
    return slurp(folder / "gdb.txt");
  }
  static std::string whyNoDebugger() {
    if (std::system("gdb --version >/dev/null 2>&1") != 0)
      return "gdb is not installed";
    std::string traced = "gdb -q -nx -batch -ex run --args true </dev/null 2>&1 | grep -q 'exited normally'";
    return std::system(traced.c_str()) == 0 ? "" : "gdb may not run processes here";
  }
};

TEST_F(Debugger, ABreakpointOnAKernelShowsItsNameInTheBacktrace) {
  if (std::string why = whyNoDebugger(); !why.empty())
    GTEST_SKIP() << "[SKIP] " << why;
  compile();
  std::string symbol = symbolOf("matmul");
  EXPECT_THAT(gdb("break " + symbol + "\nrun\nbacktrace\n"),
              testing::ContainsRegex("#0 .*" + symbol + "(.|\n)*moec::CpuExecutable::run(.|\n)*moec::Session::run"));
}

TEST_F(Debugger, WithLinesItShowsTheModel) {
  if (std::string why = whyNoDebugger(); !why.empty())
    GTEST_SKIP() << "[SKIP] " << why;
  compile({"-g"});
  std::string symbol = symbolOf("matmul");
  std::string shown = gdb("break " + symbol + "\nrun\nbacktrace 1\n");
  EXPECT_THAT(shown, testing::ContainsRegex("#0 .*" + symbol + ".* at .*lines.json:6\n"));
  EXPECT_THAT(shown, HasSubstr("{\"kind\": \"linear\", \"out\": 8, \"name\": \"y\"}"));
  // And the other way: a line of the model stops in its kernel.
  EXPECT_THAT(gdb("break lines.json:5\nrun\nbacktrace 1\n"), testing::ContainsRegex("lines.json:5\n"));
}

TEST_F(Debugger, LinesAreForCpuTargets) {
  expectFailure({"compile", file("lines.json", kModel), "-g", "--target", "cuda:sm_90a"}, 2, "-g: kernels of CPU targets know their lines");
  compile();
  expectFailure({"run", program, "-g", "--init", "0", "--input", "x=" + x}, 2, "-g changes how a model is compiled");
}

TEST_F(Debugger, KernelsRunFromFilesWhereAsked) {
  compile();
  std::vector<std::string> command{"run", program, "--init", "0", "--input", "x=" + x};
  Outcome plain = moec(command);
  command.insert(command.end(), {"--kernel-files", path("kernels")});
  for (int i = 0; i < 2; ++i) { // the second finds the files of the first
    Outcome outcome = moec(command);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, plain.out);
  }
  auto inspected = nlohmann::json::parse(moec({"inspect", program, "--json"}).out);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder / "kernels"))
    files.push_back(entry.path().filename().string());
  EXPECT_EQ(files.size(), inspected["kernels"].size());
  for (const auto& kernel : inspected["kernels"])
    EXPECT_THAT(files, testing::Contains(testing::StartsWith(kernel["symbol"].get<std::string>() + "-")));
  file("no folder", "");
  command.back() = path("no folder/kernels");
  expectFailure(command, 5, "no folder/kernels: cannot make the folder");
}

} // namespace
