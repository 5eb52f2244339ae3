#include "runtime/train/TensorBoard.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ios>
#include <numeric>
#include <unistd.h>

namespace moec::train {

namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78; // the polynomial, its bits turned round

constexpr std::array<uint32_t, 256> makeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit)
      crc = crc >> 1 ^ (crc & 1 ? kCastagnoli : 0);
    table[byte] = crc;
  }
  return table;
}

/// As records hold it: a checksum of bytes that hold checksums would else be weak.
uint32_t masked(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8; }

template <class Integer> std::string littleEndian(Integer value) {
  std::string bytes(sizeof value, '\0');
  for (size_t i = 0; i < sizeof value; ++i)
    bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7)
    bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}

// Fields of messages; the low three bits of a key say how the value is written.
std::string varintField(int number, int64_t value) { return varint(static_cast<uint64_t>(number) << 3) + varint(static_cast<uint64_t>(value)); }
std::string doubleField(int number, double value) { return varint(static_cast<uint64_t>(number) << 3 | 1) + littleEndian(std::bit_cast<uint64_t>(value)); }
std::string bytesField(int number, std::string_view bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
std::string floatField(int number, float value) { return varint(static_cast<uint64_t>(number) << 3 | 5) + littleEndian(std::bit_cast<uint32_t>(value)); }

// Event: wall_time 1, step 2, file_version 3, summary 5, session_log 7.
std::string eventOf(double wallTime, int64_t step, const std::string& what) { return doubleField(1, wallTime) + (step ? varintField(2, step) : "") + what; }

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

} // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = makeCrcTable();
  uint32_t crc = ~uint32_t{0};
  for (char c : bytes)
    crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string framedRecord(std::string_view bytes) {
  std::string length = littleEndian(static_cast<uint64_t>(bytes.size()));
  return length + littleEndian(masked(crc32c(length))) + std::string(bytes) + littleEndian(masked(crc32c(bytes)));
}

std::string versionEvent(double wallTime) { return eventOf(wallTime, 0, bytesField(3, "brain.Event:2")); }

std::string startEvent(double wallTime, int64_t step) {
  constexpr int64_t kStart = 1;                                          // SessionLog.SessionStatus
  return eventOf(wallTime, step, bytesField(7, varintField(1, kStart))); // SessionLog: status 1
}

std::string scalarsEvent(double wallTime, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) // Summary: value 1; its Value: tag 1, simple_value 2
    summary += bytesField(1, bytesField(1, tag) + floatField(2, static_cast<float>(value)));
  return eventOf(wallTime, step, bytesField(5, summary));
}

Scalars scalarsOf(const StepRecord& record) {
  Scalars scalars{{"loss/training", record.loss},
                  {"learning_rate", record.learningRate},
                  {"gradient_norm", record.gradientNorm},
                  {"tokens_per_second", record.tokensPerSecond}};
  for (const auto& [path, loss] : record.auxLosses)
    scalars.emplace_back("aux/" + path, loss);
  for (const auto& [gate, load] : record.load) {
    double taken = std::accumulate(load.begin(), load.end(), 0.0), even = taken / static_cast<double>(load.size());
    if (auto dropped = record.dropped.find(gate); dropped != record.dropped.end() && dropped->second + taken > 0)
      scalars.emplace_back("dropped/" + gate, dropped->second / (dropped->second + taken));
    if (even <= 0)
      continue;
    scalars.emplace_back("load_largest/" + gate, *std::ranges::max_element(load) / even);
    scalars.emplace_back("load_smallest/" + gate, *std::ranges::min_element(load) / even);
  }
  return scalars;
}

Scalars scalarsOf(const EvaluationRecord& record) {
  Scalars scalars{{"loss/validation", record.loss}};
  if (record.accuracy)
    scalars.emplace_back("accuracy/validation", *record.accuracy);
  return scalars;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t firstStep) {
  double time = now();
  path_ = folder / fmt::format("events.out.tfevents.{:010}.{}.moec", static_cast<int64_t>(time), getpid());
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_)
    throw Error(Fault::System, fmt::format("{}: cannot write: {}", path_.string(), std::strerror(errno)));
  write(versionEvent(time));
  write(startEvent(time, firstStep));
  flush();
}

void EventFile::add(int64_t step, const Scalars& scalars) {
  double time = now();
  write(scalarsEvent(time, step, scalars));
  if (std::abs(time - flushed_) >= 1)
    flush();
}

void EventFile::flush() {
  if (!file_.flush())
    throw Error(Fault::System, fmt::format("{}: cannot write: {}", path_.string(), std::strerror(errno)));
  flushed_ = now();
}

void EventFile::write(const std::string& event) {
  std::string record = framedRecord(event);
  if (!file_.write(record.data(), static_cast<std::streamsize>(record.size())))
    throw Error(Fault::System, fmt::format("{}: cannot write: {}", path_.string(), std::strerror(errno)));
}

} // namespace moec::train
