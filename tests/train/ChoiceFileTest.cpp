// The record of a training's choices as a file: what is written is read, what is damaged is refused, and a training goes on with its own.

#include "runtime/train/ChoiceFile.h"

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const ChoiceHeader kHeader{"small", "points", 3, {{"a.gate", 2, 4}, {"b.gate", 1, 65536}}};

BatchKey key(int64_t step, int64_t batch = 0) { return {step, batch, step / 3, 16 * step, 3}; }

std::vector<Tensor> choices(int32_t first, int32_t second = 65535) {
  return {Tensor::of<int32_t>({first, 1, 2, -1, 3, 0}, {3, 2}), Tensor::of<int32_t>({second, -1, 254}, {3, 1})};
}

std::vector<int32_t> numbers(const Tensor& tensor) { return {tensor.as<int32_t>().begin(), tensor.as<int32_t>().end()}; }

std::string bytesOf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class Do> std::string problem(Fault fault, Do act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.what();
    return error.what();
  }
  return "";
}

struct ChoiceFile : testing::Test {
  test::TemporaryFolder folder;
  fs::path file = folder.path() / "choices.bin";

  /// Steps 1 to 3, the second of two batches.
  void writeSome() {
    ChoiceWriter writer(file, kHeader);
    writer.add(key(1), choices(0));
    writer.add(key(2), choices(1, 254));
    writer.add(key(2, 1), choices(2, 255));
    writer.add(key(3), choices(3));
  }
};

} // namespace

TEST_F(ChoiceFile, GivesWhatWasWritten) {
  writeSome();
  ChoiceReader reader(file);
  EXPECT_EQ(reader.header(), kHeader);
  EXPECT_EQ(reader.first(), 1);
  EXPECT_EQ(reader.last(), 3);
  ASSERT_NE(reader.find(2, 1), nullptr);
  EXPECT_EQ(*reader.find(2, 1), key(2, 1));
  EXPECT_EQ(reader.find(2, 2), nullptr);
  EXPECT_EQ(reader.find(4, 0), nullptr);
  std::vector<Tensor> all = reader.read(2, 1);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].shape(), (Shape{3, 2}));
  EXPECT_THAT(numbers(all[0]), ElementsAre(2, 1, 2, -1, 3, 0));
  EXPECT_THAT(numbers(all[1]), ElementsAre(255, -1, 254)) << "255 takes two bytes, for one with all bits is none";
  EXPECT_THAT(numbers(reader.read(2, 0)[1]), ElementsAre(254, -1, 254));
  EXPECT_THAT(numbers(reader.read(3, 0)[1]), ElementsAre(65535, -1, 254));
}

TEST_F(ChoiceFile, GoesOnBehindAStep) {
  writeSome();
  std::string whole = bytesOf(file);
  {
    ChoiceWriter writer(file, kHeader, 1);
    writer.add(key(2), choices(1, 254));
  }
  EXPECT_EQ(ChoiceReader(file).last(), 2);
  {
    ChoiceWriter writer(file, kHeader, 1);
    writer.add(key(2), choices(1, 254));
    writer.add(key(2, 1), choices(2, 255));
    writer.add(key(3), choices(3));
  }
  EXPECT_EQ(bytesOf(file), whole);
  std::ofstream(file, std::ios::binary | std::ios::app) << "the beginning of a block that was never finished";
  EXPECT_EQ(ChoiceReader(file).last(), 3);
  {
    ChoiceWriter writer(file, kHeader, 3);
  }
  EXPECT_EQ(bytesOf(file), whole);
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader, 4); }),
              HasSubstr("choices.bin ends behind step 3, and the training goes on behind step 4"));
  ChoiceHeader other = kHeader;
  other.seed = 4;
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, other, 3); }), HasSubstr("is the record of another training"));
  EXPECT_EQ(bytesOf(file), whole);
  {
    ChoiceWriter writer(file, other);
  } // anew
  EXPECT_EQ(ChoiceReader(file).last(), 0);
}

TEST_F(ChoiceFile, IsWrittenByOneTrainingAtATime) {
  ChoiceWriter writer(file, kHeader);
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader); }), HasSubstr("another training records its choices there"));
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader, 0); }), HasSubstr("another training records its choices there"));
}

TEST_F(ChoiceFile, WhatIsNoneStaysAsItIs) {
  std::ofstream(file) << "my thesis";
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader); }), HasSubstr("choices.bin: no record of a training's choices"));
  EXPECT_EQ(bytesOf(file), "my thesis");
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{file}; }), HasSubstr("expected a file of `moec train --record`"));
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{folder.path()}; }), HasSubstr("a folder"));
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{folder.path() / "nothing"}; }), HasSubstr("nothing: cannot be read: No such file"));
}

// Every byte counts: changed anywhere, the file is refused, or the change is found where the block is read; cut anywhere, what is before the cut is read.
TEST_F(ChoiceFile, DamageIsFound) {
  writeSome();
  std::string whole = bytesOf(file);
  auto readAll = [&] {
    ChoiceReader reader(file);
    for (auto [step, batch] : {std::pair(1, 0), {2, 0}, {2, 1}, {3, 0}})
      reader.read(step, batch);
  };
  readAll();
  auto put = [&](size_t at, char byte) {
    std::fstream(file, std::ios::binary | std::ios::in | std::ios::out).seekp(static_cast<std::streamoff>(at)).put(byte);
  };
  for (size_t at = 0; at < whole.size(); ++at) {
    put(at, static_cast<char>(whole[at] ^ 0x10));
    EXPECT_THROW(readAll(), Error) << "byte " << at;
    put(at, whole[at]);
  }
  readAll();
  int64_t last = 3;
  bool isRefused = false;
  for (size_t length = whole.size(); length-- > 0;) {
    fs::resize_file(file, length);
    try {
      ChoiceReader reader(file);
      EXPECT_FALSE(isRefused) << "cut at " << length;
      EXPECT_LE(reader.last(), last) << "cut at " << length;
      last = reader.last();
      for (int64_t step = 1; step <= last; ++step)
        reader.read(step, 0);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::Data);
      EXPECT_EQ(last, 0) << "behind the header a cut is an end: " << error.what();
      isRefused = true;
    }
  }
  EXPECT_TRUE(isRefused);
}

} // namespace moec::train
