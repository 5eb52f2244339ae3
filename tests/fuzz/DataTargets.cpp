// Targets of the runtime: programs and tensors.

#include "runtime/core/Container.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/core/Program.h"
#include "runtime/core/TuningDatabase.h"
#include "runtime/io/FileKind.h"
#include "runtime/io/Image.h"
#include "runtime/io/JsonTensor.h"
#include "runtime/io/Npy.h"
#include "runtime/io/SafeTensors.h"
#include "runtime/io/TensorFile.h"
#include "tests/fuzz/Refusable.h"
#include "tests/fuzz/Targets.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace moec::fuzz {
namespace {

/// Reads every byte of a tensor.
void use(const Tensor& tensor) {
  uint64_t sum = 0;
  for (size_t i = 0; i < tensor.bytes(); ++i)
    sum += static_cast<const uint8_t*>(tensor.data())[i];
  volatile uint64_t kept = sum;
  (void)kept;
}

template <class T> void put(std::vector<uint8_t>& bytes, size_t at, T value) {
  if (at + sizeof value <= bytes.size())
    std::memcpy(bytes.data() + at, &value, sizeof value);
}
template <class T> T get(const std::vector<uint8_t>& bytes, size_t at) {
  T value{};
  if (at + sizeof value <= bytes.size())
    std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// Makes the digests of a container right, as far as its table can be followed: what is behind them is to be tried (runtime/core/Container.h).
std::vector<uint8_t> withDigests(Bytes input) {
  constexpr size_t kHeader = 48, kEntry = 36;
  std::vector<uint8_t> bytes(input.begin(), input.end());
  auto table = get<uint64_t>(bytes, 24);
  if (bytes.size() < kHeader || table > bytes.size() - kHeader)
    return bytes;
  size_t end = kHeader + table;
  for (size_t at = kHeader; at + kEntry <= end;) {
    auto offset = get<uint64_t>(bytes, at), size = get<uint64_t>(bytes, at + 8);
    if (offset <= bytes.size() && size <= bytes.size() - offset) {
      Digest digest = digestOf(Bytes(bytes).subspan(offset, size));
      put(bytes, at + 16, digest.high);
      put(bytes, at + 24, digest.low);
    }
    at += kEntry + size_t{get<uint32_t>(bytes, at + 32)};
  }
  Digest head = digestOf(Bytes(bytes).first(32)), rest = digestOf(Bytes(bytes).subspan(kHeader, table));
  uint64_t words[4] = {head.high, head.low, rest.high, rest.low};
  Digest all = digestOf(Bytes(reinterpret_cast<const uint8_t*>(words), sizeof words));
  put(bytes, 32, all.high);
  put(bytes, 40, all.low);
  return bytes;
}

/// The sum behind each chunk of a PNG (its specification, annex D): the remainder of its type and data, as a polynomial over bits, the lowest first.
uint32_t chunkSum(Bytes bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> remainders{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t rest = byte;
      for (int bit = 0; bit < 8; ++bit)
        rest = rest & 1 ? 0xEDB88320u ^ rest >> 1 : rest >> 1;
      remainders[byte] = rest;
    }
    return remainders;
  }();
  uint32_t rest = ~0u;
  for (uint8_t byte : bytes)
    rest = table[(rest ^ byte) & 0xFF] ^ rest >> 8;
  return ~rest;
}

/// Makes the sums of a PNG's chunks right, as far as their lengths can be followed.
std::vector<uint8_t> withChunkSums(Bytes input) {
  constexpr size_t kSignature = 8, kAround = 12; // a length, a type; a sum
  std::vector<uint8_t> bytes(input.begin(), input.end());
  for (size_t at = kSignature; at + kAround <= bytes.size();) {
    size_t length = size_t{bytes[at]} << 24 | size_t{bytes[at + 1]} << 16 | size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (length > bytes.size() - at - kAround)
      break;
    uint32_t sum = chunkSum(Bytes(bytes).subspan(at + 4, 4 + length));
    for (size_t i = 0; i < 4; ++i)
      bytes[at + 8 + length + i] = static_cast<uint8_t>(sum >> (24 - 8 * i));
    at += kAround + length;
  }
  return bytes;
}

/// What a session does with a plan before it runs kernels.
void usePlan(const Plan& plan) {
  checkPlan(plan); // once more, after the reader
  for (int64_t size : {int64_t{1}, int64_t{7}, int64_t{1} << 40}) {
    Bindings bindings;
    for (const InputInfo& input : plan.inputs)
      for (const Size& extent : input.shape)
        for (const std::string& symbol : extent.symbols())
          bindings[symbol] = size;
    refusable([&] { layoutArena(plan, bindings); });
    for (const BufferInfo& buffer : plan.buffers) {
      refusable([&] { shapeOf(buffer, bindings); });
      refusable([&] { bytesOf(buffer, bindings); });
    }
  }
}

} // namespace

bool program(Bytes bytes) {
  return refusable([&] {
    std::vector<uint8_t> file =
        !bytes.empty() && bytes[0] == '{' ? Container::write({{"manifest", bytes}, {"kernel/cpu/x", bytes.first(1)}}) : withDigests(bytes);
    Program program = Program::parse(file);
    for (const Plan& plan : program.data().plans)
      usePlan(plan);
    std::vector<uint8_t> written = program.bytes(); // with every plan
    if (Program::parse(written).bytes() != written)
      throw std::logic_error("a program is another after writing and reading");
  });
}

bool safetensors(Bytes bytes) {
  return refusable([&] {
    for (const auto& [name, tensor] : parseSafeTensors(bytes, nullptr, "f"))
      use(tensor);
  });
}

bool npy(Bytes bytes) {
  return refusable([&] { use(parseNpy(bytes, nullptr, "f")); });
}

bool image(Bytes bytes) {
  describeFirstBytes(bytes);
  return refusable([&] { use(fileKind(bytes) == FileKind::Png ? decodeImage(withChunkSums(bytes), "f") : decodeImage(bytes, "f")); });
}

bool json(Bytes bytes) {
  constexpr int kTypes = 7;
  if (bytes.empty())
    return false;
  if (bytes[0] % (kTypes + 1) == kTypes)
    return refusable([&] {
      std::string text = toJsonText(parseJsonTensors(bytes.subspan(1), "f"));
      if (toJsonText(parseJsonTensors(Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size()), "f")) != text)
        throw std::logic_error("results are others after writing and reading");
    });
  DType type = static_cast<DType>(bytes[0] % (kTypes + 1));
  return refusable([&] {
    Tensor tensor = parseJsonTensor(bytes.subspan(1), type, "f");
    use(tensor);
    std::string text = toJsonText(tensor);
    Tensor again = parseJsonTensor(Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size()), type, "f");
    if (tensor.elements() > 0 && toJsonText(again) != text)
      throw std::logic_error("a tensor is another after writing and reading");
  });
}

bool tuning(Bytes bytes) {
  TuningContents contents = parseTuning(bytes);
  auto lines = static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  if (static_cast<size_t>(contents.lines + contents.bad + contents.foreign) > lines || contents.entries.size() > static_cast<size_t>(contents.lines))
    throw std::logic_error("a tuning database has more entries than lines");
  for (const TunedSchedule& entry : contents.entries)
    if (!contents.schedulesFor(entry.cpu).contains(entry.kernel) || entry.schedule.empty())
      throw std::logic_error("an entry of a tuning database is not found by its kernel");
  return !contents.entries.empty();
}

} // namespace moec::fuzz
