#include "runtime/data/OpenData.h"
#include "runtime/data/DataKind.h"
#include "runtime/data/Loader.h"
#include "runtime/data/Shipped.h"
#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"
#include "tests/data/Records.h"
#include "tests/io/Pictures.h"

#include <filesystem>
#include <numeric>

namespace moec::data {
namespace {

using namespace test;
using moec::test::png;
using moec::test::Scratch;

const Size kBatch = Size::symbol("batch"), kSequence = Size::symbol("sequence");

InputInfo inputOf(const std::string& name, DType dtype, std::vector<Size> shape, std::optional<int64_t> below = {}, bool forLoss = false) {
  InputInfo input;
  input.name = name;
  input.dtype = dtype;
  input.shape = std::move(shape);
  input.below = below;
  input.forLoss = forLoss;
  return input;
}

std::vector<InputInfo> pictureModel(int64_t classes = 10, int64_t side = 32) {
  InputInfo image = inputOf("image", DType::F32, {kBatch, 3, side, side});
  image.photo = PhotoRule{PhotoRule::Resize::Stretch, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
  return {image, inputOf("label", DType::I64, {kBatch}, classes, true), inputOf("train.step", DType::I64, {})};
}

std::vector<InputInfo> languageModel(int64_t vocabulary = 256) {
  return {inputOf("tokens", DType::I64, {kBatch, kSequence}, vocabulary), inputOf("targets", DType::I64, {kBatch, kSequence}, vocabulary, true)};
}

std::vector<SizeRule> positions(int64_t most) {
  return {{"the number of positions", kSequence, std::nullopt, most}, {"the capacity", kSequence * kBatch, 1, std::nullopt}};
}

std::vector<double> labelsOf(const Dataset& dataset, const std::string& name = "label") {
  std::vector<double> labels;
  for (int64_t i = 0; i < dataset.size(); ++i)
    labels.push_back(numbers(dataset, i, name)[0]);
  return labels;
}

// What ships with moec.

TEST(OpenData, DigitsForPictures) {
  OpenedData data = openData({.seed = 3}, pictureModel(), {});
  EXPECT_EQ(data.name, "digits (ships with moec)");
  EXPECT_EQ(data.train->size(), 1438);
  EXPECT_EQ(data.validation->size(), 359);
  EXPECT_FALSE(data.tokenizer);
  ASSERT_EQ(data.train->fields().size(), 2u);
  EXPECT_EQ(data.train->fields()[0].shape, (Shape{3, 32, 32}));
  // The model's mean and deviation: a point p of 0..16 is (p / 16 - 0.5) / 0.5.
  auto raw = digits();
  OpenedData all = openData({.validation = 0}, pictureModel(1000), {});
  EXPECT_FALSE(all.validation);
  ASSERT_EQ(all.train->size(), 1797);
  std::vector<double> expected = numbers(*raw, 17, "image"), found = numbers(*all.train, 17, "image");
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_EQ(found[i], expected[i] * 2 - 1);
  EXPECT_EQ(integer(*all.train, 17, "label"), 7);
}

TEST(OpenData, HeldOutDigitsAreDrawnByTheSeed) {
  auto held = [](uint64_t seed) { return openData({.seed = seed}, pictureModel(), {}).validation->digest(); };
  EXPECT_EQ(held(1), held(1));
  EXPECT_NE(held(1), held(2));
}

TEST(OpenData, NothingShipsForOtherModels) {
  EXPECT_FAULT(openData({}, {inputOf("x", DType::F32, {kBatch, 60}), inputOf("target", DType::F32, {kBatch, 20}, {}, true)}, {}), Fault::Usage,
               "no data that ship with moec fit a model with the inputs \"x\", \"target\"");
  EXPECT_FAULT(openData({}, pictureModel(9), {}), Fault::Usage, "no data that ship with moec fit");
  EXPECT_FAULT(openData({}, pictureModel(10, 28), {}), Fault::Usage, "no data that ship with moec fit");
  EXPECT_FAULT(openData({.kind = "csv"}, pictureModel(), {}), Fault::Usage, "no data that ship with moec fit");
}

TEST(OpenData, ShakespeareForText) {
  OpenedData data = openData({.tokenizer = "bytes", .stride = 0}, languageModel(), {});
  EXPECT_EQ(data.name, "shakespeare (ships with moec)");
  ASSERT_TRUE(data.tokenizer);
  EXPECT_EQ(data.tokenizer->vocabulary(), 256);
  // 262124 bytes: 26212 held out; windows of 128 and one behind.
  EXPECT_EQ(data.train->size(), (262124 - 26212 - 1) / 128);
  EXPECT_EQ(data.validation->size(), (26212 - 1) / 128);
  TensorMap record = recordOf(*data.train, 1);
  auto tokens = record.at("tokens").as<int64_t>(), targets = record.at("targets").as<int64_t>();
  ASSERT_EQ(tokens.size(), 128u);
  for (size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(tokens[i], shakespeare()[128 + i]);
    EXPECT_EQ(targets[i], shakespeare()[129 + i]);
  }
  EXPECT_EQ(recordOf(*data.validation, 0).at("tokens").as<int64_t>()[0], shakespeare()[262124 - 26212]); // the last of the text
}

// Text.

TEST(OpenData, WindowsAreWhatTheModelTakes) {
  auto window = [](const std::vector<SizeRule>& rules, int64_t asked = 0) {
    return openData({.tokenizer = "bytes", .window = asked}, languageModel(), rules).train->fields()[0].shape[0];
  };
  EXPECT_EQ(window({}), 128);
  EXPECT_EQ(window(positions(64)), 64);
  EXPECT_EQ(window(positions(1024)), 256);
  EXPECT_EQ(window(positions(1024), 300), 300);
  EXPECT_EQ(window({}, 1000), 1000);
  EXPECT_FAULT(window(positions(64), 65), Fault::Usage, "a window of 65 tokens is asked for, but input \"tokens\" takes at most 64");
  EXPECT_FAULT(window({}, -1), Fault::Usage, "a window of -1 tokens");
  std::vector<InputInfo> fixed = languageModel();
  for (InputInfo& input : fixed)
    input.shape[1] = 40;
  EXPECT_EQ(openData({.tokenizer = "bytes"}, fixed, {}).train->fields()[0].shape, Shape{40});
  EXPECT_FAULT(openData({.tokenizer = "bytes", .window = 41}, fixed, {}), Fault::Usage, "a window of 41 tokens is asked for, but input \"tokens\" takes 40");
}

// Every window is learnt from; those held out do not overlap.
TEST(OpenData, WindowsBeginAStrideApart) {
  auto open = [](int64_t stride) { return openData({.tokenizer = "bytes", .window = 100, .stride = stride}, languageModel(), {}); };
  constexpr int64_t learnt = 262124 - 26212, held = 26212;
  EXPECT_EQ(openData({.tokenizer = "bytes", .window = 100}, languageModel(), {}).train->digest(), open(1).train->digest()) << "what it is when nobody says";
  for (auto [stride, step] : {std::pair(1, 1), {7, 7}, {100, 100}, {0, 100}, {150, 150}}) {
    OpenedData data = open(stride);
    EXPECT_EQ(data.train->size(), (learnt - 100 - 1) / step + 1);
    EXPECT_EQ(recordOf(*data.train, 3).at("tokens").as<int64_t>()[0], shakespeare()[static_cast<size_t>(3 * step)]);
    EXPECT_EQ(recordOf(*data.train, 3).at("targets").as<int64_t>()[99], shakespeare()[static_cast<size_t>(3 * step + 100)]);
    EXPECT_EQ(data.validation->size(), (held - 1) / 100);
    EXPECT_EQ(data.validation->digest(), open(1).validation->digest());
  }
  EXPECT_NE(open(7).train->digest(), open(1).train->digest());
  EXPECT_FAULT(open(-1), Fault::Usage, "a stride of -1 tokens; expected 1 or more, or 0 for as many as a window has");
}

TEST(OpenData, VocabularyOfTheModel) {
  EXPECT_FAULT(openData({.tokenizer = "bytes"}, languageModel(200), {}), Fault::Data, "has a vocabulary of 256, but the model takes ids below 200");
  EXPECT_FAULT(openData({.tokenizer = "sentencepiece:300"}, languageModel(200), {}), Fault::Usage,
               "tokenizer \"sentencepiece:300\": the model's vocabulary has 200");
  EXPECT_FAULT(openData({.tokenizer = "sentencepiece:many"}, languageModel(200), {}), Fault::Usage, "expected a number of pieces");
  OpenedData data = openData({}, languageModel(500), {});
  EXPECT_LE(data.tokenizer->vocabulary(), 500);
  EXPECT_GT(data.tokenizer->vocabulary(), 100);
  OpenedData again = openData({.tokenizerInHand = data.tokenizer}, languageModel(500), {});
  EXPECT_EQ(again.train->digest(), data.train->digest());
}

TEST(OpenData, ATokenizerInHandNeedsNoFile) {
  Scratch scratch;
  DataOptions options{.path = scratch.file("a.txt", "words"), .tokenizer = scratch.path("gone.model")};
  EXPECT_FAULT(checkSources(options), Fault::Data, "gone.model: cannot read: No such file or directory");
  options.tokenizerInHand = byteTokenizer();
  checkSources(options);
}

TEST(OpenData, ATokenizerIsAFileOrAWord) {
  for (const char* word : {"", "bytes", "sentencepiece", "sentencepiece:2000"})
    EXPECT_FALSE(isTokenizerFile(word)) << word;
  for (const char* file : {"sentencepiece.model", "bytes.json", "tokenizers/sentencepiece"})
    EXPECT_TRUE(isTokenizerFile(file)) << file;
}

TEST(OpenData, TextFilesAndFolders) {
  Scratch scratch;
  std::string line = "0123456789";
  for (int i = 0; i < 5; ++i)
    line += line;
  auto path = scratch.file("a.txt", line);
  OpenedData data = openData({.path = path, .tokenizer = "bytes", .window = 20, .stride = 0}, languageModel(), {});
  EXPECT_EQ(data.name, "a.txt");
  EXPECT_EQ(data.train->size(), (320 - 32 - 1) / 20);
  EXPECT_EQ(data.validation->size(), 1);
  OpenedData folder = openData({.path = scratch.path(""), .validationPath = path, .tokenizer = "bytes", .window = 20}, languageModel(), {});
  EXPECT_EQ(folder.train->size(), 320 - 20);
  EXPECT_EQ(folder.validation->size(), 319 / 20);
  EXPECT_FAULT(openData({.path = path, .tokenizer = "bytes", .window = 32}, languageModel(), {}), Fault::Data,
               "of 320 tokens 32 are to validate with, fewer than a window of 32 and one");
  EXPECT_FAULT(openData({.path = path, .validation = 0, .tokenizer = "bytes", .window = 320}, languageModel(), {}), Fault::Data,
               "of 320 tokens 320 are to learn from");
  EXPECT_EQ(openData({.path = path, .validation = 0, .tokenizer = "bytes", .window = 319}, languageModel(), {}).train->size(), 1);
}

// An encoder's tokens and what a decoder continues them with: sizes of their own.
TEST(OpenData, ContinuationsForAnEncoderAndADecoder) {
  std::vector<InputInfo> inputs = {inputOf("ids", DType::I64, {kBatch, Size::symbol("source")}, 256),
                                   inputOf("targets", DType::I64, {kBatch, Size::symbol("target")}, 256)};
  OpenedData data = openData({.tokenizer = "bytes", .window = 50, .stride = 0}, inputs, {});
  EXPECT_EQ(openData({.tokenizer = "bytes", .window = 50}, inputs, {}).train->size(), 262124 - 26212 - 100);
  TensorMap record = recordOf(*data.train, 2);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(record.at("ids").as<int64_t>()[i], shakespeare()[200 + i]);
    EXPECT_EQ(record.at("targets").as<int64_t>()[i], shakespeare()[250 + i]);
  }
  OpenedData other = openData({.tokenizer = "bytes", .window = 50, .stride = 0, .inputs = {{"ids", "targets"}, {"targets", "tokens"}}}, inputs, {});
  EXPECT_EQ(recordOf(*other.train, 2).at("ids").as<int64_t>()[0], shakespeare()[250]);
}

// Other kinds.

TEST(OpenData, MnistFiles) {
  Scratch scratch;
  std::string points, labels;
  for (int i = 0; i < 20; ++i) {
    points += std::string(28 * 28, static_cast<char>(i * 12));
    labels.push_back(static_cast<char>(i % 10));
  }
  scratch.file("train-images-idx3-ubyte", idx({20, 28, 28}, points));
  scratch.file("train-labels-idx1-ubyte", idx({20}, labels));
  OpenedData data = openData({.path = scratch.path(""), .validation = 0}, pictureModel(), {}); // grey to three channels, 28 to 32
  EXPECT_EQ(data.train->size(), 20);
  EXPECT_EQ(data.train->fields()[0].shape, (Shape{3, 32, 32}));
  for (double value : numbers(*data.train, 3, "image"))
    EXPECT_FLOAT_EQ(value, static_cast<float>((36.0 / 255 - 0.5) / 0.5));
  EXPECT_EQ(openData({.path = scratch.path("train-images-idx3-ubyte")}, pictureModel(), {}).validation->size(), 4);
  std::vector<InputInfo> flat = {inputOf("x", DType::F32, {kBatch, 784}), inputOf("label", DType::I64, {kBatch}, 10, true)};
  OpenedData points784 = openData({.path = scratch.path(""), .validation = 0, .inputs = {{"x", "image"}}}, flat, {});
  EXPECT_FLOAT_EQ(numbers(*points784.train, 3, "x")[700], 36.0f / 255);
  EXPECT_FAULT(openData({.path = scratch.path("")}, pictureModel(5), {}), Fault::Data,
               "\"label\" has values below 10, but input \"label\" (i64[batch]) takes those below 5");
  scratch.file("t10k-images-idx3-ubyte", idx({2, 28, 28}, std::string(2 * 784, 0)));
  scratch.file("t10k-labels-idx1-ubyte", idx({2}, bytes({0, 1})));
  EXPECT_EQ(openData({.path = scratch.path("")}, pictureModel(), {}).validation->size(), 2);                     // its own
  EXPECT_EQ(openData({.path = scratch.path(""), .validation = 0.25}, pictureModel(), {}).validation->size(), 5); // as asked for
}

TEST(OpenData, CifarFiles) {
  Scratch scratch;
  scratch.file("train.bin", std::string(3074 * 10, 1));
  OpenedData data = openData({.path = scratch.path(""), .inputs = {{"label", "coarse_label"}}}, pictureModel(20), {});
  EXPECT_EQ(data.train->size(), 8);
  EXPECT_EQ(data.train->fields()[1].below, 20);
  EXPECT_FLOAT_EQ(numbers(*data.train, 0, "image")[5], static_cast<float>((1.0 / 255 - 0.5) / 0.5));
  EXPECT_FAULT(openData({.path = scratch.path("")}, pictureModel(20), {}), Fault::Data, "takes those below 20");
}

TEST(OpenData, PictureFolders) {
  Scratch scratch;
  auto picture = [](int grey) { return png(std::vector<uint8_t>(36, static_cast<uint8_t>(grey)), 6, 6, 1); };
  for (const char* name : {"data/a", "data/b", "other/a", "other/b"})
    std::filesystem::create_directories(scratch.path(name));
  for (int i = 0; i < 5; ++i) {
    scratch.file("data/a/" + std::to_string(i) + ".png", picture(51 * i));
    scratch.file("data/b/" + std::to_string(i) + ".png", picture(0));
  }
  scratch.file("other/b/x.png", picture(255));
  scratch.file("other/a/x.png", picture(255));
  OpenedData data = openData({.path = scratch.path("data")}, pictureModel(), {});
  EXPECT_EQ(data.name, "data");
  EXPECT_EQ(data.train->size(), 8);
  EXPECT_EQ(data.validation->size(), 2);
  EXPECT_EQ(data.train->fields()[1].words, (std::vector<std::string>{"a", "b"}));
  OpenedData two = openData({.path = scratch.path("data"), .validationPath = scratch.path("other")}, pictureModel(), {});
  EXPECT_EQ(two.train->size(), 10);
  EXPECT_EQ(labelsOf(*two.validation), (std::vector<double>{0, 1}));
  EXPECT_EQ(numbers(*two.validation, 1, "image"), std::vector<double>(3 * 32 * 32, 1));
  EXPECT_FAULT(openData({.path = scratch.path("data")}, pictureModel(1), {}), Fault::Data,
               "\"label\" has values below 2, but input \"label\" (i64[batch]) takes those below 1");
}

TEST(OpenData, Arrays) {
  Scratch scratch;
  auto path = scratch.path("a.safetensors");
  std::vector<double> x(12);
  std::iota(x.begin(), x.end(), 0.0);
  writeSafeTensors(path, {{"x", Tensor::of<double>(x, {6, 2})},
                          {"y", Tensor(DType::F32, {6, 1})},
                          {"blend", Tensor::of<float>({0.25, 0.5, 0.25}, {3})},
                          {"more", Tensor(DType::F32, {2})}});
  std::vector<InputInfo> model = {inputOf("x", DType::F32, {kBatch, 2}), inputOf("blend", DType::F32, {3}), inputOf("target", DType::F32, {kBatch}, {}, true)};
  EXPECT_FAULT(
      openData({.path = path}, model, {}), Fault::Usage,
      "no field for input \"target\" (f32[batch]); there are \"blend\" f32[3], \"more\" f32[2], \"x\" f64[6, 2], \"y\" f32[6, 1]. Say which one it reads: --field target=NAME");
  OpenedData data = openData({.path = path, .validation = 0, .inputs = {{"target", "y"}}}, model, {});
  EXPECT_EQ(data.train->size(), 6);
  EXPECT_EQ(numbers(*data.train, 4, "x"), (std::vector<double>{8, 9}));
  Loader loader(data.train, {.batch = 4, .shuffle = false});
  Batch batch = *loader.next();
  EXPECT_EQ(batch.fields.at("x").shape(), (Shape{4, 2}));
  EXPECT_EQ(batch.fields.at("blend").shape(), Shape{3});
  EXPECT_EQ(batch.fields.at("target").shape(), Shape{4});
  EXPECT_EQ(batch.fields.at("blend").toDoubles(), (std::vector<double>{0.25, 0.5, 0.25}));
  EXPECT_EQ(loader.next()->fields.at("blend").shape(), Shape{3});
}

TEST(OpenData, Tables) {
  Scratch scratch;
  auto path = scratch.file("iris.csv", "x.0,x.1,kind\n1,2,setosa\n3,4,virginica\n5,6,setosa\n7,8,setosa\n9,30000001,setosa\n");
  std::vector<InputInfo> model = {inputOf("x", DType::F32, {kBatch, 2}), inputOf("label", DType::I64, {kBatch}, 3, true)};
  OpenedData data = openData({.path = path, .validation = 0, .inputs = {{"label", "kind"}}}, model, {});
  EXPECT_EQ(labelsOf(*data.train), (std::vector<double>{0, 1, 0, 0, 0}));
  EXPECT_EQ(numbers(*data.train, 1, "x"), (std::vector<double>{3, 4}));
  EXPECT_EQ(numbers(*data.train, 4, "x")[1], 30000001.0f); // rounded, as 30000001.5 would be
  auto other = scratch.file("test.csv", "x.0,x.1,kind\n1,2,virginica\n1,2,versicolor\n");
  OpenedData two = openData({.path = path, .validationPath = other, .inputs = {{"label", "kind"}}}, model, {});
  EXPECT_EQ(integer(*two.validation, 0, "label"), 1);
  EXPECT_FAULT(recordOf(*two.validation, 1), Fault::Data, "test.csv:3: column \"kind\": \"versicolor\" is no word of the data to learn from");
  OpenedData listed = openData({.path = path, .validation = 0, .inputs = {{"label", "kind"}, {"x", "x.1,x.0"}}}, model, {});
  EXPECT_EQ(numbers(*listed.train, 1, "x"), (std::vector<double>{4, 3}));
  EXPECT_FAULT(openData({.path = path}, model, {}), Fault::Usage, "no field for input \"label\"");
}

TEST(OpenData, RefusesWhatContradicts) {
  Scratch scratch;
  auto path = scratch.file("a.txt", std::string(4000, 'x'));
  EXPECT_FAULT(openData({.path = path, .validation = 1}, languageModel(), {}), Fault::Usage, "a share of 1 to be held out");
  EXPECT_FAULT(openData({.path = path, .validationPath = path, .validation = 0.5}, languageModel(), {}), Fault::Usage, "give one of them");
  EXPECT_FAULT(openData({.path = scratch.path("absent")}, languageModel(), {}), Fault::Data, "absent: cannot read: No such file");
  EXPECT_FAULT(openData({.path = path, .kind = "texts"}, languageModel(), {}), Fault::Usage,
               "\"texts\" is no kind of data; there are text, images, idx, cifar, arrays, csv; did you mean \"text\"?");
  EXPECT_FAULT(openData({.path = path}, pictureModel(), {}), Fault::Usage, "a.txt: no field for input \"image\"");
  EXPECT_FAULT(openData({.path = scratch.file("t.csv", "tokens\n1\n"), .window = 4}, languageModel(), {}), Fault::Usage,
               "a window is for text, but these data are of kind csv");
  EXPECT_FAULT(openData({.path = scratch.path("t.csv"), .stride = 2}, languageModel(), {}), Fault::Usage,
               "t.csv: a stride is for text, but these data are of kind csv");
  EXPECT_FAULT(openData({.tokenizer = "bytes"}, pictureModel(), {}), Fault::Usage,
               "digits (ships with moec): a tokenizer is for text, but these data are of kind images");
  EXPECT_FAULT(openData({.validationPath = path}, languageModel(), {}), Fault::Usage, "but no data to learn from are given");
}

TEST(DataKind, ByContentAndNames) {
  Scratch scratch;
  auto kind = [&](const std::string& name, const std::string& content) {
    return name.empty() ? findDataKind(scratch.path("")) : findDataKind(scratch.file(name, content));
  };
  EXPECT_EQ(kind("a", "some text"), DataKind::Text);
  EXPECT_EQ(kind("a.csv", "a,b\n"), DataKind::Csv);
  EXPECT_EQ(kind("b.bin", std::string(3073, 0)), DataKind::Cifar);
  EXPECT_EQ(kind("c", idx({1, 1, 1}, "x")), DataKind::Idx);
  writeNpy(scratch.path("d"), Tensor(DType::F32, {2}));
  EXPECT_EQ(findDataKind(scratch.path("d")), DataKind::Arrays);
  EXPECT_FAULT(kind("e", png({0}, 1, 1, 1)), Fault::Data, "found one picture; data to learn from are");
  EXPECT_FAULT(kind("f.gz", bytes({0x1f, 0x8b, 8, 0})), Fault::Data, "f.gz: found");
  EXPECT_FAULT(kind("g", std::string("PK\3\4\0\0\0", 7)), Fault::Data, "a zip archive");
  EXPECT_FAULT(kind("h", ""), Fault::Data, "the file is empty");
}

TEST(DataKind, OfFolders) {
  {
    Scratch scratch;
    EXPECT_FAULT(findDataKind(scratch.path("")), Fault::Data, "no data to learn from");
    scratch.file("a.png", png({0}, 1, 1, 1));
    EXPECT_FAULT(findDataKind(scratch.path("")), Fault::Data, "pictures without a class");
    scratch.file("a.txt", "text");
    EXPECT_EQ(findDataKind(scratch.path("")), DataKind::Text);
    scratch.file("a.npy", "");
    EXPECT_EQ(findDataKind(scratch.path("")), DataKind::Arrays);
    std::filesystem::create_directories(scratch.path("cats"));
    scratch.file("cats/a.png", png({0}, 1, 1, 1));
    EXPECT_FAULT(findDataKind(scratch.path("")), Fault::Usage, "could be data of several kinds: arrays, images");
  }
  Scratch scratch;
  scratch.file("fine_label_names.txt", "");
  scratch.file("train.bin", "");
  EXPECT_EQ(findDataKind(scratch.path("")), DataKind::Cifar);
}

} // namespace
} // namespace moec::data
