// Which ops let a row of a call depend on others: each rule in both directions.

#include "ir/RowCoupling.h"
#include "tests/ir/TensorText.h"
#include "tests/ir/TestModule.h"

#include <fmt/format.h>

#include <regex>

namespace moec {

namespace {

struct Case {
  const char *name, *arguments, *op;
  const char* why; // part of it; null: rows stay apart
};
void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

/// "t[batch,3]f32" as a tensor type, "r[batch,2]" as a routing of 4 experts with so many tokens and choices.
std::string withTypes(const std::string& text) {
  static const std::regex type(R"(([tr])\[([^\]]*)\](\w*))");
  std::string result;
  auto end = text.cbegin();
  for (std::sregex_iterator it(text.begin(), text.end(), type), none; it != none; ++it) {
    result.append(end, it->prefix().second);
    end = (*it)[0].second;
    std::vector<std::string> sizes;
    for (std::stringstream list((*it)[2]); list.good();)
      std::getline(list, sizes.emplace_back(), ',');
    if ((*it)[1] == "r") {
      result += fmt::format("!moe.routing<4 experts, \"{}\" tokens, {} choices>", sizes[0], sizes[1]);
      continue;
    }
    result += tensorText(sizes, (*it)[3].str());
  }
  return result.append(end, text.cend());
}

class CouplingOfOp : public IrTest, public testing::WithParamInterface<Case> {};

} // namespace

TEST_P(CouplingOfOp, IsToldByTheOp) {
  const Case& one = GetParam();
  std::string text = withTypes(fmt::format("func.func @f({}) {{\n  {}\n  return }}", one.arguments, one.op));
  mlir::func::FuncOp function = parse(text);
  ASSERT_TRUE(function) << text;
  auto why = ir::couplingOf(&function.getBody().front().front(), {"batch"});
  EXPECT_EQ(why.has_value(), one.why != nullptr) << why.value_or("") << "\n" << text;
  if (why && one.why) {
    EXPECT_NE(why->find(one.why), std::string::npos) << *why;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ops, CouplingOfOp,
    testing::Values(
        Case{"elementwise", "%a: t[batch,3]f32, %b: t[3]f32", "%y = moe.add %a, %b : t[batch,3]f32, t[3]f32", nullptr},
        Case{"elementwise_of_pairs", "%a: t[batch,1]f32, %b: t[1,batch]f32", "%y = moe.add %a, %b : t[batch,1]f32, t[1,batch]f32", "pairs"},
        Case{"constant_rows", "%a: t[3,4]f32", "%y = moe.reduce sum %a axis 0 : t[3,4]f32", nullptr},
        Case{"reduce_columns", "%a: t[batch,3]f32", "%y = moe.reduce sum %a axis 1 : t[batch,3]f32", nullptr},
        Case{"reduce_rows", "%a: t[batch,3]f32", "%y = moe.reduce mean %a axis 0 : t[batch,3]f32", "one number"},
        Case{"softmax_of_a_row", "%a: t[batch,n]f32", "%y = moe.softmax %a : t[batch,n]f32", nullptr},
        Case{"softmax_over_rows", "%a: t[4,2*batch]f32", "%y = moe.softmax %a : t[4,2*batch]f32", "together"},
        Case{"log_sum_exp_of_a_row", "%a: t[batch,3]f32", "%y = moe.log_sum_exp %a : t[batch,3]f32", nullptr},
        Case{"log_sum_exp_over_rows", "%a: t[3,batch]f32", "%y = moe.log_sum_exp %a : t[3,batch]f32", "together"},
        Case{"reshape_joins_what_is_a_rows", "%a: t[batch,n,3]f32", "%y = moe.reshape %a : t[batch,n,3]f32 -> t[batch*n,3]f32", nullptr},
        Case{"reshape_splits_a_row", "%a: t[batch,12]f32", "%y = moe.reshape %a : t[batch,12]f32 -> t[batch,3,4]f32", nullptr},
        Case{"reshape_cuts_rows_anew", "%a: t[4,batch]f32", "%y = moe.reshape %a : t[4,batch]f32 -> t[batch,4]f32", "anew"},
        Case{"transpose", "%a: t[batch,3]f32", "%y = moe.transpose %a [1, 0] : t[batch,3]f32", nullptr},
        Case{"slice_of_a_row", "%a: t[batch,3]f32", "%y = moe.slice %a axis 1 from \"1\" size \"2\" : t[batch,3]f32", nullptr},
        Case{"slice_of_rows", "%a: t[2*batch,3]f32", "%y = moe.slice %a axis 0 from \"0\" size \"batch\" : t[2*batch,3]f32", "where they stand"},
        Case{"slice_of_a_table_for_each_row", "%a: t[512,3]f32", "%y = moe.slice %a axis 0 from \"0\" size \"batch\" : t[512,3]f32", "where they stand"},
        Case{"slice_of_a_table_where_rows_end", "%a: t[512,3]f32", "%y = moe.slice %a axis 0 from \"batch\" size \"1\" : t[512,3]f32", "where they stand"},
        Case{"slice_of_a_row_where_rows_end", "%a: t[batch,512]f32", "%y = moe.slice %a axis 1 from \"batch\" size \"1\" : t[batch,512]f32",
             "where they stand"},
        Case{"slice_of_a_table", "%a: t[512,3]f32", "%y = moe.slice %a axis 0 from \"n\" size \"2\" : t[512,3]f32", nullptr},
        Case{"slice_at_of_rows", "%a: t[batch,3]f32, %p: tensor<i64>", "%y = moe.slice_at %a at %p size \"2\" : t[batch,3]f32, tensor<i64>",
             "where they stand"},
        Case{"slice_at_of_a_table_for_each_row", "%a: t[512,3]f32, %p: tensor<i64>", "%y = moe.slice_at %a at %p size \"batch\" : t[512,3]f32, tensor<i64>",
             "where a row stands"},
        Case{"slice_at_of_each_row", "%a: t[5,batch]f32, %p: tensor<i64>", "%y = moe.slice_at %a at %p size \"2\" : t[5,batch]f32, tensor<i64>", nullptr},
        Case{"concat_in_a_row", "%a: t[batch,3]f32", "%y = moe.concat %a, %a axis 1 : t[batch,3]f32, t[batch,3]f32", nullptr},
        Case{"concat_of_rows", "%a: t[batch,3]f32", "%y = moe.concat %a, %a axis 0 : t[batch,3]f32, t[batch,3]f32", "behind each other"},
        Case{"size_of_the_call", "%a: t[batch]f32", "%y = moe.size \"2*batch\" to f32", "how many rows"},
        Case{"size_of_a_row", "%a: t[batch]f32", "%y = moe.size \"n\" to f32", nullptr},
        Case{"matmul_of_rows", "%a: t[batch,3]f32, %w: t[5,3]f32", "%y = moe.matmul %a, %w : t[batch,3]f32, t[5,3]f32", nullptr},
        Case{"matmul_over_rows", "%a: t[4,batch]f32, %b: t[5,batch]f32", "%y = moe.matmul %a, %b : t[4,batch]f32, t[5,batch]f32", "adds up"},
        Case{"matmul_of_pairs", "%a: t[batch,3]f32", "%y = moe.matmul %a, %a : t[batch,3]f32, t[batch,3]f32", "pairs"},
        Case{"attention_in_a_row", "%a: t[batch,n,8]f32", "%y = moe.attention %a, %a, %a heads 2 scale 1.0 : t[batch,n,8]f32, t[batch,n,8]f32, t[batch,n,8]f32",
             nullptr},
        Case{"attention_among_rows", "%a: t[1,batch,8]f32",
             "%y = moe.attention %a, %a, %a heads 2 scale 1.0 : t[1,batch,8]f32, t[1,batch,8]f32, t[1,batch,8]f32", "see each other"},
        Case{"cached_attention", "%a: t[batch,n,8]f32, %c: t[batch,20,8]f32, %p: tensor<i64>",
             "%y = moe.cached_attention %a, %a, %a behind %c, %c at %p heads 2 scale 1.0 : t[batch,n,8]f32, t[batch,n,8]f32, t[batch,n,8]f32, "
             "t[batch,20,8]f32, t[batch,20,8]f32, tensor<i64>",
             "where a row stands"},
        Case{"append", "%c: t[2,20,8]f32, %a: t[2,batch,8]f32, %p: tensor<i64>", "%y = moe.append %c, %a at %p : t[2,20,8]f32, t[2,batch,8]f32, tensor<i64>",
             "where a row stands"},
        Case{"relative_bias_in_a_row", "%t: t[8,2]f32", "%y = moe.relative_bias %t queries \"n\" keys \"n\" max_distance 16 : t[8,2]f32", nullptr},
        Case{"relative_bias_of_rows", "%t: t[8,2]f32", "%y = moe.relative_bias %t queries \"batch\" keys \"n\" max_distance 16 : t[8,2]f32",
             "where a row stands"},
        Case{"embedding", "%i: t[batch,n]i64, %t: t[40,8]f32", "%y = moe.embedding %i, %t : t[batch,n]i64, t[40,8]f32", nullptr},
        Case{"embedding_in_other_rows", "%i: t[3]i64, %t: t[batch,8]f32", "%y = moe.embedding %i, %t : t[3]i64, t[batch,8]f32", "other rows"},
        Case{"draws", "%a: t[batch]f32", "%y = moe.random uniform \"noise\" : t[batch,3]f32", "draws"},
        Case{"draws_of_no_row", "%a: t[batch]f32", "%y = moe.random uniform \"noise\" : t[3]f32", nullptr},
        Case{"select_of_a_row", "%a: t[batch,4]f32", "%v, %i = moe.select %a k 2 : t[batch,4]f32", nullptr},
        Case{"take_of_a_row", "%a: t[batch,4]f32, %i: t[batch,2]i32", "%y = moe.take %a, %i : t[batch,4]f32, t[batch,2]i32", nullptr},
        Case{"assign_of_all", "%i: t[batch*n,2]i32", "%r = moe.assign %i experts 4 token_major : t[batch*n,2]i32", nullptr},
        Case{"assign_with_capacity", "%i: t[batch*n,2]i32", "%r = moe.assign %i experts 4 token_major capacity \"3\" : t[batch*n,2]i32", "capacity"},
        Case{"assign_with_capacity_in_a_row", "%i: t[batch*n,2]i32",
             "%r = moe.assign %i experts 4 token_major capacity \"ceil(1.25*n/4)\" groups \"batch\" : t[batch*n,2]i32", nullptr},
        Case{"assign_with_capacity_of_the_call_in_a_row", "%i: t[batch*n,2]i32",
             "%r = moe.assign %i experts 4 token_major capacity \"batch\" groups \"batch\" : t[batch*n,2]i32", "capacity"},
        Case{"assign_in_groups_of_the_call", "%i: t[12*batch,2]i32", "%r = moe.assign %i experts 4 token_major capacity \"3\" groups \"6\" : t[12*batch,2]i32",
             "capacity"},
        Case{"places", "%i: t[batch,2]i32, %s: t[batch,2]f32", "%p = moe.places %i, %s experts 4 token_major : t[batch,2]i32, t[batch,2]f32", "ranks"},
        Case{"places_in_a_row", "%i: t[batch*n,2]i32, %s: t[batch*n,2]f32",
             "%p = moe.places %i, %s experts 4 token_major groups \"batch\" : t[batch*n,2]i32, t[batch*n,2]f32", nullptr},
        Case{"swipe", "%i: t[2*batch,2]i32", "%p = moe.swipe %i experts 4 workers 2 : t[2*batch,2]i32", "workers"},
        Case{"counts", "%r: r[batch,2]", "%c = moe.expert_counts %r : r[batch,2]", "counts"},
        Case{"dispatch", "%x: t[batch,3]f32, %r: r[batch,2]", "%y = moe.dispatch %x, %r : t[batch,3]f32, r[batch,2]", nullptr},
        Case{"drop", "%r: r[batch,2], %k: t[batch,2]i1", "%d = moe.drop %r, %k : r[batch,2], t[batch,2]i1", nullptr},
        Case{"combine", "%x: t[2*batch,3]f32, %r: r[batch,2], %w: t[batch,2]f32", "%y = moe.combine %x, %r, %w : t[2*batch,3]f32, r[batch,2], t[batch,2]f32",
             nullptr},
        Case{"gradient", "%dy: t[batch,3]f32", "%y = moe.softmax_grad %dy, %dy : t[batch,3]f32, t[batch,3]f32", "nothing is known"}),
    [](auto& info) { return std::string(info.param.name); });

TEST_F(IrTest, TokensOfATextSeeEachOtherInGeneration) {
  for (const char* one :
       {"%x: t[2,n,8]f32) {\n  %y = moe.rotary %x heads 2 base 10000.0 : t[2,n,8]f32",
        "%x: t[2,n,8]f32) {\n  %y = moe.slice %x axis 1 from \"n-1\" size \"1\" : t[2,n,8]f32",
        "%x: t[512,8]f32) {\n  %y = moe.slice %x axis 0 from \"0\" size \"n\" : t[512,8]f32",
        "%x: t[512,8]f32, %p: tensor<i64>) {\n  %y = moe.slice_at %x at %p size \"n\" : t[512,8]f32, tensor<i64>",
        "%x: t[8,2]f32, %p: tensor<i64>) {\n  %y = moe.relative_bias %x at %p : tensor<i64> queries \"n\" keys \"20\" max_distance 16 : t[8,2]f32",
        "%c: t[2,20,8]f32, %x: t[2,n,8]f32, %p: tensor<i64>) {\n  %y = moe.append %c, %x at %p : t[2,20,8]f32, t[2,n,8]f32, tensor<i64>"}) {
    std::string text = withTypes(std::string("func.func @f(") + one + "\n  return }");
    mlir::func::FuncOp function = parse(text);
    ASSERT_TRUE(function) << text;
    mlir::Operation* op = &function.getBody().front().front();
    EXPECT_TRUE(ir::couplingOf(op, {"n"})) << text;
    EXPECT_FALSE(ir::couplingOf(op, {"n", /*ofTokens=*/true})) << text;
  }
  // The tokens of several texts behind each other are rows.
  std::string joined = withTypes("func.func @f(%x: t[2*n,8]f32) {\n  %y = moe.slice %x axis 0 from \"0\" size \"n\" : t[2*n,8]f32\n  return }");
  mlir::func::FuncOp function = parse(joined);
  ASSERT_TRUE(function) << joined;
  EXPECT_TRUE(ir::couplingOf(&function.getBody().front().front(), {"n", /*ofTokens=*/true}));
}

} // namespace moec
