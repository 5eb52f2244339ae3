#include "runtime/io/FileKind.h"

#include "tests/io/Files.h"

using namespace moec;
using namespace moec::test;

namespace {

TEST(FileKind, TellsByContent) {
  EXPECT_EQ(fileKind(bytesOf(std::string("\x89PNG\r\n\x1a\n????"))), FileKind::Png);
  EXPECT_EQ(fileKind(bytesOf("\xff\xd8\xff\xe0")), FileKind::Jpeg);
  EXPECT_EQ(fileKind(bytesOf("\x93NUMPY\x01")), FileKind::Npy);
  EXPECT_EQ(fileKind(bytesOf(std::string("\x10\0\0\0\0\0\0\0{\"a\"", 12))), FileKind::SafeTensors);
  EXPECT_EQ(fileKind(bytesOf("\n  {\"name\": \"x\"}")), FileKind::Json);
  EXPECT_EQ(fileKind(bytesOf("[1, 2]")), FileKind::Json);
  EXPECT_EQ(fileKind(bytesOf(std::string("moec\r\n\x1a\n"))), FileKind::Program);
  EXPECT_EQ(fileKind(bytesOf("name: x")), FileKind::Unknown);
  EXPECT_EQ(fileKind(bytesOf("")), FileKind::Unknown);
}

TEST(FileKind, NamesStrangers) {
  EXPECT_EQ(describeFirstBytes(bytesOf("")), "an empty file");
  EXPECT_EQ(describeFirstBytes(bytesOf("GIF89a")), "a GIF picture");
  EXPECT_EQ(describeFirstBytes(bytesOf("PK\3\4....")), "a zip archive (.npz and PyTorch's .pt are such)");
  EXPECT_EQ(describeFirstBytes(bytesOf("RIFF....WEBPVP8")), "a WebP picture");
  EXPECT_EQ(describeFirstBytes(bytesOf("\x01\x02moec")), "01 02 6d 6f 65 63 (\"..moec\")");
}

} // namespace
