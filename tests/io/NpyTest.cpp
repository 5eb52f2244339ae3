#include "runtime/io/Npy.h"

#include "tests/io/Files.h"

#include <cstring>

using namespace moec;
using namespace moec::test;

namespace {

/// A version 1 file with the header as NumPy writes it, padded to 64.
std::string npy(const std::string& dict, const std::string& data, char major = 1) {
  size_t fixed = major == 1 ? 10 : 12;
  std::string header = dict;
  header.resize((fixed + header.size() + 1 + 63) / 64 * 64 - fixed - 1, ' ');
  header += '\n';
  std::string file = std::string("\x93NUMPY") + major + '\0' + static_cast<char>(header.size() & 0xff) + static_cast<char>(header.size() >> 8);
  return file + std::string(fixed - 10, '\0') + header + data;
}

Tensor parse(const std::string& file) { return parseNpy(bytesOf(file), nullptr, "x.npy"); }

const std::string kFloats("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40", 24);

TEST(Npy, ReadsAllVersions) {
  for (char major : {1, 2, 3}) {
    Tensor tensor = parse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", kFloats, major));
    EXPECT_EQ(tensor.dtype(), DType::F32);
    EXPECT_EQ(tensor.shape(), Shape({2, 3}));
    EXPECT_THAT(tensor.toDoubles(), testing::ElementsAre(1, 2, 3, 4, 5, 6));
  }
}

TEST(Npy, ReadsEveryTypeScalarsAndEmpties) {
  EXPECT_THAT(parse(npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8))).toDoubles(),
              testing::ElementsAre(-2));
  EXPECT_THAT(parse(npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", std::string("\x05\0\0\0", 4))).toDoubles(), testing::ElementsAre(5));
  EXPECT_THAT(parse(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }", "\xff\x01")).toDoubles(), testing::ElementsAre(255, 1));
  EXPECT_EQ(parse(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", std::string("\0\1", 2))).dtype(), DType::Bool);
  EXPECT_THAT(parse(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", std::string("\0\0\0\0\0\0\xf0\x3f", 8))).toDoubles(),
              testing::ElementsAre(1));
  EXPECT_EQ(parse(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 0), }", "")).shape(), Shape({3, 0}));
}

TEST(Npy, EveryTruncationIsAnError) {
  std::string file = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", kFloats);
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_FAULT(parse(file.substr(0, size)), Fault::Data, "x.npy: damaged .npy");
}

struct Lie {
  const char* header;
  const char* words;
};

TEST(Npy, LiesAreNamed) {
  const Lie lies[] = {
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran order, expected C order"},
      {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", "big-endian numbers ('>f4')"},
      {"{'descr': '<f2', 'fortran_order': False, 'shape': (12,), }", "an element type that is not read ('<f2')"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "f32[2, 4] has 24 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", "has 24 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4, 6), }", "has 24 bytes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "a size from 0 to 2^63-1"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", "a size from 0 to 2^63-1"},
      {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,), }", "True or False expected"},
      {"{'descr': '<f4', 'shape': (6,), }", "is missing"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}", "unknown key 'more'"},
      {"{'descr': '<f4, 'fortran_order': False", "expected"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), } and more", "text behind the header's end"},
  };
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.header);
    EXPECT_FAULT(parse(npy(lie.header, kFloats)), Fault::Data, lie.words);
  }
  EXPECT_FAULT(parse(npy("{}", "", 4)), Fault::Data, "version 4, expected 1, 2 or 3");
  EXPECT_FAULT(parse(std::string("\x93NUMPY\1\0\xff\xff{}", 12)), Fault::Data, "its header says it has 65535 bytes, but 2 follow");
}

TEST(Npy, WritesNumPysOwnBytes) {
  Scratch scratch;
  writeNpy(scratch.path("x.npy"), Tensor::of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  EXPECT_EQ(slurp(scratch.path("x.npy")), npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", kFloats));
  writeNpy(scratch.path("x.npy"), Tensor::of(std::vector<uint8_t>{65, 66}, {2}));
  EXPECT_EQ(slurp(scratch.path("x.npy")), npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", "AB"));
  writeNpy(scratch.path("x.npy"), Tensor::of(std::vector<float>{1.5f}, {1}).cast(DType::BF16));
  EXPECT_EQ(readNpy(scratch.path("x.npy")).dtype(), DType::F32);
  EXPECT_THAT(readNpy(scratch.path("x.npy")).toDoubles(), testing::ElementsAre(1.5));
}

} // namespace
