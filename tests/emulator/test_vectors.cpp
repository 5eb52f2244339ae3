// Every row of the opcode table does what the PTX manual says, by the cases in vectors/ (their form: vectors/README.md).

#include "runtime/emulator/Opcodes.h"
#include "tests/emulator/Harness.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <sstream>

namespace moec::emulator::test {
namespace {

struct Case {
  std::string file;
  int line = 0;
  std::string opcode, target = "sm_80";
  std::vector<std::string> types, inputs; // one instruction
  std::string body;                       // or a block of PTX
  std::vector<std::string> expected;
  double tolerance = 0;
};

std::vector<std::string> wordsOf(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;)
    words.push_back(word);
  return words;
}

std::vector<Case> readFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<Case> cases;
  std::string text;
  bool inBlock = false;
  for (int line = 1; std::getline(in, text); ++line) {
    std::vector<std::string> words = wordsOf(text);
    if (words.empty() || words[0][0] == '#')
      continue;
    if (words[0] == "kernel") {
      Case made;
      made.file = path.filename();
      made.line = line;
      made.opcode = words[1];
      if (words.size() > 2)
        made.target = words[2];
      cases.push_back(made);
      inBlock = true;
    } else if (words[0] == "expect") {
      cases.back().expected.assign(words.begin() + 1, words.end());
      inBlock = false;
    } else if (inBlock) {
      cases.back().body += text + "\n";
    } else {
      Case made;
      made.file = path.filename();
      made.line = line;
      made.opcode = words[0];
      size_t first = text.find('|'), second = text.find('|', first + 1);
      made.types = wordsOf(text.substr(0, first));
      made.types.erase(made.types.begin());
      made.inputs = wordsOf(text.substr(first + 1, second - first - 1));
      made.expected = wordsOf(text.substr(second + 1));
      if (made.expected.size() == 3)
        made.tolerance = std::stod(made.expected[2]);
      made.expected.resize(1);
      cases.push_back(made);
    }
  }
  return cases;
}

const std::vector<Case>& allCases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> made;
    for (const char* file : {"integer.txt", "select.txt", "float.txt", "memory.txt"})
      for (Case& found : readFile(std::filesystem::path(MOEC_TEST_VECTORS) / file))
        made.push_back(found);
    return made;
  }();
  return all;
}

/// A number of the file as the bits of a register.
uint64_t bitsOf(const std::string& word, const std::string& type) {
  bool hexadecimal = word.rfind("0x", 0) == 0;
  if ((type == "f32" || type == "f64") && !hexadecimal) {
    double value = word == "nan" ? std::nan("") : word == "inf" ? INFINITY : word == "-inf" ? -INFINITY : std::stod(word);
    float single = float(value);
    uint64_t bits = 0;
    type == "f32" ? std::memcpy(&bits, &single, 4) : std::memcpy(&bits, &value, 8);
    return bits;
  }
  uint64_t bits = word[0] == '-' ? uint64_t(std::stoll(word, nullptr, 0)) : std::stoull(word, nullptr, 0);
  return type == "b64" || type == "f64" ? bits : type == "b16" ? bits & 0xffff : bits & 0xffffffff;
}

std::string head(const Case& c) {
  return fmt::format(".version 8.6\n.target {}\n.address_size 64\n.visible .entry k(.param .u64 out, .param .u64 in)\n{{\n", c.target);
}

/// One thread: loads its inputs, executes the instruction, stores 8 bytes of result.
std::string instructionKernel(const Case& c) {
  std::string text = head(c) + ".reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<9>;\n.reg .b64 %d<12>;\n.reg .f32 %f<8>;\n.reg .f64 %e<8>;\n"
                               "ld.param.u64 %d8, [out];\nld.param.u64 %d9, [in];\n";
  auto name = [&](size_t i) {
    const std::string& type = c.types[i];
    const char* letter = type == "pred" ? "p" : type == "b16" ? "h" : type == "b32" ? "r" : type == "b64" ? "d" : type == "f32" ? "f" : "e";
    return fmt::format("%{}{}", letter, i);
  };
  std::string operands = name(0);
  for (size_t i = 1; i < c.types.size(); ++i) {
    const std::string& type = c.types[i];
    if (type == "imm") {
      operands += ", " + c.inputs[i - 1];
      continue;
    }
    operands += ", " + name(i);
    if (type == "pred")
      text += fmt::format("ld.global.u32 %r8, [%d9+{}];\nsetp.ne.u32 {}, %r8, 0;\n", 8 * (i - 1), name(i));
    else
      text += fmt::format("ld.global.{} {}, [%d9+{}];\n", type, name(i), 8 * (i - 1));
  }
  text += fmt::format("{} {};\n", c.opcode, operands);
  if (c.types[0] == "pred")
    text += "selp.u32 %r8, 1, 0, %p0;\nst.global.u32 [%d8], %r8;\n";
  else
    text += fmt::format("st.global.{} [%d8], {};\n", c.types[0], name(0));
  return text + "ret;\n}\n";
}

