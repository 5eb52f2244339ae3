#include "tests/ir/gradients/Cases.h"

#include "runtime/core/Size.h"
#include "tests/ir/TensorText.h"

#include <fmt/format.h>

#include <regex>

namespace moec::testing {

namespace {

using Cases = std::vector<GradientCase>;

void addUnary(Cases& cases) {
  for (const char* op : {"neg", "exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "erf", "relu", "gelu", "gelu_tanh", "silu", "leaky_relu", "elu"}) {
    std::string name = op, word = name == "leaky_relu" ? " slope 0.1" : name == "elu" ? " alpha 1.3" : "";
    const char* domain = name == "log" || name == "sqrt" ? " {moe.positive}" : "";
    for (auto [shape, type] : {std::pair("scalar", "t()"), {"matrix", "t(3, 4)"}, {"batch", "t(batch, 1, 3)"}})
      cases.push_back({name, shape, fmt::format("%x: {}{}", type, domain), type, fmt::format("%y = moe.{} %x{} : {}", name, word, type)});
  }
}

void addBinary(Cases& cases) {
  struct Shapes {
    const char *name, *a, *b, *result;
  };
  for (const char* op : {"add", "sub", "mul", "div", "min", "max"}) {
    for (const Shapes& s : {Shapes{"same", "t(3, 4)", "t(3, 4)", "t(3, 4)"},
                            {"row", "t(3, 4)", "t(4)", "t(3, 4)"},
                            {"outer", "t(3, 1)", "t(1, 4)", "t(3, 4)"},
                            {"batched_row", "t(batch, m, 4)", "t(4)", "t(batch, m, 4)"},
                            {"both", "t(batch, 1, 3)", "t(4, 1)", "t(batch, 4, 3)"},
                            {"scalar", "t()", "t(batch, 3)", "t(batch, 3)"},
                            {"one", "t(batch, 3)", "t(1)", "t(batch, 3)"},
                            {"longer_of_ones", "t(1, 1, 3)", "t(2, 3)", "t(1, 2, 3)"},
                            {"middle", "t(2, n, 3)", "t(2, 1, 3)", "t(2, n, 3)"},
                            {"ends", "t(2, 3, 2)", "t(1, 3, 1)", "t(2, 3, 2)"}}) {
      const char* domain = std::string(op) == "div" ? " {moe.positive}" : "";
      cases.push_back({op, s.name, fmt::format("%a: {}, %b: {}{}", s.a, s.b, domain), s.result, fmt::format("%y = moe.{} %a, %b : {}, {}", op, s.a, s.b)});
    }
    cases.push_back({op, "itself", "%a: t(3)", "t(3)", fmt::format("%y = moe.{} %a, %a : t(3), t(3)", op)});
    if (std::string(op) == "min" || std::string(op) == "max")
      cases.push_back({op, "bound", "%a: t(3, 4)", "t(3, 4)", fmt::format("%c = moe.constant dense<0.25> : t() %y = moe.{} %a, %c : t(3, 4), t()", op)});
  }
  for (auto [name, condition, a, b, result] : {std::tuple("same", "t(3, 4)", "t(3, 4)", "t(3, 4)", "t(3, 4)"),
                                               {"rows", "t(batch, 1)", "t(batch, 3)", "t(3)", "t(batch, 3)"},
                                               {"widest_condition", "t(2, 3, 2)", "t(3, 1)", "t()", "t(2, 3, 2)"}})
    cases.push_back({"where", name, fmt::format("%c: {}i1, %a: {}, %b: {}", condition, a, b), result,
                     fmt::format("%y = moe.where %c, %a, %b : {}i1, {}, {}", condition, a, b)});
  for (auto [from, to] : {std::pair("f32", "f64"), {"f64", "f32"}, {"bf16", "f32"}, {"f32", "bf16"}})
    cases.push_back({"cast", fmt::format("{}_to_{}", from, to), fmt::format("%x: t(batch, 3){} {{moe.small}}", from), fmt::format("t(batch, 3){}", to),
                     fmt::format("%y = moe.cast %x to {} : t(batch, 3){}", to, from)});
}

void addShape(Cases& cases) {
  cases.insert(cases.end(),
               {
                   {"reshape", "constant", "%x: t(3, 4)", "t(2, 6)", "%y = moe.reshape %x : t(3, 4) -> t(2, 6)"},
                   {"reshape", "symbolic", "%x: t(batch, 4)", "t(2*batch, 2)", "%y = moe.reshape %x : t(batch, 4) -> t(2*batch, 2)"},
                   {"reshape", "to_scalar", "%x: t(1, 1)", "t()", "%y = moe.reshape %x : t(1, 1) -> t()"},
                   {"transpose", "matrix", "%x: t(3, 4)", "t(4, 3)", "%y = moe.transpose %x [1, 0] : t(3, 4)"},
                   {"transpose", "cycle", "%x: t(batch, 3, 4)", "t(4, batch, 3)", "%y = moe.transpose %x [2, 0, 1] : t(batch, 3, 4)"},
                   {"slice", "front", "%x: t(3, 4)", "t(3, 2)", R"(%y = moe.slice %x axis 1 from "0" size "2" : t(3, 4))"},
                   {"slice", "middle", "%x: t(batch, 5)", "t(batch, 2)", R"(%y = moe.slice %x axis 1 from "2" size "2" : t(batch, 5))"},
                   {"slice", "whole", "%x: t(3, 4)", "t(3, 4)", R"(%y = moe.slice %x axis 0 from "0" size "3" : t(3, 4))"},
                   {"slice", "last_of_symbolic", "%x: t(n, 3)", "t(1, 3)", R"(%y = moe.slice %x axis 0 from "n-1" size "1" : t(n, 3))"},
                   {"slice", "nothing_before", "%x: t(n, 3)", "t(-m+n, 3)", R"(%y = moe.slice %x axis 0 from "0" size "-m+n" : t(n, 3))"},
                   {"concat", "one", "%x: t(3, 4)", "t(3, 4)", "%y = moe.concat %x axis 0 : t(3, 4)"},
                   {"concat", "three", "%a: t(2, 3), %b: t(2, 1), %c: t(2, 2)", "t(2, 6)", "%y = moe.concat %a, %b, %c axis 1 : t(2, 3), t(2, 1), t(2, 2)"},
                   {"concat", "symbolic", "%a: t(batch, 3), %b: t(n, 3)", "t(batch+n, 3)", "%y = moe.concat %a, %b axis 0 : t(batch, 3), t(n, 3)"},
                   {"concat", "twice", "%a: t(2, 3)", "t(4, 3)", "%y = moe.concat %a, %a axis 0 : t(2, 3), t(2, 3)"},
                   {"broadcast", "scalar", "%x: t()", "t(batch, 3)", "%y = moe.broadcast %x : t() -> t(batch, 3)"},
                   {"broadcast", "row", "%x: t(3)", "t(2, batch, 3)", "%y = moe.broadcast %x : t(3) -> t(2, batch, 3)"},
                   {"broadcast", "column", "%x: t(2, 1)", "t(2, 4)", "%y = moe.broadcast %x : t(2, 1) -> t(2, 4)"},
                   {"broadcast", "middle", "%x: t(batch, 1, 2)", "t(3, batch, n, 2)", "%y = moe.broadcast %x : t(batch, 1, 2) -> t(3, batch, n, 2)"},
               });
  for (const char* kind : {"sum", "mean", "max"})
    for (auto [name, x, axis, result] : {std::tuple("rows", "t(3, 4)", 0, "t(4)"),
                                         {"columns", "t(3, 4)", 1, "t(3)"},
                                         {"all", "t(4)", 0, "t()"},
                                         {"symbolic", "t(batch, n, 2)", 1, "t(batch, 2)"},
                                         {"batch", "t(batch, 3)", 0, "t(3)"}})
      cases.push_back(
          {"reduce", fmt::format("{}_{}", kind, name), fmt::format("%x: {}", x), result, fmt::format("%y = moe.reduce {} %x axis {} : {}", kind, axis, x)});
  for (auto [name, x, result] : {std::tuple("bf16", "t(3, 4)bf16", "t(3)bf16"), {"bf16_symbolic", "t(batch, n)bf16", "t(batch)bf16"}})
    for (const char* kind : {"sum", "mean"})
      cases.push_back({"reduce", fmt::format("{}_{}", kind, name), fmt::format("%x: {} {{moe.small}}", x), result,
                       fmt::format("%y = moe.reduce {} %x axis 1 : {}", kind, x)});
}

void addProducts(Cases& cases) {
  for (auto [name, a, b, result] : {std::tuple("matrices", "t(3, 4)", "t(2, 4)", "t(3, 2)"),
                                    {"rows_of_batches", "t(batch, 3, 4)", "t(2, 4)", "t(batch, 3, 2)"},
                                    {"rows_of_many", "t(batch, 2, n, 3)", "t(2, 3)", "t(batch, 2, n, 2)"},
                                    {"batches", "t(2, 3, 4)", "t(2, 5, 4)", "t(2, 3, 5)"},
                                    {"symbolic_batches", "t(batch, n, 4)", "t(batch, m, 4)", "t(batch, n, m)"},
                                    {"each_expert", "t(3, 4)", "t(2, 5, 4)", "t(2, 3, 5)"},
                                    {"one_of_many", "t(2, 3, 4)", "t(1, 5, 4)", "t(2, 3, 5)"},
                                    {"crossed", "t(batch, 1, 3, 4)", "t(2, 5, 4)", "t(batch, 2, 3, 5)"},
                                    {"vectors", "t(1, 4)", "t(1, 4)", "t(1, 1)"}})
    cases.push_back({"matmul", name, fmt::format("%a: {}, %b: {}", a, b), result, fmt::format("%y = moe.matmul %a, %b : {}, {}", a, b)});
  cases.push_back({"matmul", "itself", "%a: t(3, 4)", "t(3, 3)", "%y = moe.matmul %a, %a : t(3, 4), t(3, 4)"});
}

void addLayers(Cases& cases) {
  for (const char* x : {"t(3, 4)", "t(batch, 2, 4)", "t(4)"}) {
    const char* shape = std::string(x) == "t(4)" ? "vector" : std::string(x) == "t(3, 4)" ? "rows" : "batches";
    auto add = [&](const char* op, const char* what, const char* more, const char* operands) {
      cases.push_back(
          {op, fmt::format("{}_{}", shape, what), fmt::format("%x: {}{}", x, more), x, fmt::format("%y = moe.{} %x {} eps 0.01 of {}", op, operands, x)});
    };
    add("layer_norm", "plain", "", "");
    add("layer_norm", "weight", ", %w: t(4)", "weight %w : t(4)");
    add("layer_norm", "bias", ", %b: t(4)", "bias %b : t(4)");
    add("layer_norm", "both", ", %w: t(4), %b: t(4)", "weight %w : t(4) bias %b : t(4)");
    add("rms_norm", "plain", "", "");
    add("rms_norm", "weight", ", %w: t(4)", "weight %w : t(4)");
    cases.push_back({"softmax", shape, fmt::format("%x: {}", x), x, fmt::format("%y = moe.softmax %x : {}", x)});
  }
  for (auto [name, x, result] : {std::tuple("rows", "t(3, 4)", "t(3)"), {"batches", "t(batch, 2, 3)", "t(batch, 2)"}, {"vector", "t(4)", "t()"}})
    cases.push_back({"log_sum_exp", name, fmt::format("%x: {}", x), result, fmt::format("%y = moe.log_sum_exp %x : {}", x)});
  for (auto [name, x, rows, rule] : {std::tuple("rows", "t(6, 4)", "t(6)", "smoothing 0.0 ignore -100"),
                                     {"smooth", "t(6, 4)", "t(6)", "smoothing 0.1 ignore -100"},
                                     {"ignore", "t(batch, n, 3)", "t(batch, n)", "smoothing 0.2 ignore 1"},
                                     {"vector", "t(4)", "t()", "smoothing 0.0 ignore -1"}})
    for (const char* dtype : {"i64", "i32"})
      cases.push_back({"cross_entropy", fmt::format("{}_{}", name, dtype), fmt::format("%x: {}, %l: {}{} {{moe.below = 3 : i64}}", x, rows, dtype), rows,
                       fmt::format("%y = moe.cross_entropy %x, %l {} : {}, {}{}", rule, x, rows, dtype)});
  for (auto [name, ids, result] : {std::tuple("list", "t(7)", "t(7, 2)"), {"batches", "t(batch, n)", "t(batch, n, 2)"}, {"one", "t()", "t(2)"}})
    for (const char* dtype : {"i64", "i32"})
      cases.push_back({"embedding", fmt::format("{}_{}", name, dtype), fmt::format("%i: {}{} {{moe.below = 4 : i64}}, %w: t(5, 2)", ids, dtype), result,
                       fmt::format("%y = moe.embedding %i, %w : {}{}, t(5, 2)", ids, dtype)});
}

void addAttention(Cases& cases) {
  struct Attention {
    const char *name, *q, *k, *bias, *rule, *draws = "";
  };
  for (const Attention& a : {Attention{"one_head", "t(2, 3, 4)", "t(2, 5, 4)", "", "heads 1 scale 0.5"},
                             {"heads", "t(2, 3, 4)", "t(2, 3, 4)", "", "heads 2 scale 0.7"},
                             {"symbolic", "t(batch, n, 4)", "t(batch, m, 4)", "", "heads 2 scale 1.0"},
                             {"causal", "t(2, 3, 4)", "t(2, 3, 4)", "", "heads 2 scale 0.7 causal"},
                             {"causal_behind_a_prefix", "t(2, 2, 4)", "t(2, 5, 4)", "", "heads 2 scale 0.7 causal"},
                             {"shared_keys", "t(2, 3, 8)", "t(2, 4, 4)", "", "heads 4 kv_heads 2 scale 0.7"},
                             {"one_key_head", "t(1, 3, 6)", "t(1, 3, 2)", "", "heads 3 kv_heads 1 scale 0.7 causal"},
                             {"bias", "t(2, 3, 4)", "t(2, 5, 4)", "t(2, 3, 5)", "heads 2 scale 0.7"},
                             {"bias_of_one_head", "t(batch, n, 4)", "t(batch, n, 4)", "t(1, n, n)", "heads 2 scale 0.7"},
                             {"everything", "t(2, 3, 8)", "t(2, 4, 4)", "t(4, 3, 4)", "heads 4 kv_heads 2 scale 0.7 causal"},
                             {"dropout", "t(2, 3, 4)", "t(2, 5, 4)", "", "heads 2 scale 0.7", "t(2, 2, 3, 5)"},
                             {"dropout_symbolic", "t(batch, n, 4)", "t(batch, n, 4)", "", "heads 2 scale 0.7 causal", "t(batch, 2, n, n)"},
                             {"everything_and_dropout", "t(2, 3, 8)", "t(2, 4, 4)", "t(4, 3, 4)", "heads 4 kv_heads 2 scale 0.7 causal", "t(2, 4, 3, 4)"}}) {
    bool biased = *a.bias != 0, drops = *a.draws != 0;
    std::string draws = drops ? fmt::format("%d = moe.random uniform \"drop\" : {} ", a.draws) : "",
                words = drops ? fmt::format("draws %d : {} dropout 0.4 ", a.draws) : "";
    cases.push_back({"attention", a.name, fmt::format("%q: {0}, %k: {1}, %v: {1}{2}", a.q, a.k, biased ? fmt::format(", %b: {}", a.bias) : ""), a.q,
                     fmt::format("{4}%y = moe.attention %q, %k, %v {3}{5} {2} : {0}, {1}, {1}", a.q, a.k, a.rule,
                                 biased ? fmt::format("bias %b : {} ", a.bias) : "", draws, words)});
  }
  cases.push_back(
      {"attention", "of_itself", "%x: t(2, 3, 4)", "t(2, 3, 4)", "%y = moe.attention %x, %x, %x heads 2 scale 0.5 : t(2, 3, 4), t(2, 3, 4), t(2, 3, 4)"});
  for (auto [name, sizes, rule, result] : {std::tuple("one_way", R"(queries "3" keys "9")", "max_distance 7", "t(2, 3, 9)"),
                                           {"two_ways", R"(queries "7" keys "7")", "max_distance 5 bidirectional", "t(2, 7, 7)"},
                                           {"symbolic", R"(queries "n" keys "t")", "max_distance 7", "t(2, n, t)"}})
    cases.push_back({"relative_bias", name, "%w: t(6, 2)", result, fmt::format("%y = moe.relative_bias %w {} {} : t(6, 2)", sizes, rule)});
  for (const char* rule : {"", "interleaved", "inverse", "interleaved inverse"}) {
    std::string name = *rule ? std::regex_replace(std::string(rule), std::regex(" "), "_") : "halves";
    cases.push_back({"rotary", name, "%x: t(batch, n, 8)", "t(batch, n, 8)", fmt::format("%y = moe.rotary %x heads 2 base 10.0 {} : t(batch, n, 8)", rule)});
  }
}

/// Routings %r of tokens to experts: all kept, and in several ways not.
struct RoutingText {
  const char *name, *arguments, *tokens, *body;
  int experts, choices;
};

const RoutingText routings[] = {
    {"all_kept", "%s: t(t, 4), ", "t", "%v, %i = moe.select %s k 2 : t(t, 4) %r = moe.assign %i experts 4 token_major : t(t, 2)i32", 4, 2},
    {"capacity", "%s: t(t, 4), ", "t", R"(%v, %i = moe.select %s k 2 : t(t, 4) %r = moe.assign %i experts 4 choice_major capacity "1" : t(t, 2)i32)", 4, 2},
    {"dropped", "", "3", "%i = moe.constant dense<[[0, 0], [1, -1], [2, 1]]> : t(3, 2)i32 %r = moe.assign %i experts 3 token_major : t(3, 2)i32", 3, 2},
    {"kept", "%s: t(t, 3), %o: t(t, 1)i1, ", "t",
     "%v, %i = moe.select %s k 1 : t(t, 3) %r = moe.assign %i keep %o : t(t, 1)i1 experts 3 token_major : t(t, 1)i32", 3, 1},
    {"without", "%s: t(t, 3), %o: t(t, 2)i1, ", "t",
     "%v, %i = moe.select %s k 2 : t(t, 3) %a = moe.assign %i experts 3 token_major : t(t, 2)i32 %r = moe.drop %a, %o : r(3, t, 2), t(t, 2)i1", 3, 2},
    {"some_experts", "%s: t(t, 5), ", "t",
     "%v, %i = moe.select %s k 2 : t(t, 5) %a = moe.assign %i experts 5 token_major : t(t, 2)i32 %r = moe.experts_of %a from 1 count 3 : r(5, t, 2)", 3, 2},
    {"none", "", "2", "%i = moe.constant dense<-1> : t(2, 1)i32 %r = moe.assign %i experts 2 token_major : t(2, 1)i32", 2, 1},
};

void addRouting(Cases& cases) {
  cases.insert(cases.end(),
               {{"select", "one", "%s: t(t, 4)", "t(t, 1)", "%y, %i = moe.select %s k 1 : t(t, 4)"},
                {"select", "two", "%s: t(3, 4)", "t(3, 2)", "%y, %i = moe.select %s k 2 : t(3, 4)"},
                {"select", "all", "%s: t(3, 4)", "t(3, 4)", "%y, %i = moe.select %s k 4 : t(3, 4)"},
                {"take", "selected", "%s: t(t, 4), %x: t(t, 4)", "t(t, 2)", "%v, %i = moe.select %s k 2 : t(t, 4) %y = moe.take %x, %i : t(t, 4), t(t, 2)i32"},
                {"take", "dropped", "%x: t(2, 3)", "t(2, 3)",
                 "%i = moe.constant dense<[[1, -1, 1], [2, 0, -1]]> : t(2, 3)i32 %y = moe.take %x, %i : t(2, 3), t(2, 3)i32"}});
  std::string bounded = R"(!moe.routing<2 experts, "3" tokens, 2 choices, "2" rows>)";
  cases.push_back(
      {"grouped_matmul", "bounded", "%x: t(3, 3), %w: t(3, 2), %m: t(2, 3, 3)", "t(3, 3)",
       fmt::format(R"(%i = moe.constant dense<[[0, 1], [0, 1], [1, 0]]> : t(3, 2)i32 %r = moe.assign %i experts 2 token_major capacity "1" bounded : t(3, 2)i32
      %d = moe.dispatch %x, %r : t(3, 3), {0} %h = moe.grouped_matmul %d, %m, %r : t(2, 3), t(2, 3, 3), {0} %y = moe.combine %h, %r, %w : t(2, 3), {0}, t(3, 2))",
                   bounded)});
  for (const RoutingText& routing : routings) {
    std::string T = routing.tokens, type = fmt::format("r({}, {}, {})", routing.experts, T, routing.choices), E = std::to_string(routing.experts);
    std::string choices = fmt::format("t({}, {})", T, routing.choices);
    Size rows = Size::parse(T) * Size(routing.choices);
    std::string R = rows.str();
    auto add = [&](const char* op, const char* what, const std::string& arguments, const std::string& result, const std::string& body) {
      std::string text = std::string(routing.body) + " " + body;
      for (auto [from, to] : {std::pair("\\$T", T), {"\\$R", R}, {"\\$E", E}, {"\\$r", type}, {"\\$c", choices}})
        text = std::regex_replace(text, std::regex(from), to);
      cases.push_back({op, std::string(routing.name) + (*what ? std::string("_") + what : ""), routing.arguments + arguments, result, text});
    };
    std::string back = " %y = moe.combine %h, %r, %w : t($R, 3), $r, $c", x = fmt::format("%x: t({}, 3)", T), w = fmt::format(", %w: {}", choices),
                y = fmt::format("t({}, 3)", T);
    std::string there = "%d = moe.dispatch %x, %r : t($T, 3), $r ";
    add("dispatch", "", x + w, y, "%h = moe.dispatch %x, %r : t($T, 3), $r" + back);
    add("combine", "", x + w, y, there + "%h = moe.mul %d, %d : t($R, 3), t($R, 3)" + back);
    add("grouped_matmul", "", x + w + fmt::format(", %m: t({}, 3, 3)", E), y, there + "%h = moe.grouped_matmul %d, %m, %r : t($R, 3), t($E, 3, 3), $r" + back);
    add("grouped_matmul", "two_layers", x + w + fmt::format(", %u: t({0}, 4, 3), %m: t({0}, 3, 4)", E), y,
        there +
            "%a1 = moe.grouped_matmul %d, %u, %r : t($R, 3), t($E, 4, 3), $r %a2 = moe.tanh %a1 : t($R, 4) "
            "%h = moe.grouped_matmul %a2, %m, %r : t($R, 4), t($E, 3, 4), $r" +
            back);
    add("expert_rows", "", x + w + fmt::format(", %b: t({}, 3)", E), y,
        there + "%e = moe.expert_rows %b, %r : t($E, 3), $r %h = moe.mul %d, %e : t($R, 3), t($R, 3)" + back);
    add("row_weights", "", x + w + fmt::format(", %g: {}", choices), y,
        there + "%e = moe.row_weights %g, %r : $c, $r %h = moe.mul %d, %e : t($R, 3), t($R, 1)" + back);
    add("choice_values", "", fmt::format("%g: {}", choices), choices,
        "%e = moe.row_weights %g, %r : $c, $r %h = moe.mul %e, %e : t($R, 1), t($R, 1) %y = moe.choice_values %h, %r : t($R, 1), $r");
    add("expert_sums", "", x, fmt::format("t({}, 3)", E), there + "%h = moe.mul %d, %d : t($R, 3), t($R, 3) %y = moe.expert_sums %h, %r : t($R, 3), $r");
    // One weight for the rows of all experts: its sum leaves out the rows behind the count.
    add("add", "ragged", x + w + ", %b: t(3)", y, there + "%h = moe.add %d, %b : t($R, 3), t(3)" + back);
    add("mul", "ragged", x + w + ", %b: t(1, 1)", y, there + "%h = moe.mul %d, %b : t($R, 3), t(1, 1)" + back);
    add("matmul", "ragged", x + w + ", %m: t(3, 3)", y, there + "%h = moe.matmul %d, %m : t($R, 3), t(3, 3)" + back);
    add("matmul", "ragged_by_matrices", x + w + ", %m: t(2, 3, 3)", y,
        there + "%e = moe.matmul %d, %m : t($R, 3), t(2, 3, 3) %h = moe.reduce sum %e axis 0 : t(2, $R, 3)" + back);
    add("layer_norm", "ragged", x + w + ", %m: t(3), %b: t(3)", y,
        there + "%h = moe.layer_norm %d weight %m : t(3) bias %b : t(3) eps 0.01 of t($R, 3)" + back);
    add("rms_norm", "ragged", x + w + ", %m: t(3)", y, there + "%h = moe.rms_norm %d weight %m : t(3) eps 0.01 of t($R, 3)" + back);
    add("broadcast", "ragged", x + w + ", %b: t(3)", y, there + "%e = moe.broadcast %b : t(3) -> t($R, 3) %h = moe.mul %d, %e : t($R, 3), t($R, 3)" + back);
    add("reshape", "ragged", x + w + ", %b: t(3, 1)", y,
        there + "%e = moe.reshape %d : t($R, 3) -> t($R, 3, 1) %f = moe.mul %e, %b : t($R, 3, 1), t(3, 1) %h = moe.reshape %f : t($R, 3, 1) -> t($R, 3)" +
            back);
  }
  const char* mixed = "%i = moe.constant dense<[[0, 0], [1, -1], [2, 1]]> : t(3, 2)i32 %r = moe.assign %i experts 3 token_major : t(3, 2)i32 "
                      "%h = moe.dispatch %x, %r : t(3, 2)bf16, r(3, 3, 2) %y = moe.combine %h, %r, %w : t(6, 2)bf16, r(3, 3, 2), t(3, 2)";
  for (const char* weights : {"f32", "bf16"})
    cases.push_back({"combine", fmt::format("bf16_by_{}", weights), fmt::format("%x: t(3, 2)bf16 {{moe.small}}, %w: t(3, 2){} {{moe.small}}", weights),
                     "t(3, 2)bf16", mixed + std::string(weights)});
  // An inner gate among the experts of each row's outer one, and both levels' weights.
  cases.push_back({"combine", "two_levels", "%s: t(t, 2), %x: t(t, 3), %m: t(2, 2, 3), %u: t(4, 3, 3)", "t(t, 3)", R"(
    %p = moe.softmax %s : t(t, 2)
    %v, %i = moe.select %p k 2 : t(t, 2)
    %o = moe.assign %i experts 2 token_major capacity "3" : t(t, 2)i32
    %d = moe.dispatch %x, %o : t(t, 3), r(2, t, 2)
    %l = moe.grouped_matmul %d, %m, %o : t(2*t, 3), t(2, 2, 3), r(2, t, 2)
    %q = moe.softmax %l : t(2*t, 2)
    %w, %j = moe.select %q k 1 : t(2*t, 2)
    %r = moe.assign %j within %o : r(2, t, 2) experts 4 token_major capacity "2" : t(2*t, 1)i32
    %e = moe.dispatch %d, %r : t(2*t, 3), r(4, 2*t, 1)
    %f = moe.grouped_matmul %e, %u, %r : t(2*t, 3), t(4, 3, 3), r(4, 2*t, 1)
    %g = moe.combine %f, %r, %w : t(2*t, 3), r(4, 2*t, 1), t(2*t, 1)
    %y = moe.combine %g, %o, %v : t(2*t, 3), r(2, t, 2), t(t, 2))"});
}

/// The words of "2, batch".
std::vector<std::string> words(const std::string& list) {
  static const std::regex word("[^, ]+");
  return {std::sregex_token_iterator(list.begin(), list.end(), word), std::sregex_token_iterator()};
}

std::string expanded(const std::string& text) {
  static const std::regex type(R"(\b([tr])\(([^)]*)\)(f64|f32|bf16|i64|i32|i1)?)");
  std::string result;
  auto end = text.cbegin();
  for (auto at = std::sregex_iterator(text.begin(), text.end(), type); at != std::sregex_iterator(); ++at) {
    result.append(end, (*at)[0].first);
    end = (*at)[0].second;
    std::smatch parts;
    std::string inside = (*at)[2];
    static const std::regex three("([^,]+), *([^,]+), *([^,]+)");
    if ((*at)[1] == "t")
      result += tensorText(words(inside), (*at)[3].matched ? (*at)[3].str() : "f64");
    else if (std::regex_match(inside, parts, three))
      result += fmt::format("!moe.routing<{} experts, \"{}\" tokens, {} choices>", parts[1].str(), parts[2].str(), parts[3].str());
  }
  return result.append(end, text.cend());
}

} // namespace

std::vector<GradientCase> gradientCases() {
  Cases cases;
  for (auto add : {addUnary, addBinary, addShape, addProducts, addLayers, addAttention, addRouting})
    add(cases);
  return cases;
}

std::string moduleText(const GradientCase& one) {
  std::string type = expanded(one.result);
  return fmt::format("func.func @f({}) -> {} {{ {} return %y : {} }}", expanded(one.arguments), type, expanded(one.body), type);
}

} // namespace moec::testing
