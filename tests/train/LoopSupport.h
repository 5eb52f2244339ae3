#pragma once
// What the tests of the loop share: the small model compiled once, its configuration, and a whole training in a call.

#include "runtime/core/Error.h"
#include "runtime/train/Trainer.h"
#include "tests/e2e/Support.h"
#include "tests/train/Problem.h"
#include "tests/train/Support.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace moec::train {

/// One compiled program for all tests of a kind.
struct Compiled {
  explicit Compiled(bool accumulate = false, const std::string& patch = "{}")
      : file(folder.path() / "model.json"), program(compileSmall(file, patch, accumulate)) {}
  test::TemporaryFolder folder;
  std::filesystem::path file;
  Program program;
};
inline const Compiled& plain() {
  static Compiled compiled;
  return compiled;
}

inline const Compiled& accumulating() {
  static Compiled compiled(true);
  return compiled;
}

inline const Compiled& averaging() {
  static Compiled compiled(false, R"({"optimizer": {"kind": "adamw", "ema": 0.9}})");
  return compiled;
}

inline Config config(const std::filesystem::path& out, const Compiled& compiled = plain()) {
  Config config;
  config.batch = 16;
  config.steps = 30;
  config.schedule.peak = 0.02;
  config.seed = 3;
  config.model = compiled.file;
  config.out = out;
  return config;
}

inline data::OpenedData points(int64_t train = 100, int64_t validation = 40) {
  return {std::make_shared<Points>(train), validation ? std::make_shared<Points>(validation, 2) : nullptr, nullptr, "points"};
}

/// A whole training, or a part of it: it is asked to stop behind step `until`.
inline Outcome train(const Compiled& compiled, const Config& config, Listener* listener = nullptr, bool resume = false, int64_t until = -1,
                     data::OpenedData data = points(), int threads = 1) {
  Remembering own;
  std::atomic<bool> stop = false;
  own.afterStep = [&](int64_t step) { stop = step == until; };
  Trainer trainer(compiled.program, "cpu", {.threads = threads}, config, std::move(data));
  if (resume)
    trainer.resume();
  return trainer.run(listener ? *listener : own, stop);
}

} // namespace moec::train
