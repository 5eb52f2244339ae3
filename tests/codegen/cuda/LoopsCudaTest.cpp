// Owner of: CUDA kernels of kind `loops`. Every result is held against the reference interpreter; what only moves elements, and integers, to the bit.
#include "tests/codegen/cuda/CudaKernelCheck.h"

#include <cmath>
#include <fmt/format.h>

namespace moec::testing {
namespace {

/// How a tensor type spells its elements.
std::string elementName(DType type) { return type == DType::Bool ? "i1" : type == DType::U8 ? "ui8" : std::string(name(type)); }

/// Inputs of a float dtype.
class LoopsCuda : public ::testing::TestWithParam<std::string> {
protected:
  void SetUp() override { MOEC_SKIP_WITHOUT_NVRTC(); }
  /// @ stands for the dtype.
  static std::string typed(std::string text, const std::string& dtype) {
    for (size_t at = 0; (at = text.find('@', at)) != std::string::npos;)
      text.replace(at, 1, dtype);
    return text;
  }
  ParsedKernel parse(const std::string& arguments, const std::string& results, const std::string& body) const {
    return parseKernel("loops", typed(arguments, GetParam()), typed(results, GetParam()), typed(body, GetParam()));
  }
};

TEST_P(LoopsCuda, patchesOfAPicture) {
  // (B, C, 4*3, 5*3) -> (B, 4*5, C*3*3): reshape, transpose, reshape.
  ParsedKernel kernel = parse("%x: tensor<?x3x12x15x@, #moe.sizes<\"b\", \"3\", \"12\", \"15\">>", "tensor<?x20x27x@, #moe.sizes<\"b\", \"20\", \"27\">>", R"(
    %a = moe.reshape %x : tensor<?x3x12x15x@, #moe.sizes<"b", "3", "12", "15">> -> tensor<?x3x4x3x5x3x@, #moe.sizes<"b", "3", "4", "3", "5", "3">>
    %b = moe.transpose %a [0, 2, 4, 1, 3, 5] : tensor<?x3x4x3x5x3x@, #moe.sizes<"b", "3", "4", "3", "5", "3">>
    %y = moe.reshape %b : tensor<?x4x5x3x3x3x@, #moe.sizes<"b", "4", "5", "3", "3", "3">> -> tensor<?x20x27x@, #moe.sizes<"b", "20", "27">>
    moe.yield %y : tensor<?x20x27x@, #moe.sizes<"b", "20", "27">>)");
  for (int64_t batch : {0, 1, 3})
    checkCuda(kernel, {.check = {.bindings = {{"b", batch}}, .exact = true}});
}

TEST_P(LoopsCuda, classTokenAndPositions) {
  ParsedKernel kernel = parse("%x: tensor<?x4x6x@, #moe.sizes<\"b\", \"4\", \"6\">>, %c: tensor<1x1x6x@>, %p: tensor<1x5x6x@>",
                              "tensor<?x5x6x@, #moe.sizes<\"b\", \"5\", \"6\">>", R"(
    %t = moe.broadcast %c : tensor<1x1x6x@> -> tensor<?x1x6x@, #moe.sizes<"b", "1", "6">>
    %a = moe.concat %t, %x axis 1 : tensor<?x1x6x@, #moe.sizes<"b", "1", "6">>, tensor<?x4x6x@, #moe.sizes<"b", "4", "6">>
    %y = moe.add %a, %p : tensor<?x5x6x@, #moe.sizes<"b", "5", "6">>, tensor<1x5x6x@>
    moe.yield %y : tensor<?x5x6x@, #moe.sizes<"b", "5", "6">>)");
  for (int64_t batch : {1, 3, 17})
    checkCuda(kernel, {.check = {.bindings = {{"b", batch}}, .exact = true}});
}

TEST_P(LoopsCuda, sliceWithASymbolicStart) {
  ParsedKernel kernel = parse("%x: tensor<?x8x@, #moe.sizes<\"n\", \"8\">>", "tensor<1x8x@>", R"(
    %l = moe.slice %x axis 0 from "n-1" size "1" : tensor<?x8x@, #moe.sizes<"n", "8">>
    %y = moe.tanh %l : tensor<1x8x@>
    moe.yield %y : tensor<1x8x@>)");
  for (int64_t rows : {1, 6})
    checkCuda(kernel, {.check = {.bindings = {{"n", rows}}}});
}

TEST_P(LoopsCuda, biasesOfDistances) {
  for (const char* way : {"bidirectional", ""})
    for (auto [buckets, farthest, queries, keys] : {std::array{32, 128, 150, 150}, {8, 20, 30, 30}, {4, 3, 5, 9}}) {
      SCOPED_TRACE(::testing::Message() << buckets << " buckets " << way);
      std::string table = fmt::format("tensor<{}x3x@>", buckets), y = "tensor<3x?x?x@, #moe.sizes<\"3\", \"n\", \"m\">>";
      ParsedKernel kernel =
          parse("%t: " + table, y,
                fmt::format("%y = moe.relative_bias %t queries \"n\" keys \"m\" max_distance {} {} : {}\n moe.yield %y : {}", farthest, way, table, y));
      checkCuda(kernel, {.check = {.bindings = {{"n", queries}, {"m", keys}}, .exact = true}});
    }
}

TEST_P(LoopsCuda, rotaryOfASlice) {
  for (const char* style : {"", "interleaved", "inverse", "interleaved inverse"}) {
    std::string x = "tensor<2x?x40x@, #moe.sizes<\"2\", \"n\", \"40\">>", y = "tensor<2x?x24x@, #moe.sizes<\"2\", \"n\", \"24\">>";
    ParsedKernel kernel = parse("%x: " + x, y,
                                fmt::format("%s = moe.slice %x axis 2 from \"8\" size \"24\" : {0}\n"
                                            "%y = moe.rotary %s heads 3 base 1.0e+04 {1} : {2}\n moe.yield %y : {2}",
                                            x, style, y));
    checkCuda(kernel, {.check = {.bindings = {{"n", 300}}}});
  }
}

TEST_P(LoopsCuda, reductionsAlongEveryAxis) {
  const char* shapes[] = {"tensor<7x19x@>", "tensor<4x19x@>", "tensor<4x7x@>"};
  for (const char* kind : {"sum", "mean", "max"})
    for (int axis = 0; axis < 3; ++axis)
      checkCuda(parse("%x: tensor<4x7x19x@>", shapes[axis],
                      fmt::format(R"(
    %e = moe.exp %x : tensor<4x7x19x@>
    %r = moe.reduce {0} %e axis {1} : tensor<4x7x19x@>
    %y = moe.neg %r : {2}
    moe.yield %y : {2})",
                                  kind, axis, shapes[axis])));
}

/// Few results of many rows: sums of pieces, and their sums.
TEST_P(LoopsCuda, longSums) {
  // The gradient of a bias, with ops before and behind; two sums of one kernel.
  std::string x = "tensor<?x45x@, #moe.sizes<\"n\", \"45\">>";
  ParsedKernel columns = parse("%x: " + x + ", %b: tensor<45x@>", "tensor<45x@>, tensor<45x@>",
                               fmt::format(R"(
    %e = moe.mul %x, %b : {0}, tensor<45x@>
    %s = moe.reduce sum %e axis 0 : {0}
    %m = moe.reduce mean %x axis 0 : {0}
    %y = moe.add %s, %b : tensor<45x@>, tensor<45x@>
    %z = moe.mul %m, %y : tensor<45x@>, tensor<45x@>
    moe.yield %y, %z : tensor<45x@>, tensor<45x@>)",
                                           x));
  for (int64_t rows : {1, 7, 256, 257, 1000})
    checkCuda(columns, {.check = {.bindings = {{"n", rows}}, .terms = rows}});
  ParsedKernel few = parse("%x: tensor<?x5x@, #moe.sizes<\"n\", \"5\">>", "tensor<5x@>",
                           "%y = moe.reduce sum %x axis 0 : tensor<?x5x@, #moe.sizes<\"n\", \"5\">>  moe.yield %y : tensor<5x@>");
  for (int64_t rows : {0, 1, 4096, 4100})
    checkCuda(few, {.check = {.bindings = {{"n", rows}}, .terms = rows}});
  // The sum of squares of a parameter, along memory; a scalar.
  checkCuda(parse("%x: tensor<3x9000x@>", "tensor<3x@>", R"(
    %q = moe.mul %x, %x : tensor<3x9000x@>, tensor<3x9000x@>
    %s = moe.reduce sum %q axis 1 : tensor<3x9000x@>
    moe.yield %s : tensor<3x@>)"),
            {.check = {.terms = 9000}});
  checkCuda(parse("%x: tensor<40x2100x@>", "tensor<40x@>", "%s = moe.reduce mean %x axis 1 : tensor<40x2100x@>  moe.yield %s : tensor<40x@>"),
            {.check = {.terms = 2100}});
  std::string l = "tensor<?x@, #moe.sizes<\"n\">>";
  ParsedKernel scalar =
      parse("%x: " + l, "tensor<@>", fmt::format("%m = moe.reduce mean %x axis 0 : {}  %y = moe.exp %m : tensor<@>  moe.yield %y : tensor<@>", l));
  for (int64_t rows : {1, 300, 20000})
    checkCuda(scalar, {.check = {.bindings = {{"n", rows}}, .terms = rows}});
}

TEST_P(LoopsCuda, aReductionReadAtTwoPlaces) {
  checkCuda(parse("%x: tensor<5x6x6x@>", "tensor<6x6x@>", R"(
    %r = moe.reduce sum %x axis 0 : tensor<5x6x6x@>
    %t = moe.transpose %r [1, 0] : tensor<6x6x@>
    %y = moe.sub %r, %t : tensor<6x6x@>, tensor<6x6x@>
    moe.yield %y : tensor<6x6x@>)"));
}

TEST_P(LoopsCuda, maximaOfNanAndInfinity) {
  float nan = NAN, infinity = INFINITY;
  std::vector<float> x = {1, nan, 3, -infinity, -infinity, -infinity, infinity, 2, nan, -0.0f, 0, -1};
  CudaOptions options;
  options.check.inputs = {Tensor::of(x, {4, 3}).cast(*parseDType(GetParam()))};
  options.check.exact = true;
  checkCuda(parse("%x: tensor<4x3x@>", "tensor<4x@>", "%y = moe.reduce max %x axis 1 : tensor<4x3x@>  moe.yield %y : tensor<4x@>"), options);
}

TEST_P(LoopsCuda, embeddingOfBothIndexTypes) {
  Tensor ids = Tensor::of(std::vector<int64_t>{8, 0, 3, 3, 1, 7}, {2, 3});
  for (DType type : {DType::I32, DType::I64}) {
    CudaOptions options;
    options.check.inputs = {ids.cast(type)};
    options.check.exact = true;
    std::string index(name(type));
    checkCuda(parse("%i: tensor<2x3x" + index + ">, %w: tensor<9x17x@>, %p: tensor<3x17x@>", "tensor<2x3x17x@>", R"(
    %e = moe.embedding %i, %w : tensor<2x3x)" + index + R"(>, tensor<9x17x@>
    %y = moe.add %e, %p : tensor<2x3x17x@>, tensor<3x17x@>
    moe.yield %y : tensor<2x3x17x@>)"),
              options);
  }
}

TEST_P(LoopsCuda, constantsAndSeveralResults) {
  checkCuda(parse("%x: tensor<3x10x@>", "tensor<10x3x@>, tensor<10x3x@>", R"(
    %k = moe.constant dense<[[1.0], [2.5], [-3.0]]> : tensor<3x1x@>
    %h = moe.constant dense<0.75> : tensor<@>
    %a = moe.mul %x, %k : tensor<3x10x@>, tensor<3x1x@>
    %b = moe.add %a, %h : tensor<3x10x@>, tensor<@>
    %t = moe.transpose %b [1, 0] : tensor<3x10x@>
    %s = moe.transpose %a [1, 0] : tensor<3x10x@>
    moe.yield %t, %s : tensor<10x3x@>, tensor<10x3x@>)"));
}

TEST_P(LoopsCuda, ranksZeroAndOneAndWholeBlocks) {
  checkCuda(parse("%x: tensor<37x@>", "tensor<@>", "%y = moe.reduce mean %x axis 0 : tensor<37x@>  moe.yield %y : tensor<@>"));
  ParsedKernel kernel = parse("%x: tensor<?x@, #moe.sizes<\"n\">>", "tensor<?x@, #moe.sizes<\"n\">>",
                              "%y = moe.relu %x : tensor<?x@, #moe.sizes<\"n\">>  moe.yield %y : tensor<?x@, #moe.sizes<\"n\">>");
  for (int64_t elements : {1, 255, 256, 257})
    checkCuda(kernel, {.check = {.bindings = {{"n", elements}}, .exact = true}});
}

TEST_P(LoopsCuda, whereTakesWhatTheConditionSays) {
  float nan = NAN, infinity = INFINITY;
  CudaOptions options;
  options.check.inputs = {Tensor::of(std::vector<int64_t>{1, 0, 0, 1, 1, 0}, {2, 3}).cast(DType::Bool),
                          Tensor::of(std::vector<float>{1, nan, nan, -infinity, nan, 3}, {2, 3}).cast(*parseDType(GetParam())),
                          Tensor::of(std::vector<float>{nan, 2, infinity}, {3}).cast(*parseDType(GetParam()))};
  options.check.exact = true;
  checkCuda(parse("%c: tensor<2x3xi1>, %a: tensor<2x3x@>, %b: tensor<3x@>", "tensor<2x3x@>, tensor<2x3xi1>", R"(
    %w = moe.where %c, %a, %b : tensor<2x3xi1>, tensor<2x3x@>, tensor<3x@>
    %k = moe.compare gt %a, %b : tensor<2x3x@>, tensor<3x@>
    %m = moe.where %k, %c, %k : tensor<2x3xi1>, tensor<2x3xi1>, tensor<2x3xi1>
    moe.yield %w, %m : tensor<2x3x@>, tensor<2x3xi1>)"),
            options);
}

TEST_P(LoopsCuda, derivativesOfGelu) {
  std::vector<double> points = {0, -0.0, INFINITY, -INFINITY, NAN, 1e30, -1e30, 39, -39, 22, -22, 1e-30};
  for (int i = -400; i <= 400; ++i)
    points.push_back(i * 0.037);
  int64_t count = static_cast<int64_t>(points.size());
  std::string type = fmt::format("tensor<{}x@>", count);
  CudaOptions options;
  options.check.inputs = {Tensor::of(points, {count}).cast(*parseDType(GetParam()))};
  options.check.terms = 1;
  checkCuda(parse("%x: " + type, type + ", " + type,
                  fmt::format("%a = moe.gelu_grad %x : {0}\n %b = moe.gelu_tanh_grad %x : {0}\n moe.yield %a, %b : {0}, {0}", type)),
            options);
}

/// Each of these ops must give the reference's NaN, infinity and sign where its operands have them.
TEST_P(LoopsCuda, oddOperandsOfTwo) {
  std::vector<double> odd = {0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 3.5};
  int64_t count = static_cast<int64_t>(odd.size());
  CudaOptions options;
  Tensor values = Tensor::of(odd, {count}).cast(*parseDType(GetParam()));
  options.check.inputs = {values.reshaped({count, 1}), values};
  options.check.exact = true;
  std::string body, yields, types;
  for (const char* op : {"add", "sub", "mul", "div", "min", "max"}) {
    body += fmt::format("%{0} = moe.{0} %a, %b : tensor<8x1x@>, tensor<8x@>\n", op);
    yields += fmt::format("{}%{}", yields.empty() ? "" : ", ", op);
    types += fmt::format("{}tensor<8x8x@>", types.empty() ? "" : ", ");
  }
  checkCuda(parse("%a: tensor<8x1x@>, %b: tensor<8x@>", types, body + "moe.yield " + yields + " : " + types), options);
}

INSTANTIATE_TEST_SUITE_P(Floats, LoopsCuda, ::testing::Values("f32", "f64", "bf16"), [](const auto& info) { return info.param; });

class LoopsCudaOnce : public LoopsCuda {};
INSTANTIATE_TEST_SUITE_P(F32, LoopsCudaOnce, ::testing::Values("f32"));

TEST_P(LoopsCudaOnce, integersAndBits) {
  for (DType type : {DType::I32, DType::I64}) {
    CudaOptions options;
    int64_t large = type == DType::I32 ? 40000 : 3000000000;
    options.check.inputs = {Tensor::of(std::vector<int64_t>{0, 1, -1, 7, -large, large, 3}, {7, 1}).cast(type),
                            Tensor::of(std::vector<int64_t>{0, 2, -1, large, -5, 1, 3}, {7}).cast(type)};
    std::string body, yields, types;
    for (const char* op : {"add", "sub", "mul", "min", "max"}) {
      body += fmt::format("%{0} = moe.{0} %a, %b : tensor<7x1x@>, tensor<7x@>\n", op);
      yields += fmt::format("%{}, ", op);
      types += "tensor<7x7x@>, ";
    }
    body += "%n = moe.neg %add : tensor<7x7x@>\n";
    std::string element(name(type));
    checkCuda(parseKernel("loops", typed("%a: tensor<7x1x@>, %b: tensor<7x@>", element), typed(types + "tensor<7x7x@>", element),
                          typed(body + "moe.yield " + yields + "%n : " + types + "tensor<7x7x@>", element)),
              options);
  }
  CudaOptions options;
  options.check.inputs = {Tensor::of(std::vector<int64_t>{0, 1}, {2, 1}).cast(DType::Bool), Tensor::of(std::vector<int64_t>{0, 1}, {2}).cast(DType::Bool)};
  checkCuda(parseKernel("loops", "%a: tensor<2x1xi1>, %b: tensor<2xi1>", "tensor<2x2xi1>, tensor<2x2xi1>", R"(
    %x = moe.min %a, %b : tensor<2x1xi1>, tensor<2xi1>
    %y = moe.max %a, %b : tensor<2x1xi1>, tensor<2xi1>
    moe.yield %x, %y : tensor<2x2xi1>, tensor<2x2xi1>)"),
            options);
}

TEST_P(LoopsCudaOnce, everyComparisonOfEveryDtype) {
  for (DType type : {DType::F64, DType::F32, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool}) {
    std::vector<double> values = isFloat(type)         ? std::vector<double>{0, -0.0, 1.5, -2, INFINITY, -INFINITY, NAN, 1.5}
                                 : type == DType::Bool ? std::vector<double>{0, 1, 1, 0, 1, 0, 0, 1}
                                 : type == DType::U8   ? std::vector<double>{0, 1, 255, 128, 127, 3, 3, 200}
                                                       : std::vector<double>{0, -1, 7, -2147483648.0, 2147483647, 3, 3, -7};
    Tensor all = Tensor::of(values, {8}).cast(type);
    CudaOptions options;
    options.check.inputs = {all.reshaped({8, 1}), all};
    std::string body, yields, types, element = elementName(type);
    for (const char* predicate : {"eq", "ne", "lt", "le", "gt", "ge"}) {
      body += fmt::format("%{0} = moe.compare {0} %a, %b : tensor<8x1x@>, tensor<8x@>\n", predicate);
      yields += fmt::format("{}%{}", yields.empty() ? "" : ", ", predicate);
      types += fmt::format("{}tensor<8x8xi1>", types.empty() ? "" : ", ");
    }
    checkCuda(parseKernel("loops", typed("%a: tensor<8x1x@>, %b: tensor<8x@>", element), types, typed(body, element) + "moe.yield " + yields + " : " + types),
              options);
  }
}

/// Rounded once, to nearest even: ties of bf16 and of f32, what is just beside them, and what only a double tells from a tie.
TEST_P(LoopsCudaOnce, castsOfEveryDtype) {
  std::vector<double> reals = {0,      -0.0,  1,     -1.5,   INFINITY, -INFINITY, NAN, 1e300, -1e300, 3.3895313892515355e38,
                               3.4e38, 1e-40, 1e-46, 1e-310, 0x1p-133, 0x1.8p-134};
  for (double tie : {1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-24, 1 + 3 * 0x1p-24, -(1 + 0x1p-8)})
    for (double aside : {0.0, 0x1p-40, -0x1p-40, 0x1p-52, -0x1p-52})
      reals.push_back(tie + aside);
  std::vector<int64_t> whole = {0, 1, -1, 257, 258, 259, -259, 16777217, 16777219, 16842751, 16842752, 16842753, 2147483647, -2147483647 - 1};
  for (DType from : {DType::F64, DType::F32, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool}) {
    Tensor x = isFloat(from)         ? Tensor::of(reals, {static_cast<int64_t>(reals.size())}).cast(from)
               : byteSize(from) >= 4 ? Tensor::of(whole, {static_cast<int64_t>(whole.size())}).cast(from)
                                     : Tensor::of(std::vector<int64_t>{0, 1, 1, 0}, {4}).cast(from);
    CudaOptions options;
    options.check.inputs = {x};
    options.check.exact = true;
    std::string size = std::to_string(x.elements()), element = elementName(from);
    std::string body = typed("%a = moe.cast %x to f64 : tensor<" + size + "x@>\n %b = moe.cast %x to f32 : tensor<" + size +
                                 "x@>\n %c = moe.cast %x to bf16 : tensor<" + size + "x@>\n",
                             element);
    std::string types = fmt::format("tensor<{0}xf64>, tensor<{0}xf32>, tensor<{0}xbf16>", size);
    SCOPED_TRACE(element);
    checkCuda(parseKernel("loops", typed("%x: tensor<" + size + "x@>", element), types, body + "moe.yield %a, %b, %c : " + types), options);
  }
}

TEST_P(LoopsCudaOnce, drawsOfTransposedTensors) {
  for (const char* element : {"f32", "f64"})
    checkCuda(parseKernel("loops", typed("%x: tensor<3x10x@>", element), typed("tensor<10x3x@>", element),
                          typed(R"(
    %u = moe.random normal "noise" : tensor<3x10x@>
    %b = moe.add %u, %x : tensor<3x10x@>, tensor<3x10x@>
    %t = moe.transpose %b [1, 0] : tensor<3x10x@>
    moe.yield %t : tensor<10x3x@>)",
                                element)));
}

TEST(LoopsCuda, aSumOverExpertsThenItsActivation) {
  MOEC_SKIP_WITHOUT_NVRTC();
  ParsedKernel kernel = parseKernel("loops", "%e: tensor<3x37x20xf32>, %x: tensor<37x20xf32>", "tensor<37x20xf32>", R"(
    %s = moe.reduce sum %e axis 0 : tensor<3x37x20xf32>
    %a = moe.elu %s alpha 1.0 : tensor<37x20xf32>
    %r = moe.add %a, %x : tensor<37x20xf32>, tensor<37x20xf32>
    moe.yield %r : tensor<37x20xf32>)");
  checkCuda(kernel);
}

/// Also negative ones, behind a sign, and the least, of which C++ has no literal.
TEST(LoopsCuda, integersOfTheText) {
  MOEC_SKIP_WITHOUT_NVRTC();
  CudaOptions options;
  options.check.exact = true;
  for (auto [type, least] : {std::pair("i32", "-2147483648"), std::pair("i64", "-9223372036854775808")})
    for (const std::string& constant : {fmt::format("[-5, 7, {}]", least), std::string(least)}) {
      std::string vector = fmt::format("tensor<3x{}>", type);
      options.check.inputs = {Tensor::of(std::vector<int64_t>{3, -8, 9}, {3}).cast(type == std::string("i32") ? DType::I32 : DType::I64)};
      checkCuda(parseKernel("loops", "%x: " + vector, vector + ", " + vector,
                            fmt::format("%c = moe.constant dense<{0}> : {1}\n %f = moe.constant dense<-5> : {1}\n %n = moe.neg %f : {1}\n"
                                        "%y = moe.min %x, %c : {1}, {1}\n %z = moe.sub %x, %n : {1}, {1}\n moe.yield %y, %z : {1}, {1}",
                                        constant, vector)),
                options);
    }
}

TEST(LoopsCuda, oneIndexForAllTokens) {
  MOEC_SKIP_WITHOUT_NVRTC();
  std::string y = "tensor<?x1xi32, #moe.sizes<\"t\", \"1\">>";
  ParsedKernel kernel = parseKernel("loops", "%i: tensor<1x1xi32>", y, "%y = moe.broadcast %i : tensor<1x1xi32> -> " + y + "  moe.yield %y : " + y);
  CudaOptions options;
  options.check.bindings = {{"t", 37}};
  options.check.inputs = {Tensor::of(std::vector<int32_t>{3}, {1, 1})};
  options.check.exact = true;
  checkCuda(kernel, options);
}

} // namespace
} // namespace moec::testing
