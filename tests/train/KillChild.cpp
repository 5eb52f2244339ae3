// A training that may die: KillChild PROGRAM MODEL OUT STEPS CHECKPOINT_EVERY [CALL]. It begins, or goes on where OUT has a checkpoint. From its start on it
// counts what changes files (write, fsync, rename, unlink, mkdir ..), and dies by SIGKILL in the CALLth of these: a write is then half done. Without CALL it
// prints how many there were.

#include "runtime/core/Error.h"
#include "runtime/core/Program.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Trainer.h"
#include "tests/train/Support.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

std::atomic<bool> counting = false;
std::atomic<long> calls = 0, deadly = -1;

/// Whether the call may be made; dies behind `last` where it is the one.
template <class Last> void count(Last last) {
  if (counting && ++calls == deadly) {
    last();
    raise(SIGKILL);
  }
}

template <class Function> Function* next(const char* name) { return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name)); }

} // namespace

extern "C" {
ssize_t write(int file, const void* data, size_t bytes) {
  static auto* real = next<ssize_t(int, const void*, size_t)>("write");
  count([&] { (void)!real(file, data, bytes / 2); });
  return real(file, data, bytes);
}
int fsync(int file) {
  static auto* real = next<int(int)>("fsync");
  count([] {});
  return real(file);
}
int rename(const char* from, const char* to) noexcept {
  static auto* real = next<int(const char*, const char*)>("rename");
  count([] {});
  return real(from, to);
}
int unlink(const char* path) noexcept {
  static auto* real = next<int(const char*)>("unlink");
  count([] {});
  return real(path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  static auto* real = next<int(int, const char*, int)>("unlinkat");
  count([] {});
  return real(folder, path, flags);
}
int remove(const char* path) noexcept {
  static auto* real = next<int(const char*)>("remove");
  count([] {});
  return real(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  static auto* real = next<int(const char*, mode_t)>("mkdir");
  count([] {});
  return real(path, mode);
}
}

int main(int argc, char** argv) {
  using namespace moec::train;
  if (argc < 6)
    return 2;
  try {
    Config config;
    config.model = argv[2];
    config.out = argv[3];
    config.steps = std::atoll(argv[4]);
    config.checkpointEvery = std::atoll(argv[5]);
    config.keep = 2;
    config.batch = 16;
    config.schedule.peak = 0.02;
    moec::data::OpenedData data{std::make_shared<Points>(60), std::make_shared<Points>(20, 2), nullptr, "points"};
    Trainer trainer(moec::Program::load(argv[1]), "cpu", {.threads = 1}, config, std::move(data));
    if (!listCheckpoints(config.out).empty())
      trainer.resume();
    if (argc > 6)
      deadly = std::atol(argv[6]);
    counting = true;
    Remembering told;
    std::atomic<bool> stop = false;
    trainer.run(told, stop);
    counting = false;
    std::printf("%ld\n", calls.load());
    return 0;
  } catch (const moec::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return moec::exitCode(error.fault());
  }
}
