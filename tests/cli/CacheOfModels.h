#pragma once
// A small model and the caches it is compiled with, by one process or many.

#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

namespace moec::test {

inline const std::string kSmall = R"({
  "name": "small",
  "inputs": {"x": {"shape": ["batch", 16]}},
  "model": [{"kind": "layer_norm"}, {"kind": "linear", "out": 8, "name": "y"}]
}
)";

class CacheOfModels : public CommandTest {
protected:
  std::string model = path("small.json");
  fs::path cache = folder / "cache" / "moec";

  void SetUp() override {
    CommandTest::SetUp();
    file("small.json", kSmall);
  }

  Outcome compile(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"compile", model, "-o", path("out.moec"), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome;
  }
  nlohmann::json counts(std::vector<std::string> more = {}) const { return nlohmann::json::parse(compile(std::move(more)).out); }
  std::string explain(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"cache", "explain", model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return moec(arguments).out;
  }
  std::vector<fs::path> entries(const char* of) const {
    std::vector<fs::path> result;
    std::error_code code;
    for (auto& entry : fs::directory_iterator(cache / of, code))
      result.push_back(entry.path());
    return result;
  }

  /// Many processes compile the model with one cache, and some of them clear and shrink it if asked to: every program is the same, and what is left is whole.
  void compileAtOnce(int processes, bool disturbed) {
    std::vector<Running> running;
    for (int i = 0; i < processes; ++i) {
      std::vector<std::string> arguments{"compile", model, "-o", path(fmt::format("{}.moec", i)), "--json", "--quiet"};
      if (disturbed && i % 4 == 1)
        arguments.insert(arguments.end(), {"--cache-limit", "30K"});
      running.push_back(start(arguments));
      if (disturbed && i % 8 == 3)
        running.push_back(start({"cache", "clear"}));
    }
    for (const Running& one : running) {
      Outcome outcome = finish(one);
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_EQ(outcome.err, "");
    }
    std::string first = slurp(path("0.moec"));
    EXPECT_FALSE(first.empty());
    for (int i = 1; i < processes; ++i)
      EXPECT_EQ(slurp(path(fmt::format("{}.moec", i))), first) << i;
    auto list = nlohmann::json::parse(moec({"cache", "list", "--json"}).out);
    for (const auto& entry : list["entries"])
      EXPECT_FALSE(entry.contains("damage")) << entry;
    for (const char* of : {"programs", "kernels"})
      for (const fs::path& entry : entries(of))
        EXPECT_THAT(entry.extension().string(), testing::AnyOf(".program", ".kernel")) << entry;
  }
};

} // namespace moec::test
