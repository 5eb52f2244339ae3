#pragma once
// A language model that continues texts: its keys and values of the tokens so far are kept on the device. What is random in each call (an expert by chance) is
// drawn as in step 0 of seed 0, the same in every call. Belongs to one thread at a time.

#include "runtime/Weights.h"
#include "runtime/core/Program.h"
#include "runtime/device/Device.h"

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace moec {

class Generator {
public:
  /// Error(Usage) when the program was compiled without a plan for generation.
  Generator(Program program, const std::string& device, const DeviceOptions& options = {});
  Generator(Program program, std::shared_ptr<Device> device);
  ~Generator();
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;

  /// As Session has them.
  void load(const std::filesystem::path& safetensors, bool allowNonFinite = false);
  void load(const TensorMap& weights, bool allowNonFinite = false);
  void init(uint64_t seed);

  int64_t batch() const;
  int64_t context() const;
  /// Tokens so far, of each sequence.
  int64_t position() const;
  /// Begins anew: nothing has been seen.
  void reset();
  /// Goes on by tokens i64 (batch, n), n >= 1, and gives the scores f32 (batch, vocabulary) of what follows the last; of a model of f64, f64. Error(Usage) for
  /// more tokens than the context has room for (both numbers), and for ids out of range; nothing is changed then. What fails on the device ends the text:
  /// reset() begins anew.
  Tensor feed(const Tensor& tokens);

  /// As Session::trace.
  void trace(std::shared_ptr<Trace> trace);
  const Plan& plan() const;
  /// For looking at buffers. Its launches are the generator's own business.
  Executable& executable();

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace moec
