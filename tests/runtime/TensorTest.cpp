// Owner of Tensor, DType and bf16 rounding.

#include "runtime/core/Tensor.h"
#include "runtime/core/BFloat16.h"
#include "runtime/core/Error.h"

#include <gtest/gtest.h>

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace moec {
namespace {

Fault faultOf(auto call) {
  try {
    call();
  } catch (const Error& error) {
    return error.fault();
  }
  ADD_FAILURE() << "no error";
  return Fault::Internal;
}

TEST(DType, NamesRoundTrip) {
  for (DType type : {DType::F64, DType::F32, DType::BF16, DType::I64, DType::I32, DType::U8, DType::Bool})
    EXPECT_EQ(parseDType(name(type)), type);
  EXPECT_FALSE(parseDType("f16"));
}

TEST(Tensor, FreshIsZeroAndAligned) {
  for (int64_t n : {1, 3, 1000, 1 << 20}) {
    Tensor tensor(DType::F32, {n});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % 64, 0u);
    for (float value : tensor.as<float>())
      ASSERT_EQ(value, 0);
  }
  EXPECT_TRUE(Tensor(DType::F32, {0, 5}).defined());
  EXPECT_EQ(Tensor(DType::F64, {}).elements(), 1);
}

TEST(Tensor, LargeOnesBeginAtPlacesOfTheirOwnInAPage) {
  for (int i = 0; i < 4; ++i) // behind what was freed blocks come from elsewhere, and begin anywhere
    Tensor(DType::F32, {1 << 20});
  std::vector<Tensor> tensors;
  std::set<uintptr_t> places;
  for (int i = 0; i < 64; ++i) {
    tensors.emplace_back(DType::F32, Shape{i % 2 == 0 ? 1 << 15 : 1 << 20});
    auto address = reinterpret_cast<uintptr_t>(tensors.back().data());
    EXPECT_EQ(address % 64, 0u);
    places.insert(address % 4096);
  }
  EXPECT_EQ(places.size(), tensors.size());
}

/// Of the mapping that an address lies in, what the kernel says in /proc/self/smaps; empty where it says nothing.
std::string mappingFlags(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  auto wanted = reinterpret_cast<uintptr_t>(address);
  bool isInside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
      isInside = begin <= wanted && wanted < end;
    else if (isInside && line.starts_with("VmFlags:"))
      return line + " ";
  }
  return {};
}

TEST(Tensor, LargeOnesWishForHugePages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage"))
    GTEST_SKIP() << "this system has no transparent huge pages";
  Tensor tensor(DType::U8, {int64_t{16} << 20});
  std::string flags = mappingFlags(tensor.as<uint8_t>().data() + (8 << 20));
  if (flags.empty())
    GTEST_SKIP() << "/proc/self/smaps has no flags of mappings here";
  EXPECT_NE(flags.find(" hg "), std::string::npos) << flags;
  for (size_t i = 0; i < tensor.bytes(); i += 4096)
    ASSERT_EQ(tensor.as<uint8_t>()[i], 0);
}

TEST(Tensor, RefusesSizes) {
  EXPECT_EQ(faultOf([] { Tensor(DType::F32, {-1}); }), Fault::Data);
  EXPECT_EQ(faultOf([] { Tensor(DType::F32, {int64_t{1} << 47}); }), Fault::Data);
  EXPECT_EQ(faultOf([] { Tensor(DType::U8, {INT64_MAX, INT64_MAX}); }), Fault::Data);
  EXPECT_EQ(faultOf([] { Tensor(DType::F32, {2}).as<double>(); }), Fault::Internal);
  EXPECT_EQ(faultOf([] { Tensor(DType::F32, {2}).reshaped({3}); }), Fault::Internal);
  EXPECT_EQ(faultOf([] { Tensor::of<float>({1, 2}, {3}); }), Fault::Internal);
  EXPECT_EQ(Tensor(DType::U8, {INT64_MAX, INT64_MAX, 0}).elements(), 0);
}

TEST(Tensor, SharesAndClones) {
  Tensor a = Tensor::of<float>({1, 2, 3, 4}, {2, 2});
  Tensor b = a.reshaped({4}), c = a.clone();
  a.as<float>()[0] = 9;
  EXPECT_EQ(b.as<float>()[0], 9);
  EXPECT_EQ(c.as<float>()[0], 1);
  EXPECT_EQ(describe(a), "f32[2, 2]");
}

TEST(Tensor, CastsToIntegersExactlyOrNotAtAll) {
  EXPECT_EQ(Tensor::of<double>({-3, 4}, {2}).cast(DType::I32).toDoubles(), (std::vector<double>{-3, 4}));
  for (double bad : {0.5, std::nan(""), 0x1p63, 1e300, -0x1p64})
    EXPECT_EQ(faultOf([&] { Tensor::of<double>({bad}, {1}).cast(DType::I64); }), Fault::Data) << bad;
  EXPECT_EQ(Tensor::of<double>({-0x1p63}, {1}).cast(DType::I64).as<int64_t>()[0], INT64_MIN);
  EXPECT_EQ(faultOf([] { Tensor::of<int64_t>({256}, {1}).cast(DType::U8); }), Fault::Data);
  EXPECT_EQ(faultOf([] { Tensor::of<int64_t>({int64_t{1} << 31}, {1}).cast(DType::I32); }), Fault::Data);
  EXPECT_EQ(faultOf([] { Tensor::of<int32_t>({2}, {1}).cast(DType::Bool); }), Fault::Data);
  EXPECT_EQ(Tensor::of<int64_t>({(int64_t{1} << 53) + 1}, {1}).cast(DType::I64).as<int64_t>()[0], (int64_t{1} << 53) + 1);
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(bf16FromFloat(1.0f), 0x3F80);
  EXPECT_EQ(bf16FromFloat(1.0f + 0x1p-8f), 0x3F80);     // tie, even below
  EXPECT_EQ(bf16FromFloat(1.0f + 3 * 0x1p-8f), 0x3F82); // tie, even above
  EXPECT_EQ(bf16FromFloat(1.0f + 0x1p-8f + 0x1p-23f), 0x3F81);
  EXPECT_EQ(bf16FromFloat(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(bf16ToFloat(bf16FromFloat(std::numeric_limits<float>::quiet_NaN()))));
  // Just above a tie, by less than a float sees: two roundings would go down to even.
  EXPECT_EQ(bf16FromDouble(1.0 + 0x1p-8 + 0x1p-40), 0x3F81);
  EXPECT_EQ(bf16FromDouble(-(1.0 + 0x1p-8 + 0x1p-40)), 0xBF81);
  EXPECT_EQ(bf16FromDouble(1.0 + 3 * 0x1p-8 - 0x1p-40), 0x3F81);
  EXPECT_EQ(bf16FromDouble(1e300), 0x7F80);
  EXPECT_EQ(bf16FromDouble(-0.0), 0x8000);
  for (uint32_t bits = 0; bits < 0x7F80; ++bits)
    ASSERT_EQ(bf16FromDouble(bf16ToFloat(static_cast<uint16_t>(bits))), bits);
}

TEST(Tensor, CastsFloats) {
  Tensor x = Tensor::of<double>({1.0 + 0x1p-30, 1e300}, {2}).cast(DType::F32);
  EXPECT_EQ(x.as<float>()[0], 1.0f);
  EXPECT_TRUE(std::isinf(x.as<float>()[1]));
  EXPECT_EQ(Tensor::of<float>({0.5f, -2}, {2}).cast(DType::BF16).toDoubles(), (std::vector<double>{0.5, -2}));
}

} // namespace
} // namespace moec
