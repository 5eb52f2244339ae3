// What is not PTX, or not emulated, is refused with its line and words; what may be launched is checked.

#include "tests/emulator/Harness.h"

#include <fmt/format.h>

namespace moec::emulator::test {
namespace {

std::string kernelWith(const std::string& body) {
  return ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n.reg .pred %p<4>;\n.reg .b32 %r<8>;\n.reg .b64 %d<8>;\n" + body +
         "\nret;\n}\n";
}

/// The error of loading a text; empty when it loads.
std::string errorOf(const std::string& ptx, const std::string& target = "sm_80") {
  Emulator& emulator = *Emulator::of(target);
  cuda::Module module = nullptr;
  char log[512] = "";
  int options[] = {cuda::kJitErrorLogBuffer, cuda::kJitErrorLogBufferBytes};
  void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
  if (emulator.table().moduleLoadData(&module, ptx.c_str(), 2, options, values) == cuda::kSuccess) {
    emulator.table().moduleUnload(module);
    return {};
  }
  EXPECT_EQ(emulator.lastError(), log);
  return log;
}

TEST(PtxText, UnknownOpcodeIsNamedWithItsLine) {
  EXPECT_EQ(errorOf(kernelWith("mov.u32 %r1, 3;\nfrobnicate.b32 %r1, %r2;")), "ptx:10: unknown opcode 'frobnicate': \"frobnicate.b32\"");
}
TEST(PtxText, UnknownSuffixIsNamed) {
  EXPECT_EQ(errorOf(kernelWith("add.rz.s32 %r1, %r2, %r2;")), "ptx:9: 'add' does not know the suffix '.rz' here: \"add.rz.s32\"");
}
TEST(PtxText, UndeclaredNames) {
  EXPECT_NE(errorOf(kernelWith("bra NOWHERE;")).find("ptx:9: undeclared name 'NOWHERE'"), std::string::npos);
  EXPECT_NE(errorOf(kernelWith("mov.u32 %r1, %r99;")).find("ptx:9: undeclared register or unknown special register '%r99'"), std::string::npos);
}
TEST(PtxText, WidthsMustFit) { EXPECT_NE(errorOf(kernelWith("add.s64 %d1, %r1, %d2;")).find("%r1 is narrower than .s64"), std::string::npos); }
TEST(PtxText, BarriersHaveNumbersAndCountsThatExist) {
  EXPECT_EQ(errorOf(kernelWith("bar.sync 15, 1024;")), "");
  EXPECT_EQ(errorOf(kernelWith("bar.sync 99;")), "ptx:9: there is no barrier 99, a block has 0 to 15: \"bar.sync\"");
  EXPECT_NE(errorOf(kernelWith("bar.sync -1;")).find("ptx:9: there is no barrier -1"), std::string::npos);
  for (const char* count : {"0", "33", "2048", "-32"})
    EXPECT_NE(errorOf(kernelWith(std::string("bar.red.popc.u32 %r1, 3, ") + count + ", %p1;")).find(std::string("ptx:9: ") + count + " threads: a barrier"),
              std::string::npos);
}
TEST(PtxText, SyntaxErrorQuotesTheLine) {
  EXPECT_EQ(errorOf(kernelWith("mov.u32 %r1 %r2;")), "ptx:9: unexpected '%r2': \"mov.u32 %r1 %r2;\"");
  EXPECT_NE(errorOf(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {\n").find("'}' is missing"), std::string::npos);
}
TEST(PtxText, TargetsMustFit) {
  std::string newer = kernelWith("");
  newer.replace(newer.find("sm_80"), 5, "sm_90a");
  EXPECT_EQ(errorOf(newer), "the PTX is made for sm_90a, this device is sm_80");
  EXPECT_EQ(errorOf(newer, "sm_120"), "the PTX is made for sm_90a, this device is sm_120");
  EXPECT_EQ(errorOf(newer, "sm_90a"), "");
  EXPECT_EQ(errorOf(kernelWith(""), "sm_120"), "");
}
TEST(PtxText, MachineCodeIsRefused) {
  EXPECT_EQ(errorOf("\x7f"
                    "ELF"),
            "the image is machine code; the emulator runs PTX");
}

std::string withVariable(const std::string& declaration, const std::string& body = "") {
  std::string text = kernelWith(body);
  return text.insert(text.find(".visible"), declaration + "\n");
}

TEST(PtxText, InitialValuesHaveRoom) {
  EXPECT_EQ(errorOf(withVariable(".global .b8 g[3] = {1, 2, 3};")), "");
  EXPECT_EQ(errorOf(withVariable(".global .b8 g[] = {1, 2, 3};")), "");
  EXPECT_EQ(errorOf(withVariable(".global .u32 g[2][2] = {{1, 2}, {3, 4}};")), "");
  EXPECT_EQ(errorOf(withVariable(".global .b8 g[2] = {1,\n2,\n3};")), "ptx:6: g has room for 2 initial values, here is one more: \"3};\"");
  EXPECT_NE(errorOf(withVariable(".global .u32 g = {1, 2};")).find("ptx:4: g has room for 1 initial values"), std::string::npos);
  std::string many = ".global .b8 g[2] = {0";
  for (int i = 0; i < 300000; ++i)
    many += ",7";
  EXPECT_NE(errorOf(withVariable(many + "};")).find("ptx:4: g has room for 2 initial values"), std::string::npos);
  EXPECT_NE(errorOf(withVariable(".global .u32 h;\n.global .u32 g = h;")).find("ptx:5: an address has 8 bytes, an element of g has 4"), std::string::npos);
  EXPECT_EQ(errorOf(withVariable(".global .u32 h;\n.global .u64 g = h;")), "");
  EXPECT_NE(errorOf(withVariable(".global .b8 g[4294967296][4294967296];")).find("ptx:4: a variable of this size"), std::string::npos);
  EXPECT_NE(errorOf(withVariable(".shared .b8 g[4294967296];")).find("ptx:4: a variable of this size"), std::string::npos);
}

TEST(PtxText, ListsNestOnlySoDeep) {
  for (const char* open : {"(", "{", "!"})
    EXPECT_NE(errorOf(kernelWith("mov.u32 %r1, " +
                                 [&] {
                                   std::string all;
                                   for (int i = 0; i < 200000; ++i)
                                     all += open;
                                   return all;
                                 }() +
                                 "%r2;"))
                  .find("ptx:9: more than 100 lists within each other"),
              std::string::npos)
        << open;
  EXPECT_NE(errorOf(withVariable(".global .b8 g[2] = " + std::string(200000, '{') + "1;")).find("ptx:4: more than 100 lists within each other"),
            std::string::npos);
}

TEST(PtxText, CommentsAndStringsEnd) {
  EXPECT_EQ(errorOf(kernelWith("/* one\n two */ mov.u32 %r1, 1; /**/")), "");
  EXPECT_EQ(errorOf(kernelWith("") + "/* no end\n"), "ptx:12: the comment has no end: \"/* no end\"");
  EXPECT_EQ(errorOf(kernelWith("/*/")), "ptx:9: the comment has no end: \"/*/\"");
  EXPECT_EQ(errorOf(kernelWith(".pragma \"nounroll;")), "ptx:9: the string has no end: \".pragma \"nounroll;\"");
  EXPECT_NE(errorOf(kernelWith("") + ".section .debug {\n.b8 1\n").find("ptx:13: '}' is missing behind this"), std::string::npos);
}

TEST(PtxText, NumbersAreOfOneForm) {
  for (const char* good : {"0", "017", "0x7fU", "0b101", "4294967295U", "-2147483648", "0f3F800000", "-0f3F800000"})
    EXPECT_EQ(errorOf(kernelWith(fmt::format("mov.b32 %r1, {};", good))), "") << good;
  for (const char* good : {"0d3FF0000000000000", "18446744073709551615", "-9223372036854775808", "0XFFFFFFFFFFFFFFFF"})
    EXPECT_EQ(errorOf(kernelWith(fmt::format("mov.b64 %d1, {};", good))), "") << good;
  for (const char* bad : {"0fXYZ", "0f3F80", "0f3F80000G", "0f3F8000000", "0d3F800000", "0x", "0xU", "12ab", "08", "0b12", "1.5e", "1.2.3", "5UU"})
    EXPECT_NE(errorOf(kernelWith(fmt::format("mov.b32 %r1, {};", bad))).find(fmt::format("ptx:9: '{}' is no number", bad)), std::string::npos) << bad;
  for (const char* bad : {"18446744073709551616", "0x1ffffffffffffffff", "-9223372036854775809"})
    EXPECT_NE(errorOf(kernelWith(fmt::format("mov.b64 %d1, {};", bad))).find("it does not fit into 64 bits"), std::string::npos) << bad;
  EXPECT_NE(errorOf(kernelWith("ld.param.u64 %d1, [p+1.5];")).find("ptx:9: expected an integer, found '1.5'"), std::string::npos);
}

TEST(PtxText, NamesAreDefinedOnce) {
  std::string one = kernelWith(""), entry = one.substr(one.find(".visible"));
  EXPECT_EQ(errorOf(one + entry), "ptx:12: k is defined for the second time, line 4 has the first: \".visible .entry k(.param .u64 p)\"");
  EXPECT_EQ(errorOf(withVariable(".visible .entry k(.param .u64 p);")), "");
}

TEST(PtxText, ExternalVariablesAreDefinedSomewhere) {
  std::string use = "mov.u64 %d1, g;\nld.global.u32 %r1, [g];";
  EXPECT_EQ(errorOf(withVariable(".extern .global .u32 g;")), "");
  EXPECT_NE(errorOf(withVariable(".extern .global .u32 g;", use)).find("ptx:10: g is .extern and defined nowhere in this module"), std::string::npos);
  EXPECT_NE(errorOf(withVariable(".extern .global .u32 g;\n.global .u64 h = g;")).find("names g, which is no global variable"), std::string::npos);
  EXPECT_EQ(errorOf(withVariable(".extern .shared .b8 s[];", "mov.u64 %d1, s;")), "");
  Device device("sm_80");
  auto out = device.allocate(4);
  cuda::Function kernel =
      device.load(withVariable(".extern .global .u32 g;\n.global .u32 g = 7;", use + "\nld.param.u64 %d1, [p];\nst.global.u32 [%d1], %r1;"), "k");
  ASSERT_EQ(device.launch(kernel, 1, 1, 0, out), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.download<int>(out, 1)[0], 7);
}

/// The kernel with a directive between its parameters and its body, on line 5.
std::string kernelThat(const std::string& directive) {
  std::string text = kernelWith("");
  return text.insert(text.find("\n{") + 1, directive + "\n");
}

TEST(PtxText, ClustersAreRefused) {
  EXPECT_EQ(errorOf(kernelThat(".explicitcluster"), "sm_90a"), "ptx:5: clusters are not emulated (.explicitcluster): \".explicitcluster\"");
  EXPECT_NE(errorOf(kernelThat(".maxntid 128, 1, 1\n.reqnctapercluster 2, 1, 1"), "sm_90a").find("ptx:6: clusters are not emulated (.reqnctapercluster)"),
            std::string::npos);
  EXPECT_NE(errorOf(kernelThat(".frobnicate 3")).find("ptx:5: unknown directive '.frobnicate'"), std::string::npos);
  EXPECT_NE(errorOf(kernelThat(".maxntid 2048")).find("ptx:5: a block has 1 to 1024 threads"), std::string::npos);
  EXPECT_EQ(errorOf(kernelThat(".maxntid 16, 8, 8\n.minnctapersm 2\n.maxnreg 64")), "");
}

TEST(Launches, AreOfTheBlockThatTheKernelRequires) {
  Device device("sm_80");
  uint64_t pointer = 0;
  cuda::Function kernel = device.load(kernelThat(".reqntid 64"), "k");
  EXPECT_EQ(device.launch(kernel, 1, 64, 0, pointer), cuda::kSuccess);
  EXPECT_EQ(device.launch(kernel, 1, 32, 0, pointer), cuda::kInvalidValue);
  EXPECT_EQ(device.emulator().lastError(), "k: block (32,1,1) is not allowed, the kernel's .reqntid is (64,1,1)");
  EXPECT_EQ(device.launch(device.load(kernelThat(".reqntid 32, 2, 1"), "k"), 1, 64, 0, pointer), cuda::kInvalidValue);
}

TEST(PtxText, ScopesHideNames) {
  Device device("sm_80");
  auto out = device.allocate(4);
  cuda::Function kernel =
      device.load(kernelWith("ld.param.u64 %d1, [p];\nmov.u32 %r1, 5;\n{ .reg .b32 %r1; mov.u32 %r1, 9; }\n{ L: add.u32 %r1, %r1, 1; setp.lt.u32 %p1, "
                             "%r1, 8; @%p1 bra L; }\n{ bra L; L: add.u32 %r1, %r1, 1; }\nst.global.u32 [%d1], %r1;"),
                  "k");
  ASSERT_EQ(device.launch(kernel, 1, 1, 0, out), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.download<int>(out, 1)[0], 9);
}

TEST(PtxText, IndexedBranchAndCalls) {
  Device device("sm_80");
  std::string ptx =
      ".version 8.0\n.target sm_80\n.address_size 64\n"
      ".func (.param .b32 result) twice(.param .b32 x)\n{\n.reg .b32 %r<3>;\nld.param.b32 %r1, [x];\nshl.b32 %r2, %r1, 1;\nst.param.b32 [result], %r2;\nret;\n}\n"
      ".visible .entry k(.param .u64 p)\n{\n.reg .b32 %r<8>;\n.reg .b64 %d<8>;\nld.param.u64 %d1, [p];\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, 100;\n"
      "TS: .branchtargets A, B, C;\nbrx.idx %r1, TS;\nA: add.u32 %r2, %r2, 1;\nB: add.u32 %r2, %r2, 2;\nC: add.u32 %r2, %r2, 4;\n"
      "{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r2; call.uni (b), twice, (a); ld.param.b32 %r3, [b]; }\n"
      "mul.wide.u32 %d2, %r1, 4;\nadd.u64 %d3, %d1, %d2;\nst.global.u32 [%d3], %r3;\nret;\n}\n";
  auto out = device.allocate(12);
  ASSERT_EQ(device.launch(device.load(ptx, "k"), 1, 3, 0, out), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.download<int>(out, 3), (std::vector<int>{214, 212, 208}));
}

TEST(Launches, AreChecked) {
  Device device("sm_80");
  cuda::Function kernel = device.load(kernelWith(""), "k");
  uint64_t pointer = 0;
  EXPECT_EQ(device.launch(kernel, 0, 32, 0, pointer), cuda::kInvalidValue);
  EXPECT_EQ(device.launch(kernel, 1, 1025, 0, pointer), cuda::kInvalidValue);
  EXPECT_EQ(device.launch(kernel, 1, 32, 60000, pointer), cuda::kInvalidValue);
  EXPECT_EQ(device.table().functionSetAttribute(kernel, cuda::kFunctionMaxDynamicSharedBytes, 60000), cuda::kSuccess);
  EXPECT_EQ(device.launch(kernel, 1, 32, 60000, pointer), cuda::kSuccess);
  EXPECT_EQ(device.table().functionSetAttribute(kernel, cuda::kFunctionMaxDynamicSharedBytes, 200000), cuda::kInvalidValue);
}

TEST(Buffers, InsideOneAllocationAreKeptApart) {
  Device device("sm_80");
  auto arena = device.allocate(1024);
  device.emulator().registerBuffer(arena, 256, "first");
  device.emulator().registerBuffer(arena + 256, 256, "second");
  EXPECT_THROW(device.emulator().registerBuffer(arena + 500, 64, "overlapping"), std::invalid_argument);
  cuda::Function kernel = device.load(
      kernelWith("ld.param.u64 %d1, [p];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %d2, %r1, 4;\nadd.u64 %d3, %d1, %d2;\nst.global.u32 [%d3], %r1;"), "k");
  EXPECT_EQ(device.launch(kernel, 1, 64, 0, arena), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.launch(kernel, 1, 65, 0, arena), cuda::kIllegalAddress); // lands in "second"
  ASSERT_EQ(device.emulator().findings().size(), 1u);
  EXPECT_EQ(device.emulator().findings()[0].thread[0], 64u);
  EXPECT_NE(device.emulator().findings()[0].detail.find("byte 0 of buffer 'second'"), std::string::npos) << device.emulator().findings()[0].text();
}

TEST(Buffers, AsynchronousCopiesStayInTheirPointersBuffer) {
  Device device("sm_80");
  auto arena = device.allocate(1024);
  device.emulator().registerBuffer(arena, 256, "first");
  device.emulator().registerBuffer(arena + 256, 256, "second");
  std::vector<uint32_t> zeros(128);
  device.table().copyToDevice(arena, zeros.data(), 512);
  cuda::Function kernel = device.load(
      kernelWith(".shared .align 16 .b8 tile[512];\nld.param.u64 %d1, [p];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %d2, %r1, 16;\nadd.u64 %d3, %d1, %d2;\n"
                 "mov.u32 %r2, tile;\nshl.b32 %r3, %r1, 4;\nadd.u32 %r2, %r2, %r3;\ncp.async.cg.shared.global [%r2], [%d3], 16;\ncp.async.wait_all;"),
      "k");
  EXPECT_EQ(device.launch(kernel, 1, 16, 0, arena), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.launch(kernel, 1, 17, 0, arena), cuda::kIllegalAddress); // reads "second"
  ASSERT_EQ(device.emulator().findings().size(), 1u);
  EXPECT_NE(device.emulator().findings()[0].detail.find("the pointer belongs to buffer 'first' (256 bytes)"), std::string::npos)
      << device.emulator().findings()[0].text();
}

TEST(Buffers, APointerOfTwoStaysInOneOfThem) {
  Device device("sm_80");
  auto arena = device.allocate(1024);
  device.emulator().registerBuffer(arena, 256, "first");
  device.emulator().registerBuffer(arena + 256, 256, "second");
  device.emulator().registerBuffer(arena + 512, 256, "third");
  std::string body =
      ".reg .pred %q;\nld.param.u64 %d1, [p];\nld.param.u64 %d4, [o];\nmov.u32 %r1, %tid.x;\nand.b32 %r2, %r1, 1;\nsetp.eq.u32 %q, %r2, 0;\nselp.b64 %d2, %d1, %d4, %q;\n"
      "shr.u32 %r2, %r1, 1;\nmul.wide.u32 %d3, %r2, 4;\nadd.u64 %d3, %d2, %d3;\nst.global.u32 [%d3], %r1;";
  std::string ptx = kernelWith(body);
  ptx.replace(ptx.find(".param .u64 p"), 13, ".param .u64 p, .param .u64 o");
  cuda::Function kernel = device.load(ptx, "k");
  EXPECT_EQ(device.launch(kernel, 1, 128, 0, arena, arena + 256), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.launch(kernel, 1, 130, 0, arena, arena + 256), cuda::kIllegalAddress); // 128 lands in "second", where 1 has written; 129 in "third"
  const std::vector<Finding> findings = device.emulator().findings();
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].kind, Finding::Kind::OutOfBounds);
  EXPECT_EQ(findings[0].thread[0], 129u);
  EXPECT_NE(findings[0].detail.find("the pointer belongs to buffer 'first' (256 bytes) or buffer 'second' (256 bytes)"), std::string::npos)
      << findings[0].text();
  EXPECT_EQ(findings[1].kind, Finding::Kind::Race);
}

TEST(Hangs, AreEnded) {
  Device device("sm_80");
  Options options;
  options.maxInstructions = 100000;
  device.emulator().setOptions(options);
  uint64_t pointer = 0;
  EXPECT_EQ(device.launch(device.load(kernelWith("L: bra L;"), "k"), 1, 32, 0, pointer), cuda::kLaunchFailed);
  EXPECT_EQ(device.emulator().findings().at(0).kind, Finding::Kind::Hang);
}

TEST(Registers, ReadBeforeWritten) {
  Device device("sm_80");
  auto out = device.allocate(128);
  cuda::Function kernel =
      device.load(kernelWith("ld.param.u64 %d1, [p];\nmov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 8;\n@%p1 mov.u32 %r2, 3;\nmul.wide.u32 %d2, %r1, 4;\n"
                             "add.u64 %d3, %d1, %d2;\nst.global.u32 [%d3], %r2;"),
                  "k");
  EXPECT_EQ(device.launch(kernel, 1, 8, 0, out), cuda::kSuccess) << device.emulator().lastError();
  EXPECT_EQ(device.launch(kernel, 1, 9, 0, out), cuda::kLaunchFailed);
  ASSERT_EQ(device.emulator().findings().size(), 1u);
  EXPECT_EQ(device.emulator().findings()[0].kind, Finding::Kind::Uninitialised);
  EXPECT_EQ(device.emulator().findings()[0].ptxLine, 15);
  EXPECT_EQ(device.emulator().findings()[0].thread[0], 8u);
}

} // namespace
} // namespace moec::emulator::test
