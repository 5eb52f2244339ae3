#include "runtime/io/JsonTensor.h"
#include "runtime/io/TensorFile.h"

#include "tests/io/Files.h"

#include <cmath>
#include <limits>

using namespace moec;
using namespace moec::test;

namespace {

Tensor parse(const std::string& text, DType type = DType::F64) { return parseJsonTensor(bytesOf(text), type, "x.json"); }

TEST(JsonTensor, ReadsNestedLists) {
  Tensor tensor = parse(" [[1, 2.5, -3e2], [4, 5, 6]]\n", DType::F32);
  EXPECT_EQ(tensor.dtype(), DType::F32);
  EXPECT_EQ(tensor.shape(), Shape({2, 3}));
  EXPECT_THAT(tensor.toDoubles(), testing::ElementsAre(1, 2.5, -300, 4, 5, 6));
  EXPECT_EQ(parse("7").shape(), Shape({}));
  EXPECT_EQ(parse("[]").shape(), Shape({0}));
  EXPECT_EQ(parse("[[], []]").shape(), Shape({2, 0}));
  EXPECT_EQ(parse("[true, false]", DType::Bool).toDoubles(), (std::vector<double>{1, 0}));
}

TEST(JsonTensor, IntegersStayExact) {
  Tensor tensor = parse("[9223372036854775807, -9223372036854775808, 9007199254740993]", DType::I64);
  EXPECT_EQ(tensor.as<int64_t>()[0], std::numeric_limits<int64_t>::max());
  EXPECT_EQ(tensor.as<int64_t>()[1], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(tensor.as<int64_t>()[2], 9007199254740993);
  EXPECT_EQ(parse("[-5]", DType::I32).as<int32_t>()[0], -5);
}

TEST(JsonTensor, MistakesAreNamedWithTheirPlace) {
  EXPECT_FAULT(parse("[[1, 2], [3]]"), Fault::Data, "this list has 1 elements, those before it have 2");
  EXPECT_FAULT(parse("[[1, 2], 3]"), Fault::Data, "x.json: at [1]: a number where a list belongs");
  EXPECT_FAULT(parse("[1, [2]]"), Fault::Data, "at [1]: a list where a number belongs");
  EXPECT_FAULT(parse("[[1, 2], [3, null]]"), Fault::Data, "at [1][1]: null where a number belongs");
  EXPECT_FAULT(parse("{\"x\": 1}"), Fault::Data, "at the top: an object");
  EXPECT_FAULT(parse("[1, \"two\"]"), Fault::Data, "\"two\" where a number belongs");
  EXPECT_FAULT(parse("[1.5]", DType::I64), Fault::Data, "1.5 where an integer belongs");
  EXPECT_FAULT(parse("[2147483648]", DType::I32), Fault::Data, "2147483648 is outside i32");
  EXPECT_FAULT(parse("[9223372036854775808]", DType::I64), Fault::Data, "9223372036854775808 is outside i64");
  EXPECT_FAULT(parse("[256]", DType::U8), Fault::Data, "256 is outside u8");
  EXPECT_FAULT(parse("[1]", DType::Bool), Fault::Data, "true or false belongs");
  EXPECT_FAULT(parse(std::string(1 << 20, '[')), Fault::Data, "nested deeper than 16");
}

TEST(JsonTensor, AZeroByteIsNotTheEnd) { EXPECT_FAULT(parse(std::string("[1]\0]", 5)), Fault::Data, "x.json: not JSON at byte 4: a zero byte"); }

TEST(JsonTensor, NegativeZeroKeepsItsSign) {
  Tensor zeros = Tensor::of<double>({-0.0, 0.0}, {2});
  EXPECT_EQ(toJsonText(zeros), "[-0.0, 0]");
  EXPECT_TRUE(std::signbit(parse(toJsonText(zeros)).as<double>()[0]));
}

TEST(JsonTensor, EveryTruncationIsAnError) {
  std::string text = "[[1, 2.5], [-3e1, 4]]";
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_FAULT(parse(text.substr(0, size)), Fault::Data, "x.json: ");
}

TEST(JsonTensor, WritesWhatItReads) {
  double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(toJsonText(Tensor::of(std::vector<double>{0.1, nan, -infinity, -0.0}, {2, 2})), R"([[0.1, "NaN"], ["-Infinity", -0.0]])");
  EXPECT_EQ(toJsonText(Tensor::of(std::vector<float>{0.1f}, {1})), "[0.1]");
  EXPECT_EQ(toJsonText(Tensor::of(std::vector<int64_t>{-3}, {})), "-3");
  EXPECT_EQ(toJsonText(Tensor(DType::F32, {2, 0})), "[[], []]");
  Tensor back = parse(toJsonText(Tensor::of(std::vector<double>{nan, infinity, 1.0 / 3}, {3})));
  EXPECT_TRUE(std::isnan(back.as<double>()[0]));
  EXPECT_EQ(back.as<double>()[1], infinity);
  EXPECT_EQ(back.as<double>()[2], 1.0 / 3);
}

TEST(JsonTensors, ReadWhatIsWritten) {
  TensorMap written{{"a", Tensor::of<float>({1.5F, -2, 0.1F, 4}, {2, 2})},
                    {"ids", Tensor::of<int64_t>({9007199254740993, -1}, {2})},
                    {"none", Tensor(DType::F32, {2, 0, 3})},
                    {"one", Tensor::of<double>({0.1}, {})}};
  TensorMap read = parseJsonTensors(bytesOf(toJsonText(written)), "o.json");
  ASSERT_EQ(read.size(), written.size());
  for (const auto& [name, tensor] : written) {
    EXPECT_EQ(describe(read.at(name)), describe(tensor)) << name;
    EXPECT_EQ(read.at(name).toDoubles(), tensor.toDoubles()) << name;
  }
  EXPECT_EQ(read.at("ids").as<int64_t>()[0], 9007199254740993);
}

TEST(JsonTensors, MistakesAreNamedWithTheirTensor) {
  auto read = [](const std::string& text) { return parseJsonTensors(bytesOf(text), "o.json"); };
  EXPECT_TRUE(read("{}").empty());
  EXPECT_FAULT(read("[1]"), Fault::Data, "o.json: a list where an object");
  EXPECT_FAULT(read(R"({"a": [1, 2]})"), Fault::Data, "tensor \"a\": a list where an object of \"dtype\", \"shape\" and \"values\" belongs");
  EXPECT_FAULT(read(R"({"a": {"values": [1]}})"), Fault::Data, "\"dtype\" must stand before \"values\"");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f31", "values": [1]}})"), Fault::Data, "tensor \"a\": \"f31\" is no dtype");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32"}})"), Fault::Data, "it has no \"values\"");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "shape": [3], "values": [1, 2]}})"), Fault::Data, "its \"shape\" is [3], its values are f32[2]");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "values": [1, [2]]}})"), Fault::Data, "tensor \"a\": at [1]: a list where a number belongs");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "values": 1, "values": 2}})"), Fault::Data, "\"values\" is there twice");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "values": {}}})"), Fault::Data, "an object where a list or a number belongs");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "shape": [-1], "values": 1}})"), Fault::Data, "-1 where a list of sizes belongs");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "values": 1}, "a": {}})"), Fault::Data, "it is there twice");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "unit": 1}})"), Fault::Data, "\"unit\" where");
  EXPECT_FAULT(read(R"({"a": {"dtype": "f32", "values": [1)"), Fault::Data, "not JSON at byte");
}

} // namespace
