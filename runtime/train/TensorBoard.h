#pragma once
// Event files as TensorBoard reads them: records framed with masked CRC-32C (TFRecord), each an Event in Protocol Buffers' wire format
// (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto). Only what scalars need.

#include "runtime/train/Trainer.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moec::train {

using Scalars = std::vector<std::pair<std::string, double>>;

/// CRC-32C (Castagnoli), as in RFC 3720.
uint32_t crc32c(std::string_view bytes);
/// Length, its checksum, the bytes, their checksum.
std::string framedRecord(std::string_view bytes);
/// The first event of every file.
std::string versionEvent(double wallTime);
/// Tells readers that what other files say of this step and later ones no longer counts.
std::string startEvent(double wallTime, int64_t step);
std::string scalarsEvent(double wallTime, int64_t step, const Scalars& scalars);

/// What a step and an evaluation are called in TensorBoard: "loss/training", "loss/validation", "accuracy/validation", "learning_rate", "gradient_norm",
/// "tokens_per_second", "aux/<path>", "dropped/<gate>" (a share of the choices), "load_largest/<gate>" and "load_smallest/<gate>" (of an even share).
Scalars scalarsOf(const StepRecord& record);
Scalars scalarsOf(const EvaluationRecord& record);

/// A file that grows: out/events.out.tfevents.<seconds>.<process>.moec, new at every start of a training.
class EventFile {
public:
  /// `firstStep`: the first that will be told. Error(System).
  EventFile(const std::filesystem::path& folder, int64_t firstStep);
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// On disk a second later at most, if there is more to add. Error(System).
  void add(int64_t step, const Scalars& scalars);
  void flush();
  const std::filesystem::path& path() const { return path_; }

private:
  void write(const std::string& event);

  std::filesystem::path path_;
  std::ofstream file_;
  double flushed_ = 0;
};

} // namespace moec::train
