#include "runtime/io/TensorFile.h"

#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"
#include "tests/io/Files.h"

using namespace moec;
using namespace moec::test;

namespace {

TEST(TensorFile, TheNameSaysTheFormat) {
  Scratch scratch;
  TensorMap one{{"scores", Tensor::of(std::vector<float>{1, 0.5f}, {1, 2})}};
  TensorMap two = one;
  two.emplace("y", Tensor::of(std::vector<int64_t>{3}, {1}));

  writeTensors(scratch.path("o.npy"), one);
  EXPECT_THAT(readNpy(scratch.path("o.npy")).toDoubles(), testing::ElementsAre(1, 0.5));
  writeTensors(scratch.path("o.safetensors"), two);
  EXPECT_EQ(readSafeTensors(scratch.path("o.safetensors")).size(), 2u);
  writeTensors(scratch.path("o.json"), two);
  EXPECT_EQ(slurp(scratch.path("o.json")), "{\"scores\": {\"dtype\": \"f32\", \"shape\": [1, 2], \"values\": [[1, "
                                           "0.5]]}, \"y\": {\"dtype\": \"i64\", \"shape\": [1], \"values\": [3]}}\n");

  EXPECT_FAULT(writeTensors(scratch.path("o.npy"), two), Fault::Usage, ".npy holds one tensor, but there are 2: scores, y");
  EXPECT_FAULT(writeTensors(scratch.path("o.csv"), two), Fault::Usage, "expected .npy, .safetensors or .json");
}

TEST(TensorFile, AFullDiskLeavesTheOldFile) { EXPECT_FAULT(writeTensors("/nowhere/o.json", {}), Fault::System, "/nowhere"); }

} // namespace
