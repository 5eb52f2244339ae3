#include "runtime/data/Sources.h"
#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"
#include "tests/data/Records.h"

namespace moec::data {
namespace {

using namespace test;
using moec::test::Scratch;

TensorMap example() {
  return {
      {"x", Tensor::of<float>({0, 1, 2, 3, 4, 5}, {3, 2})}, {"label", Tensor::of<int64_t>({7, 8, 9}, {3})}, {"blend", Tensor::of<double>({0.5, 0.25}, {2})}};
}

TEST(Arrays, OfASafetensorsFile) {
  Scratch scratch;
  writeSafeTensors(scratch.path("a.safetensors"), example());
  auto dataset = openArrays(scratch.path("a.safetensors"), {"x", "label"});
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_EQ(numbers(*dataset, 1, "x"), (std::vector<double>{2, 3}));
  EXPECT_EQ(integer(*dataset, 1, "label"), 8);
  EXPECT_EQ(dataset->describe(), "a.safetensors: 3 records of x f32[2], label i64[]");
  EXPECT_FAULT(recordOf(*dataset, 3), Fault::Usage, "there is no record 3");
}

TEST(Arrays, WhatAllRecordsShare) {
  Scratch scratch;
  writeSafeTensors(scratch.path("a.safetensors"), example());
  auto dataset = openArrays(scratch.path("a.safetensors"), {"blend", "x"}, {"blend"});
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_TRUE(dataset->fields()[0].shared);
  for (int64_t record : {0, 2})
    EXPECT_EQ(numbers(*dataset, record, "blend"), (std::vector<double>{0.5, 0.25}));
  EXPECT_FAULT(openArrays(scratch.path("a.safetensors"), {"blend", "x"}), Fault::Data, "\"x\" has 3 records, \"blend\" has 2");
  EXPECT_FAULT(openArrays(scratch.path("a.safetensors"), {"blend"}, {"blend"}), Fault::Usage, "no array with records is asked for");
}

TEST(Arrays, OfNpyFilesInAFolder) {
  Scratch scratch;
  writeNpy(scratch.path("x.npy"), example().at("x"));
  writeNpy(scratch.path("label.npy"), example().at("label"));
  scratch.file("readme.txt", "what these are");
  auto dataset = openArrays(scratch.path(""), {"label", "x"});
  EXPECT_EQ(numbers(*dataset, 2, "x"), (std::vector<double>{4, 5}));
  EXPECT_EQ(integer(*dataset, 0, "label"), 7);
  EXPECT_EQ(openArrays(scratch.path("x.npy"), {"x"})->size(), 3);
  std::vector<Field> listed = listArrays(scratch.path(""));
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].name, "label");
  EXPECT_EQ(listed[1].shape, (Shape{3, 2}));
  writeSafeTensors(scratch.path("z.safetensors"), {{"x", example().at("x")}});
  EXPECT_FAULT(listArrays(scratch.path("")), Fault::Data, "z.safetensors: an array \"x\" stands in");
}

// A safetensors file whose 8-byte numbers stand at an odd byte.
TEST(Arrays, UnalignedOnes) {
  Scratch scratch;
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I64","shape":[2],"data_offsets":[1,17]}})";
  std::string content = bytes({static_cast<int>(header.size()), 0, 0, 0, 0, 0, 0, 0}) + header + "x" + bytes({5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0});
  auto dataset = openArrays(scratch.file("a.safetensors", content), {"b"});
  EXPECT_EQ(integer(*dataset, 0, "b"), 5);
  EXPECT_EQ(integer(*dataset, 1, "b"), 6);
}

TEST(Arrays, RefusesWhatHasNoRecords) {
  Scratch scratch;
  writeSafeTensors(
      scratch.path("a.safetensors"),
      {{"scalar", Tensor::of<float>({1}, {})}, {"none", Tensor(DType::F32, {0, 4})}, {"x", Tensor(DType::F32, {2})}, {"y", Tensor(DType::F32, {3})}});
  auto open = [&](const std::vector<std::string>& names) { return openArrays(scratch.path("a.safetensors"), names); };
  EXPECT_FAULT(open({"scalar"}), Fault::Data, "\"scalar\" is f32[], which has no records");
  EXPECT_FAULT(open({"none"}), Fault::Data, "\"none\" is f32[0, 4], which has no records");
  EXPECT_FAULT(open({"x", "y"}), Fault::Data, "\"y\" has 3 records, \"x\" has 2");
  EXPECT_FAULT(open({"labels"}), Fault::Data, "no array \"labels\" among none, scalar, x, y");
  EXPECT_FAULT(openArrays(scratch.file("b.npy", "no array"), {"b"}), Fault::Data, "b.npy: expected .npy or safetensors");
}

TEST(Arrays, TellsOfAFileThatChanges) {
  Scratch scratch;
  auto path = scratch.path("x.npy");
  writeNpy(path, example().at("x"));
  auto dataset = openArrays(path, {"x"});
  EXPECT_EQ(numbers(*dataset, 0, "x")[1], 1);
  writeNpy(path, example().at("x")); // another file of the same content
  EXPECT_THROW(recordOf(*dataset, 0), FileChanged);
}

TEST(Arrays, DigestIsOfContentAndChoice) {
  Scratch scratch;
  auto path = scratch.path("a.safetensors");
  writeSafeTensors(path, example());
  std::string both = openArrays(path, {"x", "label"})->digest();
  EXPECT_EQ(openArrays(path, {"x", "label"})->digest(), both);
  EXPECT_NE(openArrays(path, {"x"})->digest(), both);
  TensorMap other = example();
  other["x"].as<float>()[0] = 1;
  writeSafeTensors(path, other);
  EXPECT_NE(openArrays(path, {"x", "label"})->digest(), both);
}

} // namespace
} // namespace moec::data
