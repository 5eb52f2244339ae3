#include "runtime/data/Bind.h"
#include "tests/data/Records.h"

#include <cstring>
#include <limits>

namespace moec::data {
namespace {

using namespace test;

/// Records of given tensors (records, ..), or what all share.
class Table : public Dataset {
public:
  void add(const std::string& name, const Tensor& values, bool shared = false) {
    Shape shape = values.shape();
    if (!shared) {
      size_ = shape[0];
      shape.erase(shape.begin());
    }
    fields_.push_back({name, values.dtype(), shape, std::nullopt, {}, shared});
    values_.push_back(values);
  }
  Field& last() { return fields_.back(); }

  const std::vector<Field>& fields() const override { return fields_; }
  int64_t size() const override { return size_; }
  void read(int64_t record, std::span<std::byte* const> fields) const override {
    for (size_t i = 0; i < values_.size(); ++i) {
      size_t bytes = values_[i].bytes() / static_cast<size_t>(fields_[i].shared ? 1 : size_);
      std::memcpy(fields[i], static_cast<const std::byte*>(values_[i].data()) + (fields_[i].shared ? 0 : static_cast<size_t>(record) * bytes), bytes);
    }
  }
  std::string digest() const override { return "table"; }
  std::string describe() const override { return "table"; }
  std::string placeOf(int64_t record) const override { return "table: record " + std::to_string(record); }

private:
  std::vector<Field> fields_;
  std::vector<Tensor> values_;
  int64_t size_ = 0;
};

const Size kBatch = Size::symbol("batch");

InputInfo inputOf(const std::string& name, DType dtype, std::vector<Size> shape, bool forLoss = false) {
  InputInfo input;
  input.name = name;
  input.dtype = dtype;
  input.shape = std::move(shape);
  input.forLoss = forLoss;
  return input;
}

std::map<std::string, std::string> chosen(const std::vector<InputInfo>& inputs, const std::vector<Field>& fields,
                                          const std::map<std::string, std::string>& given = {}) {
  std::map<std::string, std::string> result;
  for (const Binding& binding : chooseFields(inputs, fields, given, "data"))
    result[binding.input.name] = binding.field;
  return result;
}

using Choice = std::map<std::string, std::string>;

TEST(ChooseFields, ByNameThenRole) {
  std::vector<Field> text = {{"tokens", DType::I64, {}, {}, {}}, {"targets", DType::I64, {}, {}, {}}};
  std::vector<Field> pictures = {{"image", DType::U8, {}, {}, {}}, {"label", DType::I64, {}, {}, {}}};
  EXPECT_EQ(chosen({inputOf("ids", DType::I64, {kBatch, 8}), inputOf("next", DType::I64, {kBatch, 8}, true)}, text),
            (Choice{{"ids", "tokens"}, {"next", "targets"}}));
  EXPECT_EQ(chosen({inputOf("targets", DType::I64, {kBatch, 8}), inputOf("ids", DType::I64, {kBatch, 9})}, text),
            (Choice{{"ids", "tokens"}, {"targets", "targets"}}));
  EXPECT_EQ(chosen({inputOf("x", DType::F32, {kBatch, 3, 8, 8}), inputOf("class", DType::I64, {kBatch}, true)}, pictures),
            (Choice{{"x", "image"}, {"class", "label"}}));
  EXPECT_EQ(chosen({inputOf("a", DType::I64, {kBatch, 8}), inputOf("b", DType::I64, {kBatch, 8}, true)}, text, {{"a", "targets"}, {"b", "tokens"}}),
            (Choice{{"a", "targets"}, {"b", "tokens"}}));
}

TEST(ChooseFields, RefusesWhatItCannotTell) {
  std::vector<Field> fields = {{"pixels", DType::F32, {4}, {}, {}}, {"label", DType::I64, {}, {}, {}}};
  EXPECT_FAULT(chosen({inputOf("x", DType::F32, {kBatch, 4})}, fields), Fault::Usage,
               "data: no field for input \"x\" (f32[batch, 4]); there are \"pixels\" f32[4], \"label\" i64. Say which one it reads: --field x=NAME");
  EXPECT_FAULT(chosen({inputOf("x", DType::F32, {kBatch, 4})}, fields, {{"x", "pixel"}}), Fault::Usage,
               "no field \"pixel\" for input \"x\"; there are \"pixels\" f32[4], \"label\" i64; did you mean \"pixels\"?");
  EXPECT_FAULT(chosen({inputOf("x", DType::F32, {kBatch, 4})}, fields, {{"y", "pixels"}}), Fault::Usage,
               "\"y\" is to read the field \"pixels\", but the model's inputs are x");
}

TEST(DataInputs, AreNeitherDrawsNorTheTrainings) {
  InputInfo draw = inputOf("layers.0.noise", DType::F32, {4}), rate = inputOf("train.learning_rate", DType::F64, {}),
            count = inputOf("train.count", DType::I64, {});
  draw.isDraw = true;
  count.list = LaunchList::Apply;
  auto inputs = dataInputs({inputOf("x", DType::F32, {kBatch}), draw, rate, count});
  ASSERT_EQ(inputs.size(), 1u);
  EXPECT_EQ(inputs[0].name, "x");
}

TEST(Bind, RecordsSizeIsTheLossInputs) {
  std::vector<InputInfo> inputs = {inputOf("blend", DType::F32, {4}), inputOf("x", DType::F32, {kBatch, 60}),
                                   inputOf("target", DType::F32, {kBatch, 20}, true)};
  EXPECT_FALSE(isByRecord(inputs[0], inputs));
  EXPECT_TRUE(isByRecord(inputs[1], inputs));
  EXPECT_TRUE(isByRecord(inputs[2], inputs));
}

TEST(Bind, NumbersBecomeTheInputs) {
  auto table = std::make_shared<Table>();
  table->add("f64", Tensor::of<double>({0.1, -2, 3, 4}, {2, 2}));
  table->add("u8", Tensor::of<uint8_t>({7, 255}, {2}));
  table->add("i32", Tensor::of<int32_t>({-5, 6}, {2, 1}));
  auto bound = bind(table,
                    {{inputOf("a", DType::F32, {kBatch, 2}), "f64"},
                     {inputOf("b", DType::I64, {kBatch}), "u8"},
                     {inputOf("c", DType::I64, {kBatch}), "i32"},
                     {inputOf("d", DType::F64, {kBatch, 2}), "f64"},
                     {inputOf("e", DType::F32, {kBatch}), "u8"},
                     {inputOf("f", DType::BF16, {kBatch, 2}), "f64"},
                     {inputOf("g", DType::F64, {kBatch, 2}), "f64"}},
                    {});
  TensorMap first = recordOf(*bound, 0), second = recordOf(*bound, 1);
  EXPECT_EQ(first.at("a").as<float>()[0], 0.1f);
  EXPECT_EQ(first.at("a").as<float>()[1], -2);
  EXPECT_EQ(second.at("b").as<int64_t>()[0], 255);
  EXPECT_EQ(first.at("c").as<int64_t>()[0], -5);
  EXPECT_EQ(first.at("c").shape(), Shape{});
  EXPECT_EQ(first.at("d").toDoubles(), (std::vector<double>{0.1, -2}));
  EXPECT_EQ(first.at("g").toDoubles(), (std::vector<double>{0.1, -2})); // read twice
  EXPECT_EQ(second.at("e").as<float>()[0], 255);
  EXPECT_EQ(first.at("f").toDoubles()[0], 0.10009765625);
}

TEST(Bind, NumbersThatAreNoneOfTheInputsAreBadRecords) {
  auto table = std::make_shared<Table>();
  table->add("half", Tensor::of<double>({1, 2.5}, {2}));
  table->add("large", Tensor::of<int64_t>({16777216, 16777217}, {2}));
  table->add("huge", Tensor::of<double>({1e38, 1e39}, {2}));
  table->add("widest", Tensor::of<float>({0x1p127f, std::numeric_limits<float>::max()}, {2}));
  table->add("infinite", Tensor::of<double>({1, std::numeric_limits<double>::infinity()}, {2}));
  auto read = [&](const std::string& field, DType dtype, int64_t record) {
    return numbers(*bind(table, {{inputOf("x", dtype, {kBatch}), field}}, {}), record, "x")[0];
  };
  EXPECT_EQ(read("half", DType::I64, 0), 1);
  EXPECT_FAULT(read("half", DType::I64, 1), Fault::Data, "table: record 1: \"half\" for input \"x\" (i64[batch]): 2.5 is no value of i64");
  EXPECT_EQ(read("large", DType::F32, 0), 16777216);
  EXPECT_FAULT(read("large", DType::F32, 1), Fault::Data, "table: record 1: \"large\" for input \"x\" (f32[batch]): 16777217 is no value of f32");
  EXPECT_FAULT(read("large", DType::U8, 0), Fault::Data, "16777216 is no value of u8");
  EXPECT_EQ(read("huge", DType::F32, 0), 1e38f);
  EXPECT_FAULT(read("huge", DType::F32, 1), Fault::Data, "1e+39 is no value of f32");
  EXPECT_EQ(read("widest", DType::BF16, 0), 0x1p127);
  EXPECT_FAULT(read("widest", DType::BF16, 1), Fault::Data, "3.4028234663852886e+38 is no value of bf16");
  EXPECT_EQ(read("infinite", DType::F32, 1), std::numeric_limits<double>::infinity());
}

// 2^53 and beyond, where whole numbers that are not equal are equal as doubles.
TEST(Bind, LargeWholeNumbersAreFloatsOnlyWhereTheyAreEqual) {
  constexpr int64_t beyond = int64_t{1} << 53;
  auto table = std::make_shared<Table>();
  table->add("n", Tensor::of<int64_t>({beyond, beyond + 1, 1 - 2 * beyond, INT64_MIN, INT64_MAX}, {5}));
  for (DType dtype : {DType::F64, DType::F32, DType::BF16}) {
    auto bound = bind(table, {{inputOf("x", dtype, {kBatch}), "n"}}, {});
    auto problem = [&](const std::string& number) { return number + " is no value of " + std::string(name(dtype)); };
    EXPECT_EQ(numbers(*bound, 0, "x")[0], 0x1p53);
    EXPECT_FAULT(recordOf(*bound, 1), Fault::Data, problem("9007199254740993"));
    EXPECT_FAULT(recordOf(*bound, 2), Fault::Data, problem("-18014398509481983"));
    EXPECT_EQ(numbers(*bound, 3, "x")[0], -0x1p63);
    EXPECT_FAULT(recordOf(*bound, 4), Fault::Data, problem("9223372036854775807"));
  }
}

TEST(Bind, ValuesKeepToWhatTheInputTakes) {
  auto table = std::make_shared<Table>();
  table->add("label", Tensor::of<int64_t>({0, 9, 10, -1, -100}, {5}));
  InputInfo input = inputOf("y", DType::I64, {kBatch});
  input.below = 10;
  auto bound = bind(table, {{input, "label"}}, {});
  EXPECT_EQ(integer(*bound, 1, "y"), 9);
  EXPECT_FAULT(recordOf(*bound, 2), Fault::Data, "table: record 2: \"label\" is 10, input \"y\" (i64[batch]) takes 0 to 9");
  EXPECT_FAULT(recordOf(*bound, 3), Fault::Data, "\"label\" is -1");
  EXPECT_FAULT(recordOf(*bound, 4), Fault::Data, "\"label\" is -100");
  input.except = -100;
  EXPECT_EQ(integer(*bind(table, {{input, "label"}}, {}), 4, "y"), -100);
  EXPECT_FAULT(recordOf(*bind(table, {{input, "label"}}, {}), 3), Fault::Data, "takes 0 to 9 (or -100 where there is none)");
}

TEST(Bind, MoreClassesThanTheInputTakes) {
  auto table = std::make_shared<Table>();
  table->add("label", Tensor::of<int64_t>({0, 11}, {2}));
  table->last().below = 12;
  InputInfo input = inputOf("y", DType::I64, {kBatch});
  input.below = 10;
  EXPECT_FAULT(bind(table, {{input, "label"}}, {}), Fault::Data, "table: \"label\" has values below 12, but input \"y\" (i64[batch]) takes those below 10");
  input.except = 11; // it may be the label that does not count
  EXPECT_EQ(integer(*bind(table, {{input, "label"}}, {}), 1, "y"), 11);
  input.below = 12;
  EXPECT_EQ(bind(table, {{input, "label"}}, {})->fields()[0].below, 12);
}

TEST(Bind, SizesFit) {
  auto table = std::make_shared<Table>();
  table->add("flat", Tensor::of<float>({1, 2, 3, 4, 5, 6}, {1, 6}));
  table->add("two", Tensor(DType::F32, {1, 2, 3}));
  table->add("ones", Tensor(DType::F32, {1, 1, 6, 1}));
  auto shapeAs = [&](const std::string& field, std::vector<Size> shape) {
    shape.insert(shape.begin(), kBatch);
    return bind(table, {{inputOf("x", DType::F32, shape), field}}, {})->fields()[0].shape;
  };
  EXPECT_EQ(shapeAs("flat", {2, 3}), (Shape{2, 3}));
  EXPECT_EQ(shapeAs("ones", {6}), Shape{6});
  EXPECT_EQ(shapeAs("flat", {1, 6}), (Shape{1, 6}));
  EXPECT_EQ(shapeAs("two", {Size::symbol("t"), 3}), (Shape{2, 3}));
  EXPECT_FAULT(shapeAs("two", {6}), Fault::Data, "table: \"two\" is f32[2, 3], which does not fit input \"x\" (f32[batch, 6])");
  EXPECT_FAULT(shapeAs("two", {3, 2}), Fault::Data, "does not fit");
  EXPECT_FAULT(shapeAs("flat", {7}), Fault::Data, "does not fit");
  EXPECT_FAULT(shapeAs("two", {Size::symbol("t"), 4}), Fault::Data, "a size is 3, expected 4");
  EXPECT_FAULT(shapeAs("flat", {Size::symbol("t"), 6}), Fault::Data, "it has 1 sizes in a record, expected 2");
}

TEST(Bind, SymbolsHaveOneValue) {
  auto table = std::make_shared<Table>();
  table->add("a", Tensor(DType::F32, {2, 5}));
  table->add("b", Tensor(DType::F32, {2, 6}));
  Size t = Size::symbol("t");
  EXPECT_FAULT(bind(table, {{inputOf("x", DType::F32, {kBatch, t}), "a"}, {inputOf("y", DType::F32, {kBatch, t}), "b"}}, {}), Fault::Data,
               "\"b\" is f32[6], which does not fit input \"y\" (f32[batch, t]): 't' is 5 in input \"x\"");
  bind(table, {{inputOf("x", DType::F32, {kBatch, t}), "a"}, {inputOf("y", DType::F32, {kBatch, Size::symbol("u")}), "b"}}, {});
  std::vector<SizeRule> rules = {{"the number of positions", t, std::nullopt, 4}, {"with the batch", t * kBatch, 100, std::nullopt}};
  EXPECT_FAULT(bind(table, {{inputOf("x", DType::F32, {kBatch, t}), "a"}}, rules), Fault::Data, "table: the number of positions (t) is 5, expected at most 4");
  rules[0].atMost = 5;
  bind(table, {{inputOf("x", DType::F32, {kBatch, t}), "a"}}, rules);
}

TEST(Bind, WhatRecordsShare) {
  auto table = std::make_shared<Table>();
  table->add("x", Tensor(DType::F32, {3, 2}));
  table->add("blend", Tensor::of<double>({0.5, 0.25}, {2}), true);
  auto bound = bind(table, {{inputOf("x", DType::F32, {kBatch, 2}), "x"}, {inputOf("blend", DType::F32, {2}), "blend"}}, {});
  EXPECT_TRUE(bound->fields()[1].shared);
  EXPECT_EQ(bound->fields()[1].shape, Shape{2});
  EXPECT_EQ(numbers(*bound, 2, "blend"), (std::vector<double>{0.5, 0.25}));
}

/// Bytes that all records share are numbers, also for an input that takes pictures.
TEST(Bind, WhatRecordsShareIsNoPicture) {
  auto table = std::make_shared<Table>();
  table->add("x", Tensor(DType::F32, {3, 2}));
  table->add("mask", Tensor::of<uint8_t>({0, 51, 102, 255}, {1, 2, 2}), true);
  InputInfo input = inputOf("mask", DType::F32, {1, 2, 2});
  input.photo = PhotoRule{};
  auto bound = bind(table, {{inputOf("x", DType::F32, {kBatch, 2}), "x"}, {input, "mask"}}, {});
  EXPECT_EQ(bound->fields()[1].shape, (Shape{1, 2, 2}));
  EXPECT_EQ(numbers(*bound, 1, "mask"), (std::vector<double>{0, 51, 102, 255}));
}

TEST(Bind, ArraysOfBytesArePicturesWhereTheInputIs) {
  auto table = std::make_shared<Table>();
  table->add("image", Tensor::of<uint8_t>({0, 51, 102, 255}, {1, 2, 2}));
  InputInfo input = inputOf("image", DType::F32, {kBatch, 1, 2, 2});
  EXPECT_EQ(numbers(*bind(table, {{input, "image"}}, {}), 0, "image"), (std::vector<double>{0, 51, 102, 255})); // numbers
  input.photo = PhotoRule{};
  EXPECT_EQ(numbers(*bind(table, {{input, "image"}}, {}), 0, "image"), (std::vector<double>{0, 0.2f, 0.4f, 1}));
}

TEST(Bind, DigestIsOfFieldsAndInputs) {
  auto table = std::make_shared<Table>();
  table->add("a", Tensor(DType::F32, {2, 5}));
  table->add("b", Tensor(DType::F32, {2, 5}));
  auto digest = [&](const std::string& input, const std::string& field, DType dtype) {
    return bind(table, {{inputOf(input, dtype, {kBatch, 5}), field}}, {})->digest();
  };
  EXPECT_EQ(digest("x", "a", DType::F32), digest("x", "a", DType::F32));
  EXPECT_NE(digest("x", "a", DType::F32), digest("x", "b", DType::F32));
  EXPECT_NE(digest("x", "a", DType::F32), digest("y", "a", DType::F32));
  EXPECT_NE(digest("x", "a", DType::F32), digest("x", "a", DType::F64));
}

} // namespace
} // namespace moec::data
