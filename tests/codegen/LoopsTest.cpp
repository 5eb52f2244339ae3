// Owner of: kernels of loops, and of packing. Every result is held against the reference interpreter.
#include "tests/codegen/KernelCheck.h"

#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {
namespace {

CheckOptions exact() {
  CheckOptions options;
  options.exact = true;
  return options;
}

TEST(Loops, patchesOfAPicture) {
  // (B, C, 4*3, 5*3) -> (B, 4*5, C*3*3): reshape, transpose, reshape.
  ParsedKernel kernel = parseKernel("loops", "%x: tensor<2x3x12x15xf32>", "tensor<2x20x27xf32>", R"(
    %a = moe.reshape %x : tensor<2x3x12x15xf32> -> tensor<2x3x4x3x5x3xf32>
    %b = moe.transpose %a [0, 2, 4, 1, 3, 5] : tensor<2x3x4x3x5x3xf32>
    %y = moe.reshape %b : tensor<2x4x5x3x3x3xf32> -> tensor<2x20x27xf32>
    moe.yield %y : tensor<2x20x27xf32>)");
  check(kernel, exact());
}

TEST(Loops, classTokenAndPositions) {
  std::string patches = "tensor<?x4x6xf32, #moe.sizes<\"b\", \"4\", \"6\">>", all = "tensor<?x5x6xf32, #moe.sizes<\"b\", \"5\", \"6\">>";
  std::string one = "tensor<?x1x6xf32, #moe.sizes<\"b\", \"1\", \"6\">>";
  ParsedKernel kernel = parseKernel("loops", fmt::format("%x: {}, %c: tensor<1x1x6xf32>, %p: tensor<1x5x6xf32>", patches), all,
                                    fmt::format(R"(
    %t = moe.broadcast %c : tensor<1x1x6xf32> -> {0}
    %a = moe.concat %t, %x axis 1 : {0}, {1}
    %y = moe.add %a, %p : {2}, tensor<1x5x6xf32>
    moe.yield %y : {2})",
                                                one, patches, all));
  for (int64_t block : {4, 12}) // items of lines; of two entries of the batch, each of which has five
    for (int64_t batch : {1, 3, 17}) {
      CheckOptions options = exact();
      options.bindings = {{"b", batch}};
      options.block = block;
      check(kernel, options);
    }
}

// A line of three values is cut in three; one value's place is computed, the others' are read.
TEST(Loops, valuesSideBySide) {
  std::string a = "tensor<?x5xf32, #moe.sizes<\"n\", \"5\">>", b = "tensor<?x1xf32, #moe.sizes<\"n\", \"1\">>",
              c = "tensor<?x34xf32, #moe.sizes<\"n\", \"34\">>";
  std::string all = "tensor<?x40xf32, #moe.sizes<\"n\", \"40\">>";
  ParsedKernel kernel = parseKernel("loops", fmt::format("%a: {}, %b: {}, %c: {}, %x: {}", a, b, c, all), all,
                                    fmt::format(R"(
    %m = moe.mul %c, %c : {2}, {2}
    %j = moe.concat %a, %b, %m axis 1 : {0}, {1}, {2}
    %y = moe.add %j, %x : {3}, {3}
    moe.yield %y : {3})",
                                                a, b, c, all));
  for (int64_t lines : {1, 3, 50}) {
    CheckOptions options = exact();
    options.bindings = {{"n", lines}};
    check(kernel, options);
  }
}

// Of one line, whose pieces begin and end before, at and behind the places where values meet.
TEST(Loops, valuesSideBySideInOneLine) {
  ParsedKernel kernel = parseKernel("loops", "%a: tensor<30xf32>, %b: tensor<2xf32>, %c: tensor<100xf32>", "tensor<132xf32>", R"(
    %y = moe.concat %a, %b, %c axis 0 : tensor<30xf32>, tensor<2xf32>, tensor<100xf32>
    moe.yield %y : tensor<132xf32>)");
  for (int64_t block : {1, 10, 31, 200}) {
    CheckOptions options = exact();
    options.block = block;
    check(kernel, options);
  }
}

TEST(Loops, sliceWithASymbolicStart) {
  std::string x = "tensor<?x8xf64, #moe.sizes<\"n\", \"8\">>", y = "tensor<1x8xf64>";
  ParsedKernel kernel = parseKernel("loops", "%x: " + x, y,
                                    fmt::format("%l = moe.slice %x axis 0 from \"n-1\" size \"1\" : {}\n"
                                                "%y = moe.tanh %l : {}\n moe.yield %y : {}",
                                                x, y, y));
  CheckOptions options;
  options.bindings = {{"n", 6}};
  check(kernel, options);
}

