// merge.awk: each case once, and no batch that went wrong without a failure.

#include "tests/runner/Planted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moec::test {
namespace {

using testing::HasSubstr;

std::string entry(const std::string& name, const std::string& status) {
  return "\t<testcase name=\"" + name + "\" classname=\"" + name + "\" time=\"1\" status=\"" + status + "\">\n\t\t<system-out>text of " + name +
         "</system-out>\n\t</testcase>\n";
}

std::string junit(const std::string& cases) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"Linux-c++\"\n\ttests=\"9\"\n\tfailures=\"0\"\n>\n" + cases + "</testsuite>\n";
}

struct Merged {
  Output output;
  std::string file;
};

Merged merge(const Folder& folder, const std::string& cases) {
  folder.write("ctest.xml", junit(cases));
  Output output = shell("awk -v reports=" + (folder / "").string() + " -v out=" + (folder / "out.xml").string() + " -f " + MOEC_MERGE + " " +
                        (folder / "ctest.xml").string());
  return {output, slurp(folder / "out.xml")};
}

const std::string passed = "\t<testcase name=\"S.a\" classname=\"t\" time=\"1\" status=\"run\"/>\n";
const std::string alsoPassed = "\t<testcase name=\"S.b\" classname=\"t\" time=\"1\" status=\"run\"/>\n";
const std::string failed =
    "\t<testcase name=\"S.c\" classname=\"t\" time=\"1\" status=\"fail\">\n\t\t<failure message=\"m\"/>\n\t\t<system-out>o</system-out>\n\t</testcase>\n";
const std::string skipped =
    "\t<testcase name=\"S.d\" classname=\"t\" time=\"1\" status=\"notrun\">\n\t\t<skipped message=\"\"/>\n\t\t<system-out>o</system-out>\n\t</testcase>\n";

TEST(Merge, CountsCasesInThePlaceOfTheirBatches) {
  Folder folder;
  folder.write("batch.t.1.xml", passed + skipped + "<!-- all 2 cases -->\n");
  folder.write("batch.t.2.xml", alsoPassed + "<!-- all 1 cases -->\n");
  Merged merged = merge(folder, entry("batch.t.1", "run") + entry("plain.one", "run") + entry("batch.t.2", "run") + entry("plain.skipped", "notrun"));
  EXPECT_EQ(merged.output.text, "3 passed, 0 failed, 2 skipped\n");
  EXPECT_EQ(merged.output.code, 0);
  EXPECT_THAT(merged.file, HasSubstr("tests=\"5\" failures=\"0\" disabled=\"0\" skipped=\"2\""));
  EXPECT_THAT(merged.file, HasSubstr("name=\"S.a\""));
  EXPECT_THAT(merged.file, HasSubstr("text of plain.one"));
  EXPECT_THAT(merged.file, Not(HasSubstr("batch.t")));
}

TEST(Merge, NamesTheCasesThatFailed) {
  Folder folder;
  folder.write("batch.t.1.xml", passed + failed + "<!-- all 2 cases -->\n");
  Merged merged = merge(folder, entry("batch.t.1", "fail") + entry("plain.one", "fail"));
  EXPECT_EQ(merged.output.text, "failed: S.c\nfailed: plain.one\n1 passed, 2 failed\n");
  EXPECT_EQ(merged.output.code, 1);
}

TEST(Merge, ABatchWithoutAReportFails) {
  Folder folder;
  for (const char* status : {"run", "fail"}) {
    Merged merged = merge(folder, entry("plain.one", "run") + entry("batch.t.1", status));
    EXPECT_EQ(merged.output.text, "failed: batch.t.1\n1 passed, 1 failed\n");
    EXPECT_EQ(merged.output.code, 1);
    EXPECT_THAT(merged.file, HasSubstr("text of batch.t.1"));
  }
}

TEST(Merge, ABatchWhoseReportBreaksOffFails) {
  Folder folder;
  folder.write("batch.t.1.xml", passed);
  Merged merged = merge(folder, entry("batch.t.1", "fail"));
  EXPECT_EQ(merged.output.text, "failed: batch.t.1\n1 passed, 1 failed\n");
}

TEST(Merge, ABatchThatLostACaseFails) {
  Folder folder;
  folder.write("batch.t.1.xml", passed + "<!-- all 2 cases -->\n");
  Merged merged = merge(folder, entry("batch.t.1", "run"));
  EXPECT_EQ(merged.output.text, "failed: batch.t.1\n1 passed, 1 failed\n");
  EXPECT_EQ(merged.output.code, 1);
}

TEST(Merge, ABatchThatFailedWithoutACaseFails) {
  Folder folder;
  folder.write("batch.t.1.xml", passed + "<!-- all 1 cases -->\n");
  Merged merged = merge(folder, entry("batch.t.1", "fail"));
  EXPECT_EQ(merged.output.text, "failed: batch.t.1\n1 passed, 1 failed\n");
  EXPECT_EQ(merged.output.code, 1);
}

TEST(Merge, NothingRunIsAFailure) {
  Folder folder;
  EXPECT_EQ(merge(folder, "").output.code, 1);
}

} // namespace
} // namespace moec::test
