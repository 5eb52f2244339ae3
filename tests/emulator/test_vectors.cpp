// Every row of the opcode table does what the PTX manual says, by the cases in vectors/ (their form: vectors/README.md).

#include "runtime/emulator/Opcodes.h"
#include "tests/emulator/Harness.h"
#include "tests/emulator/VectorReplay.h"

#include <algorithm>
#include <fmt/format.h>
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
    EXPECT_EQ(c.ptx(true).find("LANE_TURN:") != std::string::npos, c.opcode == "atom" && c.types.empty() && c.body.find("bar.") == std::string::npos)
        << c.name();
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

/// The error of loading a vector whose instruction is written otherwise; and the line where it stands.
std::string errorOf(VectorCase c, const std::string& opcode, int& line) {
  c.opcode = opcode;
  std::string ptx = c.ptx(false);
  line = 1 + int(std::count(ptx.begin(), ptx.begin() + std::ptrdiff_t(ptx.find("\n" + opcode + " ")) + 1, '\n'));
  Emulator& emulator = *Emulator::of(c.target);
  cuda::Module module = nullptr;
  if (emulator.table().moduleLoadData(&module, ptx.c_str(), 0, nullptr, nullptr) != cuda::kSuccess)
    return emulator.lastError();
  emulator.table().moduleUnload(module);
  return "";
}

// What the emulator does not know it does not pass over: of every instruction an opcode and a suffix of no meaning.
TEST(Vectors, UnknownOpcodesAndSuffixesAreNamedWithTheirLines) {
  for (const VectorCase& c : allCases()) {
    if (c.types.empty())
      continue;
    std::string mnemonic = c.opcode.substr(0, c.opcode.find('.'));
    int line = 0;
    std::string error = errorOf(c, "un" + c.opcode, line);
    EXPECT_EQ(error, fmt::format("ptx:{}: unknown opcode 'un{}': \"un{}\"", line, mnemonic, c.opcode)) << c.name();
    error = errorOf(c, c.opcode + ".vague", line);
    EXPECT_EQ(error, fmt::format("ptx:{}: '{}' does not know the suffix '.vague' here: \"{}.vague\"", line, mnemonic, c.opcode)) << c.name();
  }
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
