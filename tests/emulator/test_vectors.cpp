// Every row of the opcode table does what the PTX manual says, by the cases in vectors/ (their form: vectors/README.md).

#include "runtime/emulator/Opcodes.h"
#include "tests/emulator/Harness.h"
#include "tests/emulator/VectorReplay.h"

#include <set>

namespace moec::emulator::test {
namespace {

const std::vector<VectorCase>& allCases() {
  static const std::vector<VectorCase> all = readVectors(MOEC_TEST_VECTORS);
  return all;
}

void runAll(bool portable, bool laneByLane) {
  for (const VectorCase& c : allCases()) {
    Device device(c.target);
    Options options;
    options.portable = portable;
    device.emulator().setOptions(options);
    EXPECT_EQ(replayVector(c, device.table(), {laneByLane, [&](cuda::Result) { return device.emulator().lastError(); }}), "") << c.name();
  }
}

TEST(Vectors, AgreeWithTheManual) { runAll(false, false); }
TEST(Vectors, AgreeWithTheManualWithoutVectorInstructions) { runAll(true, false); }
TEST(Vectors, AgreeWithTheManualLaneByLane) { runAll(false, true); }

TEST(Vectors, AWrongResultIsTold) {
  VectorCase c{.file = "here", .line = 1, .opcode = "add.u32", .types = {"b32", "b32", "b32"}, .inputs = {"2", "3"}, .body = {}, .expected = {"6"}};
  Device device(c.target);
  EXPECT_EQ(replayVector(c, device.table(), {}), "got 0x5, expected 0x6");
  c.expected = {"5"};
  EXPECT_EQ(replayVector(c, device.table(), {}), "");
  VectorCase block{.file = "here", .line = 2, .opcode = "add", .types = {}, .inputs = {}, .body = "add.u32 %out, %t, 7;\n", .expected = {"7", "8", "10"}};
  EXPECT_EQ(replayVector(block, device.table(), {}), "thread 2: got 0x9, expected 0xa");
}

// An order of lanes shows in what an atom returns: by turns it is the order of the threads, and so on every GPU.
TEST(Vectors, RunAtomsByTurnsOnly) {
  for (const VectorCase& c : allCases())
    EXPECT_EQ(c.ptx(true).find("TURN:") != std::string::npos, c.opcode == "atom" && c.types.empty() && c.body.find("bar.") == std::string::npos) << c.name();
}

TEST(Vectors, RunWhereTheirTargetDoes) {
  VectorCase c;
  c.target = "sm_80";
  EXPECT_EQ(vectorNeeds(c, 8, 0), "");
  EXPECT_EQ(vectorNeeds(c, 12, 0), "");
  EXPECT_EQ(vectorNeeds(c, 7, 5), "made for sm_80");
  c.target = "sm_90a";
  EXPECT_EQ(vectorNeeds(c, 9, 0), "");
  EXPECT_EQ(vectorNeeds(c, 10, 0), "made for sm_90a");
}

TEST(Vectors, CoverEveryOpcode) {
  std::set<std::string> covered;
  for (const VectorCase& c : allCases())
    covered.insert(c.opcode.substr(0, c.opcode.find('.')));
  for (const Opcode& row : opcodes(0))
    EXPECT_TRUE(covered.count(row.mnemonic)) << "no vector for " << row.mnemonic;
  EXPECT_GT(allCases().size(), 250u);
}

} // namespace
} // namespace moec::emulator::test
