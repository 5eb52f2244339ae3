// Event files against the bytes of the Python package (tests/goldens/tensorboard_goldens.py, tensorboard 2.21.0), and read back.

#include "runtime/train/TensorBoard.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <unistd.h>

namespace moec::train {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::string hex(const std::string& bytes) {
  std::string text;
  for (unsigned char c : bytes)
    text += fmt::format("{:02x}", c);
  return text;
}

/// RFC 3720, B.4, and the usual check value.
TEST(TensorBoard, ChecksumsAreThoseOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(TensorBoard, EventsAreTheGoldens) {
  EXPECT_EQ(hex(framedRecord(versionEvent(1234.5))), "1800000000000000a37f4b220900000000004a93401a0d627261696e2e4576656e743a3265b8d3fb");
  EXPECT_EQ(hex(framedRecord(startEvent(1234.5, 300))), "100000000000000095fbfe180900000000004a934010ac023a02080160cea677");
  EXPECT_EQ(
      hex(framedRecord(scalarsEvent(1234.5, 70000, {{"loss/training", 0.25}, {"aux/layers.0.gate", -1.5e-3}}))),
      "3f00000000000000516576610900000000004a934010f0a2042a300a140a0d6c6f73732f747261696e696e67150000803e0a180a116175782f6c61796572732e302e6761746515a69bc4baa6418954");
  std::string many;
  for (int i = 0; i < 200; ++i)
    many += "78";
  EXPECT_EQ(hex(framedRecord(scalarsEvent(1234.5, 1, {{std::string(200, 'x'), 1.0}}))),
            "e10000000000000003b748910900000000004a934010012ad3010ad0010ac801" + many + "150000803fe4519fff");
}

TEST(TensorBoard, StepsAndEvaluationsAreScalars) {
  StepRecord record{.step = 3,
                    .loss = 0.5,
                    .learningRate = 0.25,
                    .gradientNorm = 2,
                    .tokensPerSecond = 8,
                    .auxLosses = {{"gate.balance_loss", 1.5}},
                    .load = {{"gate", {1, 0, 5}}},
                    .dropped = {{"gate", 2}}};
  EXPECT_THAT(scalarsOf(record),
              ElementsAre(Pair("loss/training", 0.5), Pair("learning_rate", 0.25), Pair("gradient_norm", 2), Pair("tokens_per_second", 8),
                          Pair("aux/gate.balance_loss", 1.5), Pair("dropped/gate", 0.25), Pair("load_largest/gate", 2.5), Pair("load_smallest/gate", 0)));
  EXPECT_THAT(scalarsOf(EvaluationRecord{.step = 3, .loss = 1, .accuracy = 0.75}), ElementsAre(Pair("loss/validation", 1), Pair("accuracy/validation", 0.75)));
  EXPECT_THAT(scalarsOf(EvaluationRecord{.step = 3, .loss = 1}), ElementsAre(Pair("loss/validation", 1)));
}

TEST(TensorBoard, AFileIsWholeRecords) {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("moec-events-{}", getpid());
  std::filesystem::create_directories(folder);
  std::filesystem::path path;
  {
    EventFile file(folder, 7);
    path = file.path();
    EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
    file.add(7, {{"a", 1}});
    file.add(8, {{"a", 2}});
  }
  std::ifstream stream(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  int records = 0;
  for (size_t at = 0; at < bytes.size(); ++records) {
    uint64_t length = 0;
    ASSERT_LE(at + 12, bytes.size());
    std::memcpy(&length, bytes.data() + at, 8);
    ASSERT_LE(at + 16 + length, bytes.size());
    EXPECT_EQ(framedRecord(bytes.substr(at + 12, length)), bytes.substr(at, 16 + length)) << "record " << records;
    at += 16 + length;
  }
  EXPECT_EQ(records, 4);
  std::filesystem::remove_all(folder);
  EXPECT_THROW(EventFile(folder, 1), Error) << "no folder";
}

} // namespace
} // namespace moec::train
