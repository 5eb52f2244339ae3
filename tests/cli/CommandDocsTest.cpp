// What is made from the table of options is true and whole: docs/COMMANDS.md, man pages, examples.

#include "compiler/cli/CommandPages.h"
#include "compiler/cli/CommandTree.h"
#include "compiler/cli/ValueKinds.h"
#include "tests/cli/Process.h"

#include <CLI/CLI.hpp>

using namespace moec::test;
using testing::HasSubstr;

namespace {

class CommandDocs : public CommandTest {
protected:
  std::unique_ptr<CLI::App> root = moec::cli::makeCommandTree();

  std::vector<const CLI::App*> all() const {
    std::vector<const CLI::App*> found{root.get()};
    for (size_t i = 0; i < found.size(); ++i)
      for (const CLI::App* inner : moec::cli::commandsOf(*found[i]))
        found.push_back(inner);
    return found;
  }
};

TEST_F(CommandDocs, TheReadmeIsTheTable) {
  EXPECT_EQ(slurp(fs::path(MOEC_SOURCE) / "docs/COMMANDS.md"), moec::cli::commandsReadme(*root)) << "run: write_command_docs --readme docs/COMMANDS.md";
}

TEST_F(CommandDocs, EveryCommandHasExamplesAndHelp) {
  for (const CLI::App* command : all()) {
    std::string name = moec::cli::fullName(*command);
    EXPECT_THAT(command->get_footer(), HasSubstr("moec ")) << name;
    for (const moec::cli::OptionView& option : moec::cli::optionsOf(*command))
      EXPECT_FALSE(option.description.empty()) << name << " " << option.heading();
  }
}

/// The options in the examples exist, and the values of a list of words are among them.
TEST_F(CommandDocs, ExamplesAreCommands) {
  for (const CLI::App* command : all()) {
    std::istringstream lines(command->get_footer());
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("moec "))
        continue;
      std::istringstream words(line);
      std::string word;
      words >> word;
      const CLI::App* named = root.get();
      std::string kind;
      while (words >> word) {
        if (const moec::cli::ValueKind* known = moec::cli::findValueKind(kind); known && !known->words.empty() && !known->isList && !known->isFile) {
          EXPECT_THAT(known->words, testing::Contains(word)) << line;
        }
        kind.clear();
        auto inner = moec::cli::commandsOf(*named);
        if (auto found = std::ranges::find(inner, word, [](const CLI::App* app) { return app->get_name(); }); found != inner.end()) {
          named = *found;
        } else if (word.starts_with("-")) {
          bool found = false;
          for (const moec::cli::OptionView& option : moec::cli::optionsOf(*named))
            if (std::ranges::find(option.names, word) != option.names.end()) {
              found = true;
              kind = option.value;
            }
          EXPECT_TRUE(found) << line << ": " << word;
        }
      }
      EXPECT_NE(named, root.get()) << line;
    }
  }
}

TEST_F(CommandDocs, ManPagesAreReadable) {
  auto pages = moec::cli::manPages(*root);
  EXPECT_EQ(pages.size(), 1 + moec::cli::commandsOf(*root).size());
  if (std::system("man --version > /dev/null 2>&1") != 0)
    GTEST_SKIP() << "[SKIP] man is not installed";
  for (const auto& [name, text] : pages) {
    std::string page = file(name, text);
    ASSERT_EQ(std::system(fmt::format("MANWIDTH=300 man --warnings=w -l '{0}' > '{0}.txt' 2> '{0}.err'", page).c_str()), 0) << name;
    EXPECT_EQ(slurp(page + ".err"), "") << name;
    EXPECT_THAT(slurp(page + ".txt"), HasSubstr("EXAMPLES")) << name;
  }
}

} // namespace
