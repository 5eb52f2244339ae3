#pragma once
// A program's run and the files around it, for the tests of batches.

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace moec::test {

struct Output {
  int code = -1;
  std::string text; // stdout and stderr
};

/// Runs a line of the shell.
inline Output shell(const std::string& line) {
  Output output;
  FILE* pipe = popen((line + " 2>&1").c_str(), "r");
  if (!pipe)
    throw std::runtime_error("cannot run: " + line);
  std::array<char, 4096> buffer;
  while (size_t got = fread(buffer.data(), 1, buffer.size(), pipe))
    output.text.append(buffer.data(), got);
  int status = pclose(pipe);
  output.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Folder {
public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("moec-runner-" + std::to_string(getpid()))) { std::filesystem::create_directories(path_); }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }

private:
  std::filesystem::path path_;
};

} // namespace moec::test
