#pragma once
// Scratch files and expectations shared by the tests of runtime/io.

#include "runtime/core/Error.h"
#include "runtime/core/Tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>
#include <vector>

namespace moec::test {

/// A folder of its own for each test, removed with it.
class Scratch {
public:
  Scratch() : folder_(std::filesystem::temp_directory_path() / ("moec-io-" + std::to_string(getpid()))) { std::filesystem::create_directories(folder_); }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  std::filesystem::path file(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

private:
  std::filesystem::path folder_;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline std::span<const uint8_t> bytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

/// `statement` throws moec::Error of this fault, with a message that contains `words`.
#define EXPECT_FAULT(statement, expectedFault, words)        \
  try {                                                      \
    statement;                                               \
    ADD_FAILURE() << "no error from " #statement;            \
  } catch (const ::moec::Error& error) {                     \
    EXPECT_EQ(error.fault(), expectedFault) << error.what(); \
    EXPECT_THAT(error.what(), ::testing::HasSubstr(words));  \
  }

} // namespace moec::test
