#include "bench/gpu/TorchLayer.h"

#include "runtime/core/Error.h"
#include "runtime/io/Npy.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace moec::bench {

TorchLayer::TorchLayer(const std::string& python, const TensorMap& tensors, const std::string& device) {
  std::string name = (std::filesystem::temp_directory_path() / "moec-bench-XXXXXX").string();
  if (!mkdtemp(name.data()))
    throw Error(Fault::System, "cannot make a temporary folder " + name);
  folder_ = name;
  try {
    for (const auto& [tensor, value] : tensors)
      writeNpy(folder_ / (tensor + ".npy"), value);
    start(python, device);
    auto answer = nlohmann::json::parse(readLine());
    if (answer.contains("missing"))
      throw Error(Fault::Device, answer["missing"].get<std::string>());
    version_ = answer["torch"];
    ways_ = answer["ways"];
    reasons_ = answer["reasons"];
  } catch (...) {
    stop();
    throw;
  }
}

TorchLayer::~TorchLayer() { stop(); }

void TorchLayer::start(const std::string& python, const std::string& device) {
  std::signal(SIGPIPE, SIG_IGN); // a child that died is told by the line that does not come
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
    throw Error(Fault::System, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  std::string script = MOEC_SOURCE_DIR "/bench/gpu/torch_layer.py", folder = folder_.string();
  std::vector<std::string> words = {python, script, folder, device};
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int problem = posix_spawnp(&child_, python.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  toChild_ = in[1];
  fromChild_ = out[0];
  if (problem != 0) {
    child_ = -1;
    throw Error(Fault::Device, fmt::format("cannot start {}: {}", python, std::strerror(problem)));
  }
}

void TorchLayer::stop() {
  for (int* end : {&toChild_, &fromChild_})
    if (*end >= 0)
      close(std::exchange(*end, -1));
  if (child_ > 0)
    waitpid(std::exchange(child_, -1), nullptr, 0); // it ends with its input
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

/// The next line that is an object: packages may have words of their own.
std::string TorchLayer::readLine() {
  for (;;) {
    if (size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      if (line.starts_with('{'))
        return line;
      continue;
    }
    char bytes[4096];
    ssize_t count = read(fromChild_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      throw Error(Fault::Device, "the PyTorch process ended without an answer; what it said on stderr stands above");
    unread_.append(bytes, static_cast<size_t>(count));
  }
}

Tensor TorchLayer::result(const std::string& way) const { return readNpy(folder_ / ("y." + way + ".npy")); }

double TorchLayer::seconds(const std::string& way, int repeats) {
  std::string line = fmt::format("{} {}\n", way, repeats);
  if (write(toChild_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw Error(Fault::Device, "the PyTorch process takes no more requests");
  return nlohmann::json::parse(readLine())["seconds"];
}

} // namespace moec::bench
