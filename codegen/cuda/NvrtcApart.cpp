// compileCudaApart(): the tool moec-nvrtc, started, waited for and judged.

#include "codegen/cuda/NvrtcExchange.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace moec::codegen::cuda {

namespace {

namespace fs = std::filesystem;

constexpr const char* kTool = "moec-nvrtc";

/// In libexec, seen from the library that holds this function: of an installed tree, of the build tree.
fs::path findTool() {
  Dl_info info{};
  std::error_code code;
  fs::path folder;
  if (dladdr(reinterpret_cast<void*>(&compileCudaApart), &info) && info.dli_fname)
    folder = fs::weakly_canonical(info.dli_fname, code).parent_path();
  fs::path installed = (folder / MOEC_TOOL_FOLDER / kTool).lexically_normal(), built = (folder / "../libexec/moec" / kTool).lexically_normal();
  for (const fs::path& path : {installed, built})
    if (access(path.c_str(), X_OK) == 0)
      return path;
  throw Error(Fault::Device, fmt::format("the tool {}, which compiles kernels' texts by users, is not installed; looked at:\n  {}\n  {}", kTool,
                                         installed.string(), built.string()));
}

fs::path temporaryFolder() {
  std::error_code code;
  fs::path folder = fs::temp_directory_path(code);
  if (!code)
    return folder;
  folder = "/tmp";
  for (const char* name : {"TEMPDIR", "TEMP", "TMP", "TMPDIR"}) // the last one first, as the standard library looks; it does not tell what it found
    if (const char* value = std::getenv(name))
      folder = value;
  throw Error(Fault::System,
              fmt::format("{}: cannot be used as the folder of temporary files: {}; make it, or let TMPDIR name another", folder.string(), code.message()));
}

class PrivateFolder {
public:
  PrivateFolder() {
    std::string name = (temporaryFolder() / "moec-nvrtc-XXXXXX").string();
    if (!mkdtemp(name.data()))
      throw Error(Fault::System, name + ": cannot be made: " + std::strerror(errno));
    path = name;
  }
  ~PrivateFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  fs::path path;
};

pid_t start(const fs::path& tool, const fs::path& folder) {
  std::string output = (folder / "output").string();
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  std::string toolText = tool.string(), folderText = folder.string();
  char* arguments[] = {toolText.data(), folderText.data(), nullptr};
  pid_t child = 0;
  int code = posix_spawn(&child, toolText.c_str(), &files, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&files);
  if (code != 0)
    throw Error(Fault::System, toolText + ": cannot be started: " + std::strerror(code));
  return child;
}

/// The child's wait status, or nothing when it had to be ended at the limit.
std::optional<int> waitFor(pid_t child, int limitSeconds) {
  auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(limitSeconds);
  int status = 0;
  for (;;) {
    pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child || (ended < 0 && errno == ECHILD)) // the system has taken a child's status where the host ignores SIGCHLD: the answer tells
      return status;
    if (ended < 0 && errno != EINTR)
      throw Error(Fault::System, std::string("waiting for ") + kTool + ": " + std::strerror(errno));
    if (std::chrono::steady_clock::now() >= limit) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return std::nullopt;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

std::string outputOf(const fs::path& folder) {
  std::ifstream file(folder / "output", std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  while (text.ends_with('\n'))
    text.pop_back();
  return text.empty() ? text : "\n" + text;
}

} // namespace

std::optional<CompiledCuda> compileCudaApart(const CudaSource& source, const CudaTarget& target, std::string& error, int limitSeconds) {
  fs::path tool = findTool();
  PrivateFolder folder;
  writeRequest(folder.path, source, target);
  std::optional<int> status = waitFor(start(tool, folder.path), limitSeconds);
  if (!status)
    error = fmt::format("{}: NVRTC was ended: it had not compiled the text for {} within {} seconds", source.fileName, target.arch, limitSeconds);
  else if (WIFSIGNALED(*status))
    error = fmt::format("{}: NVRTC crashed on the text ({}){}", source.fileName, strsignal(WTERMSIG(*status)), outputOf(folder.path));
  else if (WEXITSTATUS(*status) != 0)
    error = fmt::format("{}: {} failed with exit code {}{}", source.fileName, kTool, WEXITSTATUS(*status), outputOf(folder.path));
  else
    return readAnswer(folder.path, error);
  return std::nullopt;
}

} // namespace moec::codegen::cuda