std::string blockKernel(const Case& c) {
  return head(c) + ".shared .align 16 .b8 shared[256];\n.reg .pred %p<4>;\n.reg .b32 %r<10>;\n.reg .b32 %out;\n.reg .b32 %t;\n.reg .b64 %d<6>;\n.reg .f32 %f<6>;\n.reg .b64 %g;\n.reg .b64 %s;\n"
                   ".reg .b64 %o;\n.reg .pred %q;\n.reg .b32 %i;\nld.param.u64 %o, [out];\nld.param.u64 %g, [in];\nmov.u64 %s, shared;\nmov.u32 %t, %tid.x;\n"
                   "mov.u32 %i, %t;\nZERO:\nshl.b32 %r0, %i, 2;\ncvt.u64.u32 %d0, %r0;\nadd.u64 %d0, %d0, %s;\nst.shared.u32 [%d0], 0;\nmov.u32 %r0, %ntid.x;\nadd.u32 %i, %i, %r0;\n"
                   "setp.lt.u32 %q, %i, 64;\n@%q bra ZERO;\nbar.sync 0;\n" +
         c.body + "mul.wide.u32 %d5, %t, 4;\nadd.u64 %o, %o, %d5;\nst.global.u32 [%o], %out;\nret;\n}\n";
}

double valueOf(uint64_t bits, const std::string& type) {
  double wide;
  float single;
  std::memcpy(&wide, &bits, 8);
  std::memcpy(&single, &bits, 4);
  return type == "f32" ? double(single) : wide;
}

void runInstruction(const Case& c, Device& device) {
  std::vector<uint64_t> inputs(8);
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.types[i + 1] != "imm")
      inputs[i] = bitsOf(c.inputs[i], c.types[i + 1]);
  auto in = device.upload(inputs), out = device.upload(std::vector<uint64_t>(1));
  ASSERT_EQ(device.launch(device.load(instructionKernel(c), "k"), 1, 1, 0, out, in), cuda::kSuccess) << device.emulator().lastError();
  uint64_t got = device.download<uint64_t>(out, 1)[0];
  const std::string& type = c.types[0];
  if (c.expected[0] == "nan") {
    EXPECT_TRUE(std::isnan(valueOf(got, type)));
  } else if (c.tolerance > 0) {
    double expected = std::stod(c.expected[0]);
    EXPECT_NEAR(valueOf(got, type), expected, std::abs(expected) * c.tolerance);
  } else {
    EXPECT_EQ(fmt::format("{:#x}", got), fmt::format("{:#x}", bitsOf(c.expected[0], type == "pred" ? "b32" : type)));
  }
}

void runBlock(const Case& c, Device& device) {
  std::vector<uint32_t> words(64);
  for (uint32_t i = 0; i < 64; ++i)
    words[i] = i * 100;
  unsigned threads = c.expected.size() > 1 ? unsigned(c.expected.size()) : 4;
  auto in = device.upload(words), out = device.allocate(threads * 4);
  ASSERT_EQ(device.launch(device.load(blockKernel(c), "k"), 1, threads, 0, out, in), cuda::kSuccess) << device.emulator().lastError();
  auto got = device.download<uint32_t>(out, threads);
  for (unsigned i = 0; i < threads; ++i)
    EXPECT_EQ(got[i], bitsOf(c.expected[c.expected.size() > 1 ? i : 0], "b32")) << "thread " << i;
}

void runAll(bool portable) {
  for (const Case& c : allCases()) {
    SCOPED_TRACE(fmt::format("{}:{}: {}", c.file, c.line, c.opcode));
    Device device(c.target);
    Options options;
    options.portable = portable;
    device.emulator().setOptions(options);
    c.types.empty() ? runBlock(c, device) : runInstruction(c, device);
  }
}

TEST(Vectors, AgreeWithTheManual) { runAll(false); }
TEST(Vectors, AgreeWithTheManualWithoutVectorInstructions) { runAll(true); }

TEST(Vectors, CoverEveryOpcode) {
  std::set<std::string> covered;
  for (const Case& c : allCases())
    covered.insert(c.opcode.substr(0, c.opcode.find('.')));
  for (const Opcode& row : opcodes(0))
    EXPECT_TRUE(covered.count(row.mnemonic)) << "no vector for " << row.mnemonic;
  EXPECT_GT(allCases().size(), 250u);
}

} // namespace
} // namespace moec::emulator::test
