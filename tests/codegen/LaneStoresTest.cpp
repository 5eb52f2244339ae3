// Owner of: masked stores of one lane, which LLVM 22 gets wrong where they truncate.
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/Optimizer.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace moec::codegen::cpu {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Stores 16 numbers of 32 bits as their lower halves where `lanes` has a 1.
struct Stored {
  std::string ir, assembly;

  explicit Stored(const std::string& lanes) {
    std::string mask;
    for (char lane : lanes)
      mask += fmt::format("{}i1 {}", mask.empty() ? "" : ", ", lane);
    std::string text = fmt::format(R"(
      define void @f(ptr %to, <16 x i32> %wide) {{
        %half = trunc <16 x i32> %wide to <16 x i16>
        call void @llvm.masked.store.v16i16.p0(<16 x i16> %half, ptr align 2 %to, <16 x i1> <{}>)
        ret void
      }}
      declare void @llvm.masked.store.v16i16.p0(<16 x i16>, ptr, <16 x i1>)
    )",
                                   mask);
    const CpuTarget* target = findTarget("cpu:x86-64-v4");
    std::string error;
    auto machine = makeTargetMachine(*target, error);
    llvm::LLVMContext context;
    llvm::SMDiagnostic diagnostic;
    auto module = llvm::parseAssemblyString(text, diagnostic, context);
    if (!machine || !module)
      throw std::runtime_error(error + diagnostic.getMessage().str());
    optimize(*module, *machine, *target);
    llvm::raw_string_ostream(ir) << *module;
    if (!writeMachineCode(*module, *machine, MachineCode::Assembly, assembly))
      throw std::runtime_error("no machine code");
  }
};

TEST(LaneStores, OneLaneIsStoredWithTheBitsItHas) {
  Stored first("1000000000000000"), later("0000010000000000");
  EXPECT_THAT(first.ir, HasSubstr("store i16"));
  EXPECT_THAT(first.assembly, Not(HasSubstr("vmovss"))) << "32 bits";
  EXPECT_THAT(later.ir, HasSubstr("store i16"));
  EXPECT_THAT(later.ir, HasSubstr("i16, ptr %to, i64 5"));
}

TEST(LaneStores, OfSeveralLanesNothingChanges) {
  Stored both("1100000000000000");
  EXPECT_THAT(both.ir, HasSubstr("call void @llvm.masked.store"));
  EXPECT_THAT(both.ir, Not(HasSubstr("store i16")));
}

} // namespace
} // namespace moec::codegen::cpu
