// Owner of: what couples rows beyond single ops (tests/ir/RowCouplingTest.cpp). What lies in the order in which experts took their rows meets what lies in the
// call's; what no result reads; what kernels say.
#include "compiler/passes/Passes.h"
#include "tests/ir/TestModule.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string_view>

namespace moec {

namespace {

struct Case {
  const char *name, *body; // from %d, the rows of experts, to %z, a result
  std::vector<std::string> couplings;
};
void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

constexpr const char* kFront = R"(
!t = tensor<?x4xf32, #moe.sizes<"batch", "4">>
!rows = tensor<?x4xf32, #moe.sizes<"2*batch", "4">>
!wide = tensor<?x8xf32, #moe.sizes<"2*batch", "8">>
!column = tensor<?x1xf32, #moe.sizes<"2*batch", "1">>
!i = tensor<?x2xi32, #moe.sizes<"batch", "2">>
!w = tensor<?x2xf32, #moe.sizes<"batch", "2">>
!routing = !moe.routing<3 experts, "batch" tokens, 2 choices>
!inner = !moe.routing<6 experts, "2*batch" tokens, 1 choices>
// %c and %o lie in the order of the call, two for each row of it.
func.func @forward(%x: !t, %i: !i, %w: !w, %c: !rows, %o: !column) -> !t {
  %r = moe.assign %i experts 3 token_major : !i
  %d = moe.dispatch %x, %r : !t, !routing
)";

constexpr const char* kInner = R"(
  %s, %j = moe.select %d k 1 : !rows
  %n = moe.assign %j within %r : !routing experts 6 token_major : tensor<?x1xi32, #moe.sizes<"2*batch", "1">>
  %dd = moe.dispatch %d, %n : !rows, !inner
)";

constexpr const char* kMeets = "add gives experts' rows what lies in the order of the call";

const Case kCases[] = {
    {"rows_of_experts_alone",
     "%e = moe.add %d, %d : !rows, !rows\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {}},
    {"rows_of_experts_with_the_calls",
     "%e = moe.add %d, %c : !rows, !rows\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {kMeets}},
    {"joined_with_the_calls",
     "%k = moe.concat %d, %c axis 1 : !rows, !rows\n"
     "%e = moe.slice %k axis 1 from \"0\" size \"4\" : !wide\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {"concat gives experts' rows what lies in the order of the call"}},
    {"what_no_result_reads",
     "%e = moe.add %d, %c : !rows, !rows\n"
     "%z = moe.combine %d, %r, %w : !rows, !routing, !w\n",
     {}},
    {"weights_in_the_order_of_experts",
     "%m = moe.row_weights %w, %r : !w, !routing\n"
     "%e = moe.mul %d, %m : !rows, !column\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {}},
    {"brought_back_by_combine",
     "%y = moe.combine %d, %r, %w : !rows, !routing, !w\n"
     "%z = moe.add %y, %x : !t, !t\n",
     {}},
    {"brought_back_by_choice_values",
     "%m = moe.row_weights %w, %r : !w, !routing\n"
     "%v = moe.choice_values %m, %r : !column, !routing\n"
     "%q = moe.add %v, %w : !w, !w\n"
     "%z = moe.combine %d, %r, %q : !rows, !routing, !w\n",
     {}},
    {"an_inner_levels_rows_are_the_outers",
     "%y = moe.combine %dd, %n, %s : !rows, !inner, !column\n"
     "%e = moe.add %y, %d : !rows, !rows\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {}},
    {"an_inner_levels_rows_with_the_calls",
     "%y = moe.combine %dd, %n, %s : !rows, !inner, !column\n"
     "%e = moe.add %y, %c : !rows, !rows\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {kMeets}},
    {"an_inner_levels_draws",
     "%p = moe.add %s, %o : !column, !column\n"
     "%y = moe.combine %dd, %n, %p : !rows, !inner, !column\n"
     "%z = moe.combine %y, %r, %w : !rows, !routing, !w\n",
     {kMeets}},
    {"through_a_kernel",
     "%e = moe.kernel \"rows\" \"inside\"(%d, %c) : (!rows, !rows) -> !rows {\n"
     "^bb0(%a: !rows, %b: !rows):\n"
     "  %sum = moe.add %a, %b : !rows, !rows\n"
     "  moe.yield %sum : !rows\n"
     "}\n"
     "%z = moe.combine %e, %r, %w : !rows, !routing, !w\n",
     {kMeets}},
    {"a_kernel_that_promises_nothing",
     "%z = moe.kernel \"totals\" \"inside\"(%x) : (!t) -> !t {\n"
     "^bb0(%a: !t):\n"
     "  %b = moe.relu %a : !t\n"
     "  moe.yield %b : !t\n"
     "}\n",
     {"kernels of kind \"totals\" on cpu:x86-64-v3 promise nothing of a row's bits"}},
};

class Couplings : public IrTest, public testing::WithParamInterface<Case> {};

} // namespace

TEST_P(Couplings, AreFound) {
  std::string text =
      fmt::format("{}{}{}  return %z : !t\n}}\n", kFront, std::string_view(GetParam().body).find("%n") < std::string_view::npos ? kInner : "", GetParam().body);
  ASSERT_TRUE(parse(text, "forward")) << text;
  std::string error;
  auto emitter = codegen::makeEmitter("cpu:x86-64-v3", error);
  ASSERT_TRUE(emitter) << error;
  std::vector<std::string> found;
  for (const compiler::FoundCoupling& one : compiler::findCouplings(*module, *emitter))
    found.push_back(one.coupling.why);
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(GetParam().couplings)) << text;
}

INSTANTIATE_TEST_SUITE_P(Found, Couplings, testing::ValuesIn(kCases), [](auto& info) { return std::string(info.param.name); });

} // namespace moec
