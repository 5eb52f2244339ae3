#include "tests/emulator/VectorReplay.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace moec::emulator::test {
namespace {

//===--- reading ---===//

std::vector<std::string> wordsOf(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;)
    words.push_back(word);
  return words;
}

void readFile(const std::filesystem::path& path, std::vector<VectorCase>& cases) {
  std::ifstream in(path);
  if (!in)
    throw std::runtime_error(path.string() + ": cannot be read");
  std::string text;
  bool inBlock = false;
  for (int line = 1; std::getline(in, text); ++line) {
    std::vector<std::string> words = wordsOf(text);
    if (words.empty() || words[0][0] == '#')
      continue;
    VectorCase made;
    made.file = path.filename();
    made.line = line;
    if (words[0] == "kernel") {
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

double valueOf(uint64_t bits, const std::string& type) {
  double wide;
  float single;
  std::memcpy(&wide, &bits, 8);
  std::memcpy(&single, &bits, 4);
  return type == "f32" ? double(single) : wide;
}

//===--- the kernels ---===//

std::string head(const VectorCase& c) {
  return fmt::format(
      ".version 8.6\n.target {}\n.address_size 64\n.const .align 4 .b32 constants[4] = {{0x3f800000, 0x80000000, 0x7f800000, 1}};\n.visible .entry k(.param .u64 out, .param .u64 in)\n{{\n",
      c.target);
}

/// One thread: loads its inputs, executes the instruction, stores 8 bytes of result.
std::string instructionKernel(const VectorCase& c) {
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

/// The block for one thread after the other.
std::string inTurns(const std::string& body) {
  return "mov.u32 %turn, 0;\nLANE_TURN:\nsetp.ne.u32 %q, %turn, %t;\n@%q bra LANE_NEXT;\n" + body +
         "LANE_NEXT:\nbar.sync 0;\nadd.u32 %turn, %turn, 1;\nmov.u32 %i, %ntid.x;\nsetp.lt.u32 %q, %turn, %i;\n@%q bra LANE_TURN;\n";
}

std::string blockKernel(const VectorCase& c, bool laneByLane) {
  // A barrier in the block lets no thread go alone; what stands behind it is the same in any order.
  bool turns = laneByLane && c.opcode == "atom" && c.body.find("bar.") == std::string::npos;
  return head(c) +
         ".shared .align 16 .b8 shared[256];\n.reg .pred %p<4>;\n.reg .b32 %r<10>;\n.reg .b32 %out;\n.reg .b32 %t;\n.reg .b64 %d<6>;\n.reg .f32 %f<6>;\n.reg .b64 %g;\n.reg .b64 %s;\n"
         ".reg .b64 %o;\n.reg .pred %q;\n.reg .b32 %i;\n.reg .b32 %turn;\nld.param.u64 %o, [out];\nld.param.u64 %g, [in];\nmov.u64 %s, shared;\nmov.u32 %t, %tid.x;\n"
         "mov.u32 %i, %t;\nZERO:\nshl.b32 %r0, %i, 2;\ncvt.u64.u32 %d0, %r0;\nadd.u64 %d0, %d0, %s;\nst.shared.u32 [%d0], 0;\nmov.u32 %r0, %ntid.x;\nadd.u32 %i, %i, %r0;\n"
         "setp.lt.u32 %q, %i, 64;\n@%q bra ZERO;\nbar.sync 0;\n" +
         (turns ? inTurns(c.body) : c.body) + "mul.wide.u32 %d5, %t, 4;\nadd.u64 %o, %o, %d5;\nst.global.u32 [%o], %out;\nret;\n}\n";
}

//===--- running ---===//

/// What one case takes from the device.
class Run {
public:
  Run(const cuda::DriverTable& table, const ReplayOptions& options) : table_(table), options_(options) {}
  ~Run() {
    for (cuda::DevicePtr pointer : pointers_)
      table_.memoryFree(pointer);
    if (module_)
      table_.moduleUnload(module_);
  }
  cuda::DevicePtr upload(const void* data, size_t bytes) {
    cuda::DevicePtr pointer = 0;
    check(table_.memoryAllocate(&pointer, bytes), "allocating");
    pointers_.push_back(pointer);
    check(table_.copyToDevice(pointer, data, bytes), "copying to the device");
    return pointer;
  }
  void launch(const std::string& ptx, unsigned threads, cuda::DevicePtr out, cuda::DevicePtr in) {
    cuda::Function function = nullptr;
    check(table_.moduleLoadData(&module_, ptx.c_str(), 0, nullptr, nullptr), "loading the PTX");
    check(table_.moduleGetFunction(&function, module_, "k"), "finding the kernel");
    void* parameters[] = {&out, &in};
    check(table_.launchKernel(function, 1, 1, 1, threads, 1, 1, 0, nullptr, parameters, nullptr), "launching");
    check(table_.contextSynchronize(), "running");
  }
  void download(void* data, cuda::DevicePtr from, size_t bytes) { check(table_.copyToHost(data, from, bytes), "copying to the host"); }

private:
  void check(cuda::Result result, const char* doing) {
    if (result != cuda::kSuccess)
      throw std::runtime_error(fmt::format("{}: {}", doing, options_.why ? options_.why(result) : fmt::format("CUDA error {}", result)));
  }
  const cuda::DriverTable& table_;
  const ReplayOptions& options_;
  cuda::Module module_ = nullptr;
  std::vector<cuda::DevicePtr> pointers_;
};

std::string runInstruction(const VectorCase& c, Run& run) {
  std::vector<uint64_t> inputs(8);
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.types[i + 1] != "imm")
      inputs[i] = bitsOf(c.inputs[i], c.types[i + 1]);
  uint64_t got = 0;
  auto in = run.upload(inputs.data(), inputs.size() * 8), out = run.upload(&got, 8);
  run.launch(instructionKernel(c), 1, out, in);
  run.download(&got, out, 8);
  const std::string &type = c.types[0], &wanted = c.expected[0];
  if (wanted == "nan")
    return std::isnan(valueOf(got, type)) ? "" : fmt::format("got {} ({:#x}), expected a NaN", valueOf(got, type), got);
  if (c.tolerance > 0) {
    double value = valueOf(got, type), expected = std::stod(wanted);
    return std::abs(value - expected) <= std::abs(expected) * c.tolerance ? ""
                                                                          : fmt::format("got {}, expected {} within {} of it", value, expected, c.tolerance);
  }
  uint64_t expected = bitsOf(wanted, type == "pred" ? "b32" : type);
  return got == expected ? "" : fmt::format("got {:#x}, expected {:#x}", got, expected);
}

std::string runBlock(const VectorCase& c, Run& run, bool laneByLane) {
  std::vector<uint32_t> words(64);
  for (uint32_t i = 0; i < 64; ++i)
    words[i] = i * 100;
  unsigned threads = c.expected.size() > 1 ? unsigned(c.expected.size()) : 4;
  std::vector<uint32_t> got(threads);
  auto in = run.upload(words.data(), words.size() * 4), out = run.upload(got.data(), threads * 4);
  run.launch(blockKernel(c, laneByLane), threads, out, in);
  run.download(got.data(), out, threads * 4);
  for (unsigned i = 0; i < threads; ++i)
    if (uint64_t expected = bitsOf(c.expected[c.expected.size() > 1 ? i : 0], "b32"); got[i] != expected)
      return fmt::format("thread {}: got {:#x}, expected {:#x}", i, got[i], expected);
  return "";
}

} // namespace

std::string VectorCase::name() const { return fmt::format("{}:{}: {}", file, line, opcode); }

std::string VectorCase::ptx(bool laneByLane) const { return types.empty() ? blockKernel(*this, laneByLane) : instructionKernel(*this); }

std::vector<VectorCase> readVectors(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".txt")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<VectorCase> cases;
  for (const auto& file : files)
    readFile(file, cases);
  return cases;
}

std::string vectorNeeds(const VectorCase& c, int major, int minor) {
  int number = std::stoi(c.target.substr(3)), own = major * 10 + minor; // "sm_90a"
  bool exact = !std::isdigit(static_cast<unsigned char>(c.target.back()));
  return (exact ? number == own : number <= own) ? "" : fmt::format("made for {}", c.target);
}

std::string replayVector(const VectorCase& c, const cuda::DriverTable& table, const ReplayOptions& options) {
  try {
    Run run(table, options);
    return c.types.empty() ? runBlock(c, run, options.laneByLane) : runInstruction(c, run);
  } catch (const std::exception& error) {
    return error.what();
  }
}

} // namespace moec::emulator::test
