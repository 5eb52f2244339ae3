// The record of a training's choices as a file: what is written is read, what is damaged is refused, and a training goes on with its own.

#include "runtime/train/ChoiceFile.h"

#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"
#include "tests/train/Problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <sys/stat.h>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const ChoiceHeader kHeader{"small", "points", 3, {{"a.gate", 2, 4}, {"b.gate", 1, 65536}}};

BatchKey key(int64_t step, int64_t batch = 0, bool endsStep = true) { return {step, batch, step / 3, 16 * step, 3, endsStep}; }

std::vector<Tensor> choices(int32_t first, int32_t second = 65535) {
  return {Tensor::of<int32_t>({first, 1, 2, -1, 3, 0}, {3, 2}), Tensor::of<int32_t>({second, -1, 254}, {3, 1})};
}

std::vector<int32_t> numbers(const Tensor& tensor) { return {tensor.as<int32_t>().begin(), tensor.as<int32_t>().end()}; }

std::string bytesOf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct ChoiceFile : testing::Test {
  test::TemporaryFolder folder;
  fs::path file = folder.path() / "choices.bin";

  /// Steps 1 to 3, the second of two batches.
  void writeSome() {
    ChoiceWriter writer(file, kHeader);
    writer.add(key(1), choices(0));
    writer.add(key(2, 0, false), choices(1, 254));
    writer.add(key(2, 1), choices(2, 255));
    writer.add(key(3), choices(3));
  }
  /// As a checkpoint of this step has it.
  EarlierRecord earlier(int64_t step) const { return {step, ChoiceReader(file, step).digest()}; }
  void put(size_t at, const std::string& bytes) const {
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(at)) << bytes;
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
    ChoiceWriter writer(file, kHeader, earlier(1));
    writer.add(key(2), choices(1, 254));
    EXPECT_EQ(writer.digest(), earlier(2).digest);
  }
  EXPECT_EQ(ChoiceReader(file).last(), 2);
  {
    ChoiceWriter writer(file, kHeader, earlier(1));
    writer.add(key(2, 0, false), choices(1, 254));
    writer.add(key(2, 1), choices(2, 255));
    writer.add(key(3), choices(3));
  }
  EXPECT_EQ(bytesOf(file), whole);
  std::ofstream(file, std::ios::binary | std::ios::app) << "the beginning of a block that was never finished";
  EXPECT_EQ(ChoiceReader(file).last(), 3);
  {
    ChoiceWriter writer(file, kHeader, earlier(3));
  }
  EXPECT_EQ(bytesOf(file), whole);
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader, earlier(4)); }),
              HasSubstr("choices.bin ends behind step 3, and the training goes on behind step 4"));
  ChoiceHeader other = kHeader;
  other.seed = 4;
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, other, earlier(3)); }), HasSubstr("is the record of another training"));
  EXPECT_EQ(bytesOf(file), whole);
  {
    ChoiceWriter writer(file, other);
  } // anew
  EXPECT_EQ(ChoiceReader(file).last(), 0);
}

// Of a training that goes on behind step 100, what there is of its record may be the header alone.
TEST_F(ChoiceFile, BeginsInTheMiddle) {
  ChoiceHeader header = kHeader;
  header.behind = 100;
  for (const std::optional<EarlierRecord>& one : {std::optional<EarlierRecord>(), std::optional(EarlierRecord{100})}) {
    ChoiceWriter writer(file, header, one);
    EXPECT_EQ(writer.behind(), 100);
    EXPECT_EQ(ChoiceReader(file).first(), 101);
    EXPECT_EQ(ChoiceReader(file).last(), 100);
  }
  {
    ChoiceWriter(file, header, earlier(100)).add(key(101), choices(0));
  }
  header.behind = 101;
  {
    ChoiceWriter writer(file, header, earlier(101));
    EXPECT_EQ(writer.behind(), 100) << "it goes on";
    writer.add(key(102), choices(1));
  }
  EXPECT_EQ(ChoiceReader(file).first(), 101);
  EXPECT_EQ(ChoiceReader(file).last(), 102);
}

// Equal headers do not make a record this training's own.
TEST_F(ChoiceFile, OfAnotherTrainingStaysAsItIs) {
  writeSome();
  std::string whole = bytesOf(file), digest;
  {
    ChoiceWriter other(folder.path() / "other.bin", kHeader);
    other.add(key(1), choices(2));
    digest = other.digest();
  }
  for (const EarlierRecord& one : {EarlierRecord{1, digest}, EarlierRecord{1}, EarlierRecord{0}})
    EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader, one); }), HasSubstr("is not what this training recorded up to its checkpoint of step"));
  EXPECT_EQ(bytesOf(file), whole);
}

TEST_F(ChoiceFile, AStepWithoutItsLastBatchIsNone) {
  {
    ChoiceWriter writer(file, kHeader);
    writer.add(key(1), choices(0));
    writer.add(key(2, 0, false), choices(1));
  }
  ChoiceReader reader(file);
  EXPECT_EQ(reader.last(), 1);
  EXPECT_NE(reader.find(2, 0), nullptr);
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader, EarlierRecord{2, reader.digest()}); }), HasSubstr("ends behind step 1"));
}

// What a power cut left behind the checkpoint is cut off unseen; elsewhere it is damage, and no end.
TEST_F(ChoiceFile, DamageBehindTheCheckpointIsCutOff) {
  writeSome();
  std::string whole = bytesOf(file);
  EarlierRecord at3 = earlier(3);
  std::ofstream(file, std::ios::binary | std::ios::app) << std::string(4096, '\0');
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{file}; }), HasSubstr("behind step 3: no block begins there"));
  {
    ChoiceWriter writer(file, kHeader, at3);
  }
  EXPECT_EQ(bytesOf(file), whole);
  size_t second = ChoiceReader(file, 1).end();
  put(second + 5, "\1"); // a length past the end
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{file}; }), HasSubstr("damaged at byte " + std::to_string(second) + ", behind step 1"));
}

TEST_F(ChoiceFile, IsWrittenByOneTrainingAtATime) {
  ChoiceWriter writer(file, kHeader);
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader); }), HasSubstr("another training records its choices there"));
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader, EarlierRecord{0}); }), HasSubstr("another training records its choices there"));
}

TEST_F(ChoiceFile, WhatIsNoneStaysAsItIs) {
  std::ofstream(file) << "my thesis";
  EXPECT_THAT(problem(Fault::Usage, [&] { ChoiceWriter(file, kHeader); }), HasSubstr("choices.bin: no record of a training's choices"));
  EXPECT_EQ(bytesOf(file), "my thesis");
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{file}; }), HasSubstr("expected a file of `moec train --record`"));
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{folder.path()}; }), HasSubstr("a folder"));
  ASSERT_EQ(mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(problem(Fault::Data, [&] { ChoiceReader{folder.path() / "pipe"}; }), HasSubstr("not a regular file"));
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
  for (size_t at = 0; at < whole.size(); ++at) {
    put(at, {static_cast<char>(whole[at] ^ 0x10)});
    EXPECT_THROW(readAll(), Error) << "byte " << at;
    put(at, {whole[at]});
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
