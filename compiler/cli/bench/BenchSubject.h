#pragma once
// A program that is ready to be called again and again: on a device, with weights and inputs of its own making. Measures nothing.

#include "compiler/cli/CommonOptions.h"
#include "runtime/Session.h"
#include "runtime/Training.h"

#include <filesystem>
#include <memory>
#include <optional>

namespace moec::cli {

class BenchSubject {
public:
  /// Opens `file` as the options say, compiled or from the caches; with options.train its plan for training. Weights come from --weights, else they are drawn.
  BenchSubject(const std::filesystem::path& file, const CommonOptions& options, std::shared_ptr<Device> device);
  /// A program that is there, with these weights; its plan for training, or that for inference.
  BenchSubject(const Program& program, Purpose purpose, const TensorMap& weights, uint64_t seed, std::shared_ptr<Device> device);

  const std::string& name() const { return name_; }
  const Plan& plan() const;
  /// How the plan came to be: BenchReport::made.
  const std::string& made() const { return made_; }
  bool trains() const { return training_.has_value(); }
  /// "forward", or "step".
  const char* pass() const { return trains() ? "step" : "forward"; }

  /// Makes inputs of these sizes; does nothing when they are there.
  void setSizes(const Bindings& sizes);
  /// A call with the inputs; of a training a step that moves no weight, for its rate of learning is 0: every call has the same work to do.
  void call();
  /// As Session::timeLaunches.
  void timeLaunches(LaunchClock clock);

private:
  std::string name_, made_;
  std::optional<Session> session_;
  std::optional<Training> training_;
  uint64_t seed_ = 0;
  Bindings sizes_;
  TensorMap inputs_;
};

} // namespace moec::cli
