// The files, the manifest and docs/STATUS.md agree with one another. That every kind of gate, expert and loss has goldens
// is tests/models'.

#include "tests/e2e/Support.h"
#include "tests/routing/Status.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

using namespace moec;
using namespace moec::test;

namespace {

std::string textOf(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

} // namespace

TEST(RoutingLists, TheManifestNamesEveryFile) {
  std::set<std::string> listed, there;
  for (const RoutingRow& row : routingRows())
    EXPECT_TRUE(listed.insert(row.file).second) << row.file;
  for (const auto& entry : std::filesystem::directory_iterator(sourceDir() / "tests/goldens/routing"))
    if (entry.path().extension() == ".safetensors")
      there.insert(entry.path().filename().string());
  EXPECT_EQ(listed, there) << "make_routing.py writes both";
}

TEST(RoutingLists, EveryRowHasSixCasesOrMoreWithWhatTheyAreFor) {
  for (const RoutingRow& row : routingRows()) {
    RoutingGolden golden(row);
    EXPECT_GE(row.cases.size(), 6u) << row.name;
    EXPECT_TRUE(row.name.starts_with(row.kind + ".")) << row.name;
    EXPECT_FALSE(row.version.empty()) << row.name;
    for (const std::string& name : row.cases)
      for (DType dtype : {DType::F32, DType::F64}) {
        std::string under = std::string(moec::name(dtype)) + "/";
        EXPECT_EQ(golden.part(name, under + "y", dtype).empty(), golden.refuses(name, "eval")) << row.name << ", " << name;
        EXPECT_EQ(golden.part(name, under + "gradients/", dtype).empty(), golden.refuses(name, "train")) << row.name << ", " << name;
      }
  }
}

// AllTest.cpp holds what the page says; here, that it is of these files, all of them run, and admits no difference.
TEST(RoutingLists, TheStatusPageIsOfTheseFilesAndNothingDiffers) {
  std::string page = textOf(sourceDir() / "docs/STATUS.md");
  EXPECT_EQ(page, statusText(routingRows(), {}, page)) << "write_routing_status docs/STATUS.md writes it from a run";
  EXPECT_EQ(page.find("differ**"), std::string::npos);
  EXPECT_EQ(page.find("not run"), std::string::npos);
}
