#include "runtime/io/InputFile.h"

#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"
#include "tests/io/Files.h"
#include "tests/io/Pictures.h"

#include <sys/stat.h>

using namespace moec;
using namespace moec::test;

namespace {

const InputInfo kRows{.name = "x", .dtype = DType::F32, .shape = {Size::symbol("batch"), 3}};

TEST(InputFile, TellsFormatsByContentNotByName) {
  Scratch scratch;
  writeNpy(scratch.path("a.json"), Tensor::of(std::vector<float>{1, 2, 3}, {1, 3}));
  EXPECT_THAT(readInput(kRows, scratch.path("a.json")).toDoubles(), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(readInput(kRows, scratch.file("b.npy", "[[4, 5, 6]]")).toDoubles(), testing::ElementsAre(4, 5, 6));
  writeSafeTensors(scratch.path("c.png"), {{"x", Tensor::of(std::vector<float>{7, 8, 9}, {1, 3})}, {"y", Tensor::of(std::vector<float>{0}, {1})}});
  EXPECT_THAT(readInput(kRows, scratch.path("c.png")).toDoubles(), testing::ElementsAre(7, 8, 9));
  InputInfo image{.name = "image", .dtype = DType::F32, .shape = {Size::symbol("batch"), 3, 1, 1}, .photo = PhotoRule{}};
  EXPECT_THAT(readInput(image, scratch.file("d.txt", png({255, 0, 0}, 1, 1, 3))).toDoubles(), testing::ElementsAre(1, 0, 0));
}

TEST(InputFile, APipeIsNoFile) {
  Scratch scratch;
  ASSERT_EQ(mkfifo(scratch.path("pipe").c_str(), 0600), 0);
  EXPECT_FAULT(readInput(kRows, scratch.path("pipe")), Fault::Data, "pipe: cannot read: not a regular file");
}

TEST(InputFile, ASingleSampleGetsABatchAxis) {
  Scratch scratch;
  EXPECT_EQ(readInput(kRows, scratch.file("x", "[4, 5, 6]")).shape(), Shape({1, 3}));
  InputInfo fixed{.name = "x", .dtype = DType::F32, .shape = {1, 3}};
  EXPECT_FAULT(readInput(fixed, scratch.path("x")), Fault::Data, "f32[3], but input \"x\" takes f32[1, 3]");
}

TEST(InputFile, ResultsInJsonAreInputs) {
  Scratch scratch;
  const char* text = R"({"x": {"dtype": "f32", "shape": [1, 3], "values": [[4, 5, 6]]}, "z": {"dtype": "i32", "shape": [], "values": 1}})";
  EXPECT_THAT(readInput(kRows, scratch.file("o.json", text)).toDoubles(), testing::ElementsAre(4, 5, 6));
  InputInfo other{.name = "other", .dtype = DType::F32, .shape = {Size::symbol("batch"), 3}};
  EXPECT_FAULT(readInput(other, scratch.path("o.json")), Fault::Data, "no tensor \"other\" among its 2: x, z");
  EXPECT_THAT(readInput(other, scratch.file("one.json", R"( {"x": {"dtype": "f32", "values": [4, 5, 6]}})")).toDoubles(), testing::ElementsAre(4, 5, 6));
  EXPECT_FAULT(readInput(kRows, scratch.file("i.json", R"({"x": {"dtype": "i32", "values": [4, 5, 6]}})")), Fault::Data, "store it as f32");
}

TEST(InputFile, WhatDoesNotFitIsNamed) {
  Scratch scratch;
  EXPECT_FAULT(readInput(kRows, scratch.file("x", "[[1, 2]]")), Fault::Data, "f32[1, 2], but input \"x\" takes f32[batch, 3]");
  writeNpy(scratch.path("d.npy"), Tensor::of(std::vector<double>{1, 2, 3}, {1, 3}));
  EXPECT_FAULT(readInput(kRows, scratch.path("d.npy")), Fault::Data, "f64[1, 3], but input \"x\" takes f32[batch, 3]; store it as f32");
  EXPECT_FAULT(readInput(kRows, scratch.file("t", "plain words")), Fault::Data, "found 70 6c 61 69");
  EXPECT_FAULT(readInput(kRows, scratch.file("p.png", png({255, 0, 0}, 1, 1, 3))), Fault::Model, "a picture cannot be input \"x\"");
  writeSafeTensors(scratch.path("s"), {{"a", Tensor(DType::F32, {1, 3})}, {"b", Tensor(DType::F32, {1, 3})}});
  EXPECT_FAULT(readInput(kRows, scratch.path("s")), Fault::Data, "no tensor \"x\" among its 2: a, b");
  EXPECT_FAULT(readInput(kRows, "/nowhere"), Fault::Data, "/nowhere: cannot read");
}

} // namespace