TEST(Loops, aSizeAsANumber) {
  std::string x = "tensor<?x8xf32, #moe.sizes<\"n\", \"8\">>";
  for (const char* element : {"f32", "f64"}) {
    std::string typed = std::string(element) == "f32" ? x : "tensor<?x8xf64, #moe.sizes<\"n\", \"8\">>";
    ParsedKernel kernel =
        parseKernel("loops", "%x: " + typed, typed,
                    fmt::format("%s = moe.size \"8*n-1\" to {1}\n %y = moe.div %x, %s : {0}, tensor<{1}>\n moe.yield %y : {0}", typed, element));
    CheckOptions options;
    options.bindings = {{"n", 6}};
    check(kernel, options);
  }
  CheckOptions options = exact();
  options.bindings = {{"n", 1}};
  // The second is one above the middle of two bf16, which an f32 does not tell from it.
  for (const char* size : {"257*n", "2155872257*n"}) {
    SCOPED_TRACE(size);
    check(parseKernel("loops", "%x: " + x, "tensor<bf16>", fmt::format("%s = moe.size \"{}\" to bf16\n moe.yield %s : tensor<bf16>", size)), options);
  }
}

TEST(Loops, biasesOfDistances) {
  for (const char* way : {"bidirectional", ""})
    for (auto [buckets, farthest, queries, keys] : {std::array{32, 128, 150, 150}, {8, 20, 30, 30}, {4, 3, 5, 9}, {46, 1000, 3, 1200}}) {
      SCOPED_TRACE(::testing::Message() << buckets << " buckets " << way);
      std::string table = fmt::format("tensor<{}x3xf32>", buckets), y = "tensor<3x?x?xf32, #moe.sizes<\"3\", \"n\", \"m\">>";
      ParsedKernel kernel =
          parseKernel("loops", "%t: " + table, y,
                      fmt::format("%y = moe.relative_bias %t queries \"n\" keys \"m\" max_distance {} {} : {}\n moe.yield %y : {}", farthest, way, table, y));
      CheckOptions options = exact();
      options.bindings = {{"n", queries}, {"m", keys}};
      check(kernel, options);
    }
}

TEST(Loops, rotaryOfASlice) {
  for (const char* element : {"f32", "f64"})
    for (const char* style : {"", "interleaved", "inverse", "interleaved inverse"}) {
      std::string x = fmt::format("tensor<2x?x40x{}, #moe.sizes<\"2\", \"n\", \"40\">>", element),
                  y = fmt::format("tensor<2x?x24x{}, #moe.sizes<\"2\", \"n\", \"24\">>", element);
      ParsedKernel kernel = parseKernel("loops", "%x: " + x, y,
                                        fmt::format("%s = moe.slice %x axis 2 from \"8\" size \"24\" : {0}\n"
                                                    "%y = moe.rotary %s heads 3 base 1.0e+04 {1} : {2}\n moe.yield %y : {2}",
                                                    x, style, y));
      CheckOptions options;
      options.bindings = {{"n", 3000}}; // many turns
      check(kernel, options);
    }
}

TEST(Loops, whatIsNotChosenIsNotLookedAt) {
  for (const char* element : {"f32", "f64", "bf16", "i64"}) {
    std::string x = fmt::format("tensor<3x5x{}>", element), z = fmt::format("tensor<5x{}>", element);
    ParsedKernel kernel = parseKernel("loops", fmt::format("%m: tensor<3x5xi1>, %x: {}, %z: {}", x, z), fmt::format("{}, tensor<3x5xf32>", x),
                                      fmt::format("%y = moe.where %m, %x, %z : tensor<3x5xi1>, {0}, {1}\n %f = moe.cast %m to f32 : tensor<3x5xi1>\n"
                                                  "moe.yield %y, %f : {0}, tensor<3x5xf32>",
                                                  x, z));
    CheckOptions options = exact();
    DType dtype = *parseDType(element);
    Tensor mask(DType::Bool, {3, 5});
    std::vector<double> a(15, 3), b = {4, 5, isFloat(dtype) ? NAN : 6, 7, 8};
    for (size_t i = 0; i < 15; ++i) {
      mask.as<uint8_t>()[i] = i % 5 == 2 || i % 2;
      a[i] = mask.as<uint8_t>()[i] || !isFloat(dtype) ? static_cast<double>(i) : NAN;
    }
    options.inputs = {mask, Tensor::of(a, {3, 5}).cast(dtype), Tensor::of(b, {5}).cast(dtype)};
    check(kernel, options);
  }
}

