#include "runtime/io/SafeTensors.h"

#include "tests/io/Files.h"

#include <nlohmann/json.hpp>

using namespace moec;
using namespace moec::test;

namespace {

/// A file of any header and data, honest or not.
std::string container(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i)
    length[i] = static_cast<char>(header.size() >> (8 * i));
  return length + header + data;
}

TensorMap parse(const std::string& file) {
  // As from a mapped file: the tensors share the bytes.
  auto owner = std::make_shared<std::vector<uint64_t>>(file.size() / 8 + 1);
  std::memcpy(owner->data(), file.data(), file.size());
  return parseSafeTensors({reinterpret_cast<const uint8_t*>(owner->data()), file.size()}, owner, "w.safetensors");
}

const std::string kTwo = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3,1],"data_offsets":[8,11]}})";
const std::string kTwoData("\0\0\x80\x3f\0\0\0\xc0\x01\x02\xff", 11);

TEST(SafeTensors, ReadsWhatTheFormatSays) {
  TensorMap tensors = parse(container(kTwo, kTwoData));
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors["a"].shape(), Shape({2}));
  EXPECT_THAT(tensors["a"].toDoubles(), testing::ElementsAre(1.0, -2.0));
  EXPECT_EQ(tensors["b"].dtype(), DType::U8);
  EXPECT_EQ(tensors["b"].shape(), Shape({3, 1}));
  EXPECT_THAT(tensors["b"].toDoubles(), testing::ElementsAre(1.0, 2.0, 255.0));
}

TEST(SafeTensors, ReadsEveryDType) {
  const std::pair<const char*, DType> kinds[] = {{"F64", DType::F64}, {"F32", DType::F32}, {"BF16", DType::BF16}, {"I64", DType::I64},
                                                 {"I32", DType::I32}, {"U8", DType::U8},   {"BOOL", DType::Bool}};
  for (auto [word, type] : kinds) {
    size_t bytes = byteSize(type);
    std::string header = std::string(R"({"x":{"dtype":")") + word + R"(","shape":[1],"data_offsets":[0,)" + std::to_string(bytes) + "]}}";
    TensorMap tensors = parse(container(header, std::string(bytes, '\0')));
    EXPECT_EQ(tensors["x"].dtype(), type) << word;
    EXPECT_THAT(tensors["x"].toDoubles(), testing::ElementsAre(0.0)) << word;
  }
}

TEST(SafeTensors, ReadsMetadataScalarsEmptyAndUnalignedTensors) {
  std::string header = R"({"__metadata__":{"format":"pt","dtype":"x"},"odd":{"dtype":"U8","shape":[],"data_offsets":[0,1]},)"
                       R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[1,1]},"wide":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}}  )";
  TensorMap tensors = parse(container(header, std::string("\x07\0\0\0\0\0\0\xf0\x3f", 9)));
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_THAT(tensors["odd"].toDoubles(), testing::ElementsAre(7.0));
  EXPECT_EQ(tensors["none"].shape(), Shape({0, 7}));
  EXPECT_THAT(tensors["wide"].toDoubles(), testing::ElementsAre(1.0));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensors["wide"].data()) % 8, 0u);
}

TEST(SafeTensors, EveryTruncationIsAnError) {
  std::string file = container(kTwo, kTwoData);
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_FAULT(parse(file.substr(0, size)), Fault::Data, "w.safetensors: damaged safetensors file");
}

TEST(SafeTensors, EveryFlippedBitIsReadOrRefused) {
  std::string file = container(kTwo, kTwoData);
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    try {
      for (const auto& [name, tensor] : parse(damaged))
        EXPECT_LE(tensor.bytes(), kTwoData.size());
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data) << error.what();
    }
  }
}

struct Lie {
  const char* header;
  const char* words;
};

