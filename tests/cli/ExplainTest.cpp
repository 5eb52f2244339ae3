// `moec explain` on every model of the zoo: each launch with its layer, its ops and its kernel, each MoE layer of the model with a gate and experts.

#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

#include <set>
#include <sstream>

using namespace moec::test;

namespace {

const fs::path kZoo = MOEC_SOURCE "/models/zoo";

std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kZoo))
    if (entry.path().extension() == ".json")
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Explain : public CommandTest, public testing::WithParamInterface<std::string> {
protected:
  Explain() { shareCompiledKernels(); }
};

TEST_P(Explain, EveryLaunchHasItsLayerItsOpsAndItsKernel) {
  std::string model = (kZoo / (GetParam() + ".json")).string();
  Outcome outcome = moec({"explain", model, "--json", "--target", "cpu:x86-64-v3"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::vector<nlohmann::json> launches;
  for (std::string line; std::getline(lines, line);)
    launches.push_back(nlohmann::json::parse(line));
  auto inspected = nlohmann::json::parse(moec({"inspect", model, "--json", "--target", "cpu:x86-64-v3"}).out);
  ASSERT_EQ(launches.size(), inspected["prepare"].size() + inspected["forward"].size());
  ASSERT_FALSE(launches.empty());
  std::set<std::string> kernels;
  for (const auto& kernel : inspected["kernels"])
    kernels.insert(kernel["symbol"]);
  for (const auto& launch : launches) {
    EXPECT_FALSE(launch["ops"].empty()) << launch;
    EXPECT_FALSE(launch["schedule"].get<std::string>().empty()) << launch;
    EXPECT_TRUE(kernels.contains(launch["kernel"].get<std::string>())) << launch;
  }
  // The text says the same: a line of ops and one of its kernel for each.
  Outcome text = moec({"explain", model, "--target", "cpu:x86-64-v3"});
  EXPECT_EQ(text.code, 0) << text.err;
  size_t count = 0;
  for (size_t at = 0; (at = text.out.find(" kernel: ", at)) != std::string::npos; ++at)
    ++count;
  EXPECT_EQ(count, launches.size());
  for (const auto& launch : launches)
    EXPECT_THAT(text.out, testing::HasSubstr(launch["kernel"].get<std::string>()));
}

INSTANTIATE_TEST_SUITE_P(Zoo, Explain, testing::ValuesIn(zoo()), [](const auto& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

} // namespace
