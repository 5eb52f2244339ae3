#include "compiler/cli/Table.h"

#include <gtest/gtest.h>

using namespace moec;
using namespace moec::cli;

namespace {

TEST(Table, AlignsColumns) {
  Table table({"name", ">size"});
  table.add({"a", "10"});
  table.add({"longer", "9"});
  EXPECT_EQ(table.str(), "name    size\na         10\nlonger     9\n");
}

TEST(Table, NumbersAreShort) {
  EXPECT_EQ(shortNumber(999), "999");
  EXPECT_EQ(shortNumber(41546), "41.5 k");
  EXPECT_EQ(shortNumber(2.5e9), "2.50 G");
  EXPECT_EQ(shortBytes(512), "512 B");
  EXPECT_EQ(shortBytes(1536), "1.50 KiB");
  EXPECT_EQ(shortSeconds(2.5), "2.50 s");
  EXPECT_EQ(shortSeconds(0.0123), "12.3 ms");
}

TEST(Table, OneIsNoPlural) {
  EXPECT_EQ(counted(0, "kernel"), "0 kernels");
  EXPECT_EQ(counted(1, "kernel"), "1 kernel");
  EXPECT_EQ(counted(2, "entry", "entries"), "2 entries");
}

TEST(Table, ValuesShowBothEndsOfLongAxes) {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i);
  EXPECT_EQ(valueTable(Tensor::of(std::vector<double>{0.1}, {})), "0.1\n");
  EXPECT_EQ(valueTable(Tensor::of(std::vector<float>{1, 2}, {2})), "1  2\n");
  EXPECT_EQ(valueTable(Tensor(DType::F32, {0, 3})), "(no elements)\n");
  EXPECT_EQ(valueTable(Tensor::of(values, {1000})), "0  1  2  3  4  ...  995  996  997  998  999\n");
  EXPECT_EQ(valueTable(Tensor::of(values, {2, 250, 2}), 2), "[0, 0]      0    1\n...       ...  ...\n[1, 249]  998  999\n");
}

} // namespace
