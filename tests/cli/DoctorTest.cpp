#include "tests/cli/Process.h"

#include <nlohmann/json.hpp>

using namespace moec::test;
using testing::HasSubstr;

namespace {

class Doctor : public CommandTest {
protected:
  nlohmann::json checks() const {
    Outcome outcome = moec({"doctor", "--json"});
    auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    EXPECT_TRUE(json.is_object()) << outcome.out << outcome.err;
    nlohmann::json byName;
    for (const auto& check : json["checks"])
      byName[check["name"]] = check;
    return byName;
  }
};

TEST_F(Doctor, AHealthyMachineIsWell) {
  environment = {{"MOEC_COMPILER", path("absent.so")}}; // compiled programs run without it
  Outcome outcome = moec({"doctor"});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  for (const char* name : {"cpu", "threads", "kernel images", "compiler", "nvrtc", "cuda driver", "cache", "tuning", "disk"})
    EXPECT_THAT(outcome.out, HasSubstr(std::string("  ") + name + " ")) << outcome.out;
  auto found = checks();
  std::string build = found["moec"]["found"];
  ASSERT_THAT(build, testing::MatchesRegex("version [0-9.]+, build [0-9.]+-[0-9a-f]+"));
  EXPECT_THAT(moec({"--version"}).out, HasSubstr(build.substr(build.rfind(' ') + 1)));
  EXPECT_EQ(found["cpu"]["status"], "ok");
  EXPECT_EQ(found["kernel images"]["status"], "ok");
  EXPECT_EQ(found["cache"]["status"], "ok");
  EXPECT_THAT(found["cache"]["found"].get<std::string>(), HasSubstr(path("cache/moec") + ": writable, 0 files"));
  EXPECT_EQ(found["compiler"]["status"], "warn");
  EXPECT_THAT(found["compiler"]["found"].get<std::string>(), HasSubstr(path("absent.so")));
}

TEST_F(Doctor, ALibraryOfNoBuildFails) {
  environment = {{"MOEC_COMPILER", file("wrong.so", "no library")}};
  Outcome outcome = moec({"doctor"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.out, HasSubstr("fail  compiler"));
  EXPECT_THAT(outcome.out, HasSubstr("to do: "));
  EXPECT_THAT(outcome.err, HasSubstr("moec does not work here: compiler"));
}

TEST_F(Doctor, ACudaDriverThatIsTooOldIsNamed) {
  environment = {{"LD_LIBRARY_PATH", MOEC_OLD_DRIVER_FOLDER}, {"MOEC_COMPILER", path("absent.so")}};
  auto found = checks();
  EXPECT_EQ(found["cuda driver"]["status"], "warn");
  EXPECT_EQ(found["cuda driver"]["found"], "the CUDA driver (libcuda.so.1) is of CUDA 11.8; 12.0 or newer is needed");
}

TEST_F(Doctor, ACacheThatCannotBeWrittenIsAWarning) {
  environment = {{"XDG_CACHE_HOME", file("no-folder", "")}, {"MOEC_COMPILER", path("absent.so")}};
  auto found = checks();
  EXPECT_EQ(found["cache"]["status"], "warn");
  EXPECT_THAT(found["cache"]["found"].get<std::string>(), HasSubstr("Not a directory"));
  EXPECT_THAT(found["cache"]["remedy"].get<std::string>(), HasSubstr("XDG_CACHE_HOME"));
}

} // namespace