TEST(Loops, reductionsAlongEveryAxis) {
  for (const char* element : {"f32", "f64"})
    for (const char* kind : {"sum", "mean", "max"})
      for (int width : {19, 24}) { // of 24 neighbours eight are reduced side by side
        std::string x = fmt::format("tensor<4x7x{}x{}>", width, element);
        std::string shapes[] = {fmt::format("tensor<7x{}x{}>", width, element), fmt::format("tensor<4x{}x{}>", width, element),
                                fmt::format("tensor<4x7x{}>", element)};
        for (int axis = 0; axis < 3; ++axis) {
          ParsedKernel kernel = parseKernel("loops", "%x: " + x, shapes[axis],
                                            fmt::format("%e = moe.exp %x : {0}\n %r = moe.reduce {1} %e axis {2} : {0}\n"
                                                        "%y = moe.neg %r : {3}\n moe.yield %y : {3}",
                                                        x, kind, axis, shapes[axis]));
          check(kernel);
        }
      }
}

/// Rows that become numbers are cut by what is read: threads share a loss of many tokens.
TEST(Loops, aMeanOfEachRowIsWorkForThreads) {
  auto itemsOf = [](const std::string& x, const std::string& y, int64_t axis) {
    ParsedKernel kernel = parseKernel("loops", "%x: " + x, y, fmt::format("%r = moe.reduce mean %x axis {} : {}\n moe.yield %r : {}", axis, x, y));
    return LoadedKernel(kernel.op, testTargets().front()).image().stages.front().items.constant().value_or(0);
  };
  EXPECT_GE(itemsOf("tensor<4096x32xf32>", "tensor<4096xf32>", 1), 16);
  EXPECT_GE(itemsOf("tensor<64x65x32xf32>", "tensor<64x65xf32>", 2), 16); // a line of them reads 65 rows
}

TEST(Loops, aReductionReadAtTwoPlaces) {
  ParsedKernel kernel = parseKernel("loops", "%x: tensor<5x6x6xf32>", "tensor<6x6xf32>", R"(
    %r = moe.reduce sum %x axis 0 : tensor<5x6x6xf32>
    %t = moe.transpose %r [1, 0] : tensor<6x6xf32>
    %y = moe.sub %r, %t : tensor<6x6xf32>, tensor<6x6xf32>
    moe.yield %y : tensor<6x6xf32>)");
  check(kernel);
}

TEST(Loops, aSumOverExpertsThenItsActivation) {
  std::string e = "tensor<3x?x20xf32, #moe.sizes<\"3\", \"b\", \"20\">>", y = "tensor<?x20xf32, #moe.sizes<\"b\", \"20\">>";
  ParsedKernel kernel = parseKernel("loops", fmt::format("%e: {}, %x: {}", e, y), y,
                                    fmt::format(R"(
    %s = moe.reduce sum %e axis 0 : {0}
    %a = moe.elu %s alpha 1.0 : {1}
    %r = moe.add %a, %x : {1}, {1}
    moe.yield %r : {1})",
                                                e, y));
  for (int64_t batch : {1, 7}) {
    CheckOptions options;
    options.bindings = {{"b", batch}};
    check(kernel, options);
  }
}

TEST(Loops, oneIndexForAllTokens) {
  std::string y = "tensor<?x1xi32, #moe.sizes<\"t\", \"1\">>";
  ParsedKernel kernel = parseKernel("loops", "%i: tensor<1x1xi32>", y, fmt::format("%y = moe.broadcast %i : tensor<1x1xi32> -> {0}\n moe.yield %y : {0}", y));
  CheckOptions options = exact();
  options.bindings = {{"t", 37}};
  options.inputs = {Tensor::of(std::vector<int32_t>{3}, {1, 1})};
  check(kernel, options);
}