TEST(SafeTensors, LiesAreNamed) {
  const Lie lies[] = {
      {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", "data_offsets [0, 16], but the data has 8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "data_offsets [8, 0]"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "\"a\", f32[3], has 8 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", "has 8 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", "a size of 18446744073709551615"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "a negative number"},
      {R"({"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}})", "dtype F16 is not one of"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "\"a\" stands in it twice"},
      {R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", "inside the one before it"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", "behind a gap"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "6 bytes follow the last tensor"},
      {R"({"a":{"dtype":"U8","shape":[8]}})", "lacks dtype, shape or data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0]}})", "lacks dtype, shape or data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8,9]}})", "more than two data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[8],"shape":[8],"data_offsets":[0,8]}})", "\"shape\" twice"},
      {R"({"a":{"dtype":"U8","shape":[[8]],"data_offsets":[0,8]}})", "a list as \"shape\""},
      {R"({"a":{"dtype":"U8","shape":8,"data_offsets":[0,8]}})", "a number as \"shape\""},
      {R"({"a":{"dtype":"U8","shape":[8.5],"data_offsets":[0,8]}})", "not a non-negative integer"},
      {R"({"a":{"dtype":"U8","shape":[8],"strides":[1],"data_offsets":[0,8]}})", "unknown key \"strides\""},
      {R"({"__metadata__":{"n":1}})", "a string of __metadata__ belongs"},
      {R"([1,2,3])", "its header holds a list"},
      {R"({"a":)", "not JSON at byte"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,8],"data_offsets":[0,8]}})", "more than 16 sizes"},
  };
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.header);
    EXPECT_FAULT(parse(container(lie.header, std::string(8, '\0'))), Fault::Data, lie.words);
  }
  EXPECT_FAULT(parse(container(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})" + std::string(1, '\0') + "}", std::string(8, '\0'))), Fault::Data,
               "its header holds a zero byte");
  EXPECT_FAULT(parse(std::string(7, '\xff') + "\x7f{}"), Fault::Data, "its header says it has 9223372036854775807 bytes, but 2 follow");
}

TEST(SafeTensors, DeepNestingCostsNothing) { EXPECT_FAULT(parse(container(std::string(1 << 20, '['), "")), Fault::Data, "its header holds a list"); }

TEST(SafeTensors, WritesWhatItReads) {
  Scratch scratch;
  TensorMap tensors;
  tensors.emplace("b.weight", Tensor::of(std::vector<float>{1, -0.0f, 3e-39f, 4, 5, 6}, {2, 3}));
  tensors.emplace("a", Tensor::of(std::vector<uint8_t>{1, 2, 3}, {3}));
  tensors.emplace("c", Tensor::of(std::vector<double>{1e300}, {}));
  tensors.emplace("empty", Tensor(DType::I64, {0, 4}));
  tensors.emplace("bf", Tensor::of(std::vector<float>{1.5f, -2.0f}, {2}).cast(DType::BF16));
  writeSafeTensors(scratch.path("x.safetensors"), tensors, {{"made", "here"}});
  TensorMap back = readSafeTensors(scratch.path("x.safetensors"));
  ASSERT_EQ(back.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(back[name].dtype(), tensor.dtype()) << name;
    EXPECT_EQ(back[name].shape(), tensor.shape()) << name;
    EXPECT_TRUE(tensor.bytes() == 0 || std::memcmp(back[name].data(), tensor.data(), tensor.bytes()) == 0) << name;
  }
  // The layout that other readers expect: aligned data, and a header whose offsets count from its end.
  std::string file = slurp(scratch.path("x.safetensors"));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  auto header = nlohmann::json::parse(file.substr(8, length));
  EXPECT_EQ(header["__metadata__"]["made"], "here");
  EXPECT_EQ(header["c"]["data_offsets"], nlohmann::json({0, 8}));
  EXPECT_EQ(header["b.weight"]["data_offsets"], nlohmann::json({8, 32}));
}

TEST(SafeTensors, ReadsFilesOfTheOriginalLibrary) {
  TensorMap tensors = readSafeTensors(MOEC_GOLDENS "/top_k.gate.t16-e4-k1.safetensors");
  EXPECT_GE(tensors.size(), 2u);
  for (const auto& [name, tensor] : tensors)
    EXPECT_GT(tensor.elements(), 0) << name;
}

TEST(SafeTensors, AMissingFileIsNamed) {
  EXPECT_FAULT(readSafeTensors("/nowhere/w.safetensors"), Fault::Data, "/nowhere/w.safetensors: cannot read: No such file");
}

} // namespace
