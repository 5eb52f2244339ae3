// Owner of: the rules by which mutants are made (Mutants.h), on a text written by hand.
#include "tests/mutations/Mutants.h"
#include "tests/mutations/PtxText.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sstream>

namespace moec::mutations {
namespace {

// What each line gives, behind "//>": class and change, parted by ";".
const char* const kText = R"(
.version 9.0
.target sm_90a
.visible .entry k(
	.param .u64 k_param_0
)
.maxntid 128, 1, 1
{
	.reg .pred 	%p<9>;
	.shared .align 16 .b8 s[64];
	.loc	1 7 3
	ld.param.u64 	%rd1, [k_param_0];
	mov.u32 	%r1, %tid.x;
	mov.f32 	%f1, 0f00000000; //> init dropped
	mov.u32 	%r2, 0;          //> init dropped
	st.shared.f32 	[s+4], %f9; //> offset 4 bytes on
	st.shared.u32 	[s], 0;     //> offset 4 bytes on; init dropped
	setp.ge.s32 	%p1, %r1, %r3;
	@%p1 bra 	$L__end; //> bound never taken; bound always taken
	setp.gt.f32 	%p2, %f2, %f3;
	@%p2 bra 	$L__end;
$L__loop:
	.loc	1 9 1
	ld.global.v4.f32 	{%f4, %f5, %f6, %f7}, [%rd1+32]; //> offset 16 bytes on
	add.f32 	%f1, %f1, %f4;
	add.s32 	%r2, %r2, 1;
	min.s32 	%r4, %r2, 7; //> bound takes the first; bound takes the second
	setp.lt.u32 	%p3, %r2, %r4;
	@%p3 bra 	$L__loop;
	setp.lt.u32 	%p4, %r2, 3; //> bound always true; bound always false
	selp.b32 	%r5, 16, 0, %p4;
	// begin inline asm
	cp.async.cg.shared.global [%r6], [%rd1], 16, %r5; //> bound copies all; offset destination 16 bytes on; offset source 16 bytes on
	// end inline asm
	cp.async.commit_group; //> sync dropped
	cp.async.wait_group 0; //> sync dropped
	bar.sync 	0; //> sync dropped
	{ .reg .u64 t; cvta.to.shared.u64 t, %rd1; bar.warp.sync -1; } //> sync dropped
	setp.eq.s32 	%p5, %r1, 0; //> bound always true; bound always false
	@!%p5 st.global.f32 	[%rd1], %f1; //> bound without its guard; offset 4 bytes on
	membar.gl; //> sync dropped
$L__end:
	ret;
}
)";

std::vector<std::string> wanted() {
  std::vector<std::string> all;
  int number = 0;
  std::string text = kText;
  for (size_t start = 0, end; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    ++number;
    std::string line = text.substr(start, end - start);
    size_t mark = line.find("//> ");
    if (mark == std::string::npos)
      continue;
    std::istringstream marks(line.substr(mark + 4));
    for (std::string one; std::getline(marks >> std::ws, one, ';');)
      all.push_back(fmt::format("{} {}", number, one));
  }
  return all;
}

TEST(Mutants, areMadeByTheRules) {
  std::vector<std::string> got;
  for (const Mutant& mutant : mutantsOf(kText))
    got.push_back(fmt::format("{} {} {}", mutant.line, nameOf(mutant.kind), mutant.change));
  EXPECT_EQ(got, wanted());
}

std::string changed(const std::string& instruction, const std::string& change) {
  for (const Mutant& mutant : mutantsOf(kText))
    if (mutant.instruction == instruction && mutant.change == change) {
      std::string after = apply(kText, mutant.edit);
      size_t rest = std::string(kText).size() - mutant.edit.end;
      return after.substr(mutant.edit.begin, after.size() - rest - mutant.edit.begin);
    }
  return "no such mutant";
}

TEST(Mutants, changeOneStatement) {
  EXPECT_EQ(changed("bar.sync 0", "dropped"), "");
  EXPECT_EQ(changed("@%p1 bra $L__end", "always taken"), "bra $L__end;");
  EXPECT_EQ(changed("ld.global.v4.f32 {%f4, %f5, %f6, %f7}, [%rd1+32]", "16 bytes on"), "ld.global.v4.f32 {%f4, %f5, %f6, %f7}, [%rd1+48];");
  EXPECT_EQ(changed("@!%p5 st.global.f32 [%rd1], %f1", "4 bytes on"), "@!%p5 st.global.f32 [%rd1+4], %f1;");
  EXPECT_EQ(changed("@!%p5 st.global.f32 [%rd1], %f1", "without its guard"), "st.global.f32 [%rd1], %f1;");
  EXPECT_EQ(changed("cp.async.cg.shared.global [%r6], [%rd1], 16, %r5", "copies all"), "cp.async.cg.shared.global [%r6], [%rd1], 16;");
  EXPECT_EQ(changed("cp.async.cg.shared.global [%r6], [%rd1], 16, %r5", "source 16 bytes on"), "cp.async.cg.shared.global [%r6], [%rd1+16], 16, %r5;");
  EXPECT_EQ(changed("min.s32 %r4, %r2, 7", "takes the second"), "mov.b32 %r4, 7;");
  EXPECT_EQ(changed("setp.lt.u32 %p4, %r2, 3", "always false"), "setp.ne.s32 %p4, 0, 0;");
}

TEST(PtxText, knowsLinesAndLoops) {
  std::vector<PtxFunction> functions = functionsOf(kText);
  ASSERT_EQ(functions.size(), 1u);
  EXPECT_EQ(functions[0].name, "k");
  std::vector<Loop> loops = functions[0].loops();
  ASSERT_EQ(loops.size(), 1u);
  const Instruction &first = functions[0].instructions[loops[0].first], &last = functions[0].instructions[loops[0].last];
  EXPECT_EQ(first.text(), "ld.global.v4.f32 {%f4, %f5, %f6, %f7}, [%rd1+32]");
  EXPECT_EQ(first.sourceLine, 9);
  EXPECT_EQ(last.text(), "@%p3 bra $L__loop");
  EXPECT_EQ(first.writes(), (std::vector<std::string>{"%f4", "%f5", "%f6", "%f7"}));
}

} // namespace
} // namespace moec::mutations
