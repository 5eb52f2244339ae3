// Completion in the shells themselves: what a tabulator gives, by the script that `moec completion` prints.

#include "compiler/cli/Completion.h"
#include "compiler/cli/CommandTree.h"
#include "tests/cli/Process.h"

#include <CLI/CLI.hpp>

using namespace moec::test;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

namespace {

using Words = std::vector<std::string>;

Words lines(const std::string& text) {
  Words result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    result.push_back(line.substr(0, line.find('\t')));
  return result;
}

std::string quoted(const std::string& word) { return "'" + word + "'"; }

class Completion : public CommandTest {
protected:
  void SetUp() override {
    CommandTest::SetUp();
    for (const char* name : {"a.json", "b c.moec", "x.txt", "w.safetensors", "photo.png", "inner/q.png"}) {
      fs::create_directories((folder / name).parent_path());
      file(name, "");
    }
  }

  static bool has(const std::string& shell) { return std::system((shell + " --version > /dev/null 2>&1").c_str()) == 0; }

  /// Runs a script of a shell in the test's folder with the command on PATH.
  Words shell(const std::string& program, const std::string& script) const {
    std::string text = fmt::format("export PATH='{}':\"$PATH\"\ncd '{}'\n{}", fs::path(MOEC_BINARY).parent_path().string(), folder.string(), script);
    if (program == "fish")
      text = fmt::format("set -x PATH '{}' $PATH\ncd '{}'\n{}", fs::path(MOEC_BINARY).parent_path().string(), folder.string(), script);
    std::string source = file(".script", text), out = path(".answer");
    std::string flags = program == "bash" ? "--norc --noprofile" : program == "zsh" ? "-f" : "--no-config";
    EXPECT_EQ(std::system(fmt::format("HOME='{}' {} {} '{}' > '{}' 2> '{}.err'", folder.string(), program, flags, source, out, out).c_str()), 0)
        << slurp(out + ".err");
    return lines(slurp(out));
  }

  /// `pieces`: the line as bash splits it, at = and : too.
  Words bash(const std::string& line, const Words& pieces) const {
    std::string words;
    for (const std::string& piece : pieces)
      words += " " + quoted(piece);
    return shell("bash", fmt::format("source <(moec completion bash)\ncomplete -p moec >&2 || exit "
                                     "1\nCOMP_WORDS=({})\nCOMP_CWORD={}\nCOMP_LINE={}\n_moec "
                                     "2>/dev/null\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
                                     words, pieces.size() - 1, quoted(line)));
  }