TEST(Loops, embeddingOfBothIndexTypes) {
  for (const char* type : {"i32", "i64"}) {
    ParsedKernel kernel = parseKernel("loops", fmt::format("%i: tensor<2x3x{}>, %w: tensor<9x16xf32>, %p: tensor<3x16xf32>", type), "tensor<2x3x16xf32>",
                                      fmt::format(R"(
    %e = moe.embedding %i, %w : tensor<2x3x{}>, tensor<9x16xf32>
    %y = moe.add %e, %p : tensor<2x3x16xf32>, tensor<3x16xf32>
    moe.yield %y : tensor<2x3x16xf32>)",
                                                  type));
    CheckOptions options = exact();
    Tensor ids = Tensor::of(std::vector<int64_t>{8, 0, 3, 3, 1, 7}, {2, 3});
    options.inputs = {std::string(type) == "i64" ? ids : ids.cast(DType::I32)};
    check(kernel, options);
  }
}

TEST(Loops, drawsAndConstantsAndSeveralResults) {
  ParsedKernel kernel = parseKernel("loops", "%x: tensor<3x10xf32>", "tensor<10x3xf32>, tensor<10x3xf32>", R"(
    %u = moe.random normal "noise" : tensor<3x10xf32>
    %k = moe.constant dense<[[1.0], [2.0], [3.0]]> : tensor<3x1xf32>
    %a = moe.mul %u, %k : tensor<3x10xf32>, tensor<3x1xf32>
    %b = moe.add %a, %x : tensor<3x10xf32>, tensor<3x10xf32>
    %t = moe.transpose %b [1, 0] : tensor<3x10xf32>
    %s = moe.transpose %a [1, 0] : tensor<3x10xf32>
    moe.yield %t, %s : tensor<10x3xf32>, tensor<10x3xf32>)");
  check(kernel);
}

TEST(Loops, ranksZeroAndOne) {
  ParsedKernel kernel =
      parseKernel("loops", "%x: tensor<37xf32>", "tensor<f32>", "%y = moe.reduce mean %x axis 0 : tensor<37xf32>\n moe.yield %y : tensor<f32>");
  check(kernel);
  ParsedKernel other =
      parseKernel("loops", "%x: tensor<6x2xf32>", "tensor<12xf32>", "%y = moe.reshape %x : tensor<6x2xf32> -> tensor<12xf32>\n moe.yield %y : tensor<12xf32>");
  check(other, exact());
}

TEST(Loops, castsToBfloat16AreRoundedOnce) {
  // Ties of bf16, and what only a double or an integer tells from one.
  std::vector<double> reals = {1 + 0x1p-8,
                               1 + 0x1p-8 + 0x1p-40,
                               1 + 0x1p-8 - 0x1p-40,
                               1 + 3 * 0x1p-8,
                               1 + 3 * 0x1p-8 - 0x1p-52,
                               -(1 + 0x1p-8 + 0x1p-52),
                               1e300,
                               -1e300,
                               3.4e38,
                               1e-40,
                               0x1p-133,
                               0x1.8p-134 + 0x1p-180,
                               NAN,
                               INFINITY,
                               -0.0,
                               259};
  std::vector<int64_t> whole = {0, 1, -1, 257, 258, 259, -259, 16842751, 16842752, 16842753, 2147483647, -2147483647 - 1, 16777217, 3, 3, 3};
  for (DType type : {DType::F64, DType::F32, DType::I64, DType::I32}) {
    std::string x = fmt::format("tensor<16x{}>", name(type));
    CheckOptions options = exact();
    options.inputs = {isFloat(type) ? Tensor::of(reals, {16}).cast(type) : Tensor::of(whole, {16}).cast(type)};
    check(parseKernel("loops", "%x: " + x, "tensor<16xbf16>", fmt::format("%y = moe.cast %x to bf16 : {}  moe.yield %y : tensor<16xbf16>", x)), options);
  }
}

TEST(Pack, panelsWithZerosBehindTheRows) {
  struct Case {
    const char *from, *to;
    int nr;
  };
  for (Case c : {Case{"16x5xf32", "2x5x8xf32", 8}, Case{"17x5xf32", "3x5x8xf32", 8}, Case{"3x21x7xf64", "3x2x7x16xf64", 16},
                 Case{"2x3x9x4xf32", "2x3x1x4x16xf32", 16}, Case{"10x33xbf16", "3x33x4xbf16", 4},
                 // Whole vectors of columns, and depths of a vector and more: squares, the last one overlapping.
                 Case{"2x37x33xf32", "2x2x33x32xf32", 32}, Case{"40x16xf32", "3x16x16xf32", 16}, Case{"3x21x19xf64", "3x2x19x16xf64", 16},
                 Case{"50x35xbf16", "2x35x32xbf16", 32}})
    for (int64_t block : {0, 1, 2}) {
      ParsedKernel kernel = parseKernel("pack", fmt::format("%w: tensor<{}>", c.from), fmt::format("tensor<{}>", c.to),
                                        fmt::format("%p = moe.pack %w nr {} : tensor<{}>\n moe.yield %p : tensor<{}>", c.nr, c.from, c.to));
      CheckOptions options = exact();
      options.block = block;
      check(kernel, options);
    }
}

