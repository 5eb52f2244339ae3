#include "runtime/data/SourceFile.h"
#include "tests/io/Files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

namespace moec::data {
namespace {

using moec::test::Scratch;

std::string read(const SourceFile& file, int64_t offset, size_t size) {
  std::string bytes(size, 0);
  file.read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string result(deflateBound(&stream, content.size()), 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

/// A time that no clock of the file system takes for the one before.
void touch(const std::filesystem::path& path) {
  timespec times[] = {{1000000000, 0}, {1000000000, 1}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST(SourceFile, ReadsAnywhere) {
  Scratch scratch;
  auto file = SourceFile::open(scratch.file("a", "0123456789"));
  EXPECT_EQ(file->size(), 10);
  EXPECT_EQ(read(*file, 0, 10), "0123456789");
  EXPECT_EQ(read(*file, 7, 3), "789");
  EXPECT_EQ(read(*file, 10, 0), "");
  EXPECT_FAULT(read(*file, 8, 3), Fault::Data, "ends at byte 10; 3 bytes from byte 8 on were to be read");
  EXPECT_FAULT(read(*file, INT64_MAX, 3), Fault::Data, "ends at byte 10");
  EXPECT_FAULT(read(*file, -1, 3), Fault::Data, "ends at byte 10");
}

TEST(SourceFile, RefusesWhatIsNoFile) {
  Scratch scratch;
  EXPECT_FAULT(SourceFile::open(scratch.path("absent")), Fault::Data, "absent: cannot read: No such file");
  EXPECT_FAULT(SourceFile::open(scratch.path("")), Fault::Data, "Is a directory");
  EXPECT_FAULT(SourceFile::open(scratch.file("empty", "")), Fault::Data, "empty: the file is empty");
  ASSERT_EQ(mkfifo(scratch.path("pipe").c_str(), 0600), 0);
  EXPECT_FAULT(SourceFile::open(scratch.path("pipe")), Fault::Data, "not a regular file");
}

TEST(SourceFile, TellsWhenItChanges) {
  Scratch scratch;
  auto path = scratch.file("a", "0123456789");
  auto expectChanged = [](const SourceFilePtr& file, const char* how) {
    try {
      read(*file, 0, 4);
      ADD_FAILURE() << "no error; expected: " << how;
    } catch (const FileChanged& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(how));
    }
  };
  auto file = SourceFile::open(path);
  EXPECT_EQ(read(*file, 0, 4), "0123");
  touch(path);
  expectChanged(file, "a: was written to since its records were counted");
  file = SourceFile::open(path);
  std::filesystem::resize_file(path, 4);
  expectChanged(file, "was written to");
  file = SourceFile::open(path);
  std::filesystem::rename(scratch.file("b", "0123"), path);
  expectChanged(file, "was replaced");
  file = SourceFile::open(path);
  std::filesystem::remove(path);
  expectChanged(file, "was removed");
}

TEST(SourceFile, DigestIsOfTheContent) {
  Scratch scratch;
  std::string content(size_t{9} << 20, 'x');
  auto digest = [&](const char* name, const std::string& text) { return SourceFile::open(scratch.file(name, text))->digest(); };
  std::string first = digest("a", content);
  EXPECT_EQ(first, digest("b", content));
  content[size_t{8} << 20] = 'y';
  EXPECT_NE(first, digest("c", content));
}

TEST(SourceFile, UnpacksGzip) {
  Scratch scratch;
  std::string content;
  for (int i = 0; i < 400000; ++i)
    content += std::to_string(i);
  auto path = scratch.file("a.gz", gzip(content));
  auto file = SourceFile::open(path, true);
  EXPECT_EQ(file->size(), static_cast<int64_t>(content.size()));
  EXPECT_EQ(read(*file, 0, content.size()), content);
  EXPECT_EQ(read(*file, 1500000, 9), content.substr(1500000, 9));
  EXPECT_EQ(file->digest(), SourceFile::open(scratch.file("a", content))->digest());
  EXPECT_FAULT(read(*file, static_cast<int64_t>(content.size()) - 1, 2), Fault::Data, "were to be read");
  EXPECT_LT(SourceFile::open(path)->size(), static_cast<int64_t>(content.size())); // where it is not asked for
  EXPECT_EQ(SourceFile::open(scratch.file("two.gz", gzip("ab") + gzip("cd")), true)->readAll().size(), 4u);
}

TEST(SourceFile, RefusesDamagedGzip) {
  Scratch scratch;
  std::string packed = gzip(std::string(100000, 'x') + "end");
  EXPECT_FAULT(SourceFile::open(scratch.file("short.gz", packed.substr(0, packed.size() - 3)), true), Fault::Data, "the file ends too early");
  EXPECT_FAULT(SourceFile::open(scratch.file("behind.gz", packed + "more"), true), Fault::Data, "cannot unpack it as gzip");
  packed[packed.size() - 6] ^= 1; // of the check sum
  EXPECT_FAULT(SourceFile::open(scratch.file("sum.gz", packed), true), Fault::Data, "incorrect data check");
}

TEST(ReadFile, HoldsTheFileToItsStamp) {
  Scratch scratch;
  auto path = scratch.file("a", "0123456789");
  FileStamp stamp = stampOf(path);
  EXPECT_EQ(readFile(path, stamp).size(), 10u);
  touch(path);
  EXPECT_THROW(readFile(path, stamp), FileChanged);
  stamp = stampOf(path);
  std::filesystem::rename(scratch.file("b", "0123456789"), path);
  EXPECT_THROW(readFile(path, stamp), FileChanged);
  std::filesystem::remove(path);
  EXPECT_THROW(readFile(path, stamp), FileChanged);
}

} // namespace
} // namespace moec::data