  Words fish(const std::string& line) const { return shell("fish", fmt::format("moec completion fish | source\ncomplete -C {}\n", quoted(line))); }
};

TEST_F(Completion, BashCompletesCommandsOptionsAndValues) {
  EXPECT_THAT(bash("moec ru", {"moec", "ru"}), ElementsAre("run"));
  EXPECT_THAT(bash("moec run a.json --dev", {"moec", "run", "a.json", "--dev"}), ElementsAre("--device"));
  EXPECT_THAT(bash("moec compile --stop-after s", {"moec", "compile", "--stop-after", "s"}), ElementsAre("schedule"));
  EXPECT_THAT(bash("moec completion ", {"moec", "completion", ""}), ElementsAre("bash", "zsh", "fish"));
}

TEST_F(Completion, BashSplitsAtColonsAndEquals) {
  EXPECT_THAT(bash("moec run a.json --device ptx-emulator:sm_9", {"moec", "run", "a.json", "--device", "ptx-emulator", ":", "sm_9"}), ElementsAre("sm_90a"));
  EXPECT_THAT(bash("moec run a.json --device ptx-emulator:", {"moec", "run", "a.json", "--device", "ptx-emulator", ":"}), Contains("sm_80"));
  EXPECT_THAT(bash("moec compile --target cpu,cuda:sm_9", {"moec", "compile", "--target", "cpu,cuda", ":", "sm_9"}), ElementsAre("sm_90a"));
  EXPECT_THAT(bash("moec compile --target=cuda:sm_9", {"moec", "compile", "--target", "=", "cuda", ":", "sm_9"}), ElementsAre("sm_90a"));
}

TEST_F(Completion, BashOffersFilesOfFittingEndings) {
  EXPECT_THAT(bash("moec run ", {"moec", "run", ""}), UnorderedElementsAre("a.json", "b c.moec", "inner"));
  EXPECT_THAT(bash("moec run a.json --weights ", {"moec", "run", "a.json", "--weights", ""}), UnorderedElementsAre("w.safetensors", "inner"));
  EXPECT_THAT(bash("moec run a.json --input image=inner/", {"moec", "run", "a.json", "--input", "image", "=", "inner/"}), ElementsAre("inner/q.png"));
  EXPECT_THAT(bash("moec compile --dump-phases ", {"moec", "compile", "--dump-phases", ""}), ElementsAre("inner"));
}

TEST_F(Completion, FishCompletesTheSame) {
  if (!has("fish"))
    GTEST_SKIP() << "[SKIP] fish is not installed";
  EXPECT_THAT(fish("moec ru"), ElementsAre("run"));
  EXPECT_THAT(fish("moec run a.json --device ptx-emulator:sm_9"), ElementsAre("ptx-emulator:sm_90a"));
  EXPECT_THAT(fish("moec compile --target cpu,cuda:sm_9"), ElementsAre("cpu,cuda:sm_90a"));
  EXPECT_THAT(fish("moec run "), UnorderedElementsAre("a.json", "b c.moec", "inner/"));
  EXPECT_THAT(fish("moec run a.json --input image=inner/"), ElementsAre("image=inner/q.png"));
  EXPECT_THAT(fish("moec compile --dump-phases "), ElementsAre("inner/"));
}

TEST_F(Completion, ZshCompletesTheSame) {
  if (!has("zsh"))
    GTEST_SKIP() << "[SKIP] zsh is not installed";
  fs::create_directories(folder / "functions");
  std::ofstream(folder / "functions" / "_moec") << moec::cli::completionScript("zsh");
  // An interactive zsh behind a pseudo-terminal: a line and a tabulator go in, and what stands in the line afterwards
  // is read back by a widget.
  Words answer = shell("zsh", R"(zmodload zsh/zpty
ask() {
  local text
  zpty z zsh -f -i
  zpty -w z 'PS1= ; fpath=('$PWD'/functions $fpath); autoload -U compinit; compinit -u -D; show() { print -r -- "$BUFFER" >> line; BUFFER= ; echo DO""NE }; zle -N show; bindkey "^T" show; echo REA""DY'
  zpty -r z text '*READY*'
  zpty -n -w z "$1"$'\t\x14'
  zpty -r z text '*DONE*'
  zpty -d z
}
ask 'moec ru'
ask 'moec run a.json --device ptx-emulator:sm_9'
ask 'moec compile --target cpu,cuda:sm_9'
ask 'moec run a.json --input image=inner/'
ask 'moec compile --dump-phases inn'
cat line
)");
  EXPECT_THAT(answer, ElementsAre("moec run ", "moec run a.json --device ptx-emulator:sm_90a ", "moec compile --target cpu,cuda:sm_90a ",
                                  "moec run a.json --input image=inner/q.png ", "moec compile --dump-phases inner/"));
}

TEST_F(Completion, WhatStandsBeforeDecides) {
  auto root = moec::cli::makeCommandTree();
  auto words = [&](const Words& typed) {
    Words result;
    for (const auto& candidate : moec::cli::complete(*root, typed).candidates)
      result.push_back(candidate.word);
    return result;
  };
  EXPECT_THAT(words({"run", "m.json", ""}), ElementsAre()) << "one model is enough";
  EXPECT_THAT(words({"run", "--weights", "w", "--"}), Contains("--device")) << "an option's value is no positional";
  EXPECT_THAT(words({"run", "--no-cache", ""}), ElementsAre()) << "a flag takes no value";
  EXPECT_TRUE(moec::cli::complete(*root, {"run", "--no-cache", ""}).files);
  EXPECT_FALSE(moec::cli::complete(*root, {"run", "m.json", "--input", "im"}).files) << "a name stands before the file";
  EXPECT_THAT(words({"run", "--", "--"}), Not(Contains("--device")));
}

} // namespace