// More than the caches hold: whole panels are stored past them in lines, which are one vector or several, and the last one of each matrix too, which may end in
// the first of a line's vectors or behind it.
TEST(Pack, panelsThatNoCacheHolds) {
  struct Case {
    const char *from, *exchanged, *to;
    int nr;
  };
  for (Case c : {Case{"2x2053x2050xf32", "2x2050x2053xf32", "2x65x2053x32xf32", 32}, Case{"1x2053x2059xf32", "1x2059x2053xf32", "1x129x2053x16xf32", 16},
                 Case{"1x1021x2059xf64", "1x2059x1021xf64", "1x129x1021x16xf64", 16}}) {
    check(parseKernel("pack", fmt::format("%w: tensor<{}>", c.exchanged), fmt::format("tensor<{}>", c.to),
                      fmt::format("%p = moe.pack %w nr {} : tensor<{}>\n moe.yield %p : tensor<{}>", c.nr, c.exchanged, c.to)),
          exact());
    check(parseKernel("pack", fmt::format("%w: tensor<{}>", c.from), fmt::format("tensor<{}>", c.to),
                      fmt::format("%t = moe.transpose %w [0, 2, 1] : tensor<{}>\n %p = moe.pack %t nr {} : tensor<{}>\n moe.yield %p : tensor<{}>", c.from,
                                  c.nr, c.exchanged, c.to)),
          exact());
  }
}

TEST(Pack, panelsOfAMatrixThatLiesTransposed) {
  struct Case {
    const char *from, *exchanged, *to, *permutation;
    int nr;
  };
  for (Case c : {Case{"5x16xf32", "16x5xf32", "2x5x8xf32", "1, 0", 8}, Case{"5x17xf32", "17x5xf32", "2x5x16xf32", "1, 0", 16},
                 Case{"3x7x21xf64", "3x21x7xf64", "3x2x7x16xf64", "0, 2, 1", 16}, Case{"33x10xbf16", "10x33xbf16", "3x33x4xbf16", "1, 0", 4},
                 Case{"4x1x50xbf16", "4x50x1xbf16", "4x2x1x32xbf16", "0, 2, 1", 32}})
    for (int64_t block : {0, 1, 2, 5}) {
      ParsedKernel kernel = parseKernel("pack", fmt::format("%w: tensor<{}>", c.from), fmt::format("tensor<{}>", c.to),
                                        fmt::format("%t = moe.transpose %w [{}] : tensor<{}>\n %p = moe.pack %t nr {} : tensor<{}>\n moe.yield %p : tensor<{}>",
                                                    c.permutation, c.from, c.nr, c.exchanged, c.to));
      CheckOptions options = exact();
      options.block = block;
      check(kernel, options);
    }
}

/// Panels of two lines a row take stretches of exchanged rows together, unless some threads would be left without any.
TEST(Pack, panelsOfExchangedRowsAreMadeTogether) {
  std::string error;
  auto emitter = codegen::makeEmitter(testTargets().back(), error);
  ASSERT_TRUE(emitter) << error;
  auto blockOf = [&](int experts, bool exchanged) {
    std::string w = fmt::format("tensor<{}x2048x512xf32>", experts), lying = exchanged ? fmt::format("tensor<{}x512x2048xf32>", experts) : w;
    std::string turn = exchanged ? fmt::format("%t = moe.transpose %w [0, 2, 1] : {}\n", lying) : "";
    std::string to = fmt::format("tensor<{}x64x512x32xf32>", experts);
    ParsedKernel kernel =
        parseKernel("pack", "%w: " + lying, to, fmt::format("{}%p = moe.pack {} nr 32 : {}\n moe.yield %p : {}", turn, exchanged ? "%t" : "%w", w, to));
    return emitter->chooseSchedule(kernel.op).getAs<mlir::IntegerAttr>("block").getInt();
  };
  EXPECT_EQ(blockOf(16, true), 2048 / (32 * 4));
  EXPECT_EQ(blockOf(1, true), 64 / 32);
  EXPECT_EQ(blockOf(16, false), 1);
}

} // namespace
} // namespace moec::testing
