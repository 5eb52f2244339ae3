// The committed inputs of every target, and all their beginnings and small changes, without a fuzzer.

#include "tests/fuzz/Targets.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace moec::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> corpus(const std::string& target) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(MOEC_SOURCE_DIR) / "tests/fuzz/corpus" / target))
    files.push_back(entry.path());
  if (target == "model")
    for (const auto& entry : fs::directory_iterator(fs::path(MOEC_SOURCE_DIR) / "models/zoo"))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class Corpus : public testing::TestWithParam<Target> {};

TEST_P(Corpus, IsTakenOrRefusedInPeace) {
  std::vector<fs::path> files = corpus(GetParam().name);
  ASSERT_GE(files.size(), 3u);
  int taken = 0;
  for (const fs::path& path : files) {
    std::ifstream stream(path, std::ios::binary);
    std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(stream), {}};
    ASSERT_NO_THROW(taken += GetParam().run(bytes)) << path;
    std::mt19937 random(1);
    for (int change = 0; change < 300; ++change) {
      std::vector<uint8_t> changed = bytes;
      if (change % 3 == 0)
        changed.resize(random() % (bytes.size() + 1));
      else
        for (int i = 0; i < change % 3 && !changed.empty(); ++i)
          changed[random() % changed.size()] = static_cast<uint8_t>(random());
      ASSERT_NO_THROW(GetParam().run(changed)) << path << ", change " << change;
    }
  }
  EXPECT_GE(taken, 2) << "changes of what is refused at its head try little";
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, testing::ValuesIn(targets()), [](const auto& info) { return info.param.name; });

} // namespace
} // namespace moec::fuzz
