#include "runtime/train/ChoiceFile.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/train/AppendWhole.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>

namespace moec::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "numbers stand in the file as in memory");

constexpr std::string_view kMagic = "MOECROUT";
constexpr uint64_t kRecordVersion = 2;
constexpr uint64_t kMostHeader = uint64_t{1} << 24, kMostRows = uint64_t{1} << 40, kWord = sizeof(uint64_t);
constexpr uint64_t kBlockHead = 8 * kWord; // bytes, a BatchKey, and the check of these
constexpr int64_t kMostChoices = 65536, kMostSteps = int64_t{1} << 62;

uint64_t checkOf(std::span<const uint8_t> bytes) { return digestOf(bytes).low; }

class Bytes {
public:
  void add(uint64_t number) { add(&number, sizeof number); }
  void add(std::string_view text) { add(text.data(), text.size()); }
  void add(const void* data, size_t count) {
    const auto* from = static_cast<const uint8_t*>(data);
    all_.insert(all_.end(), from, from + count);
  }
  void set(size_t at, uint64_t number) { std::memcpy(all_.data() + at, &number, sizeof number); }
  void addCheck() { add(checkOf(all_)); }
  const std::vector<uint8_t>& all() const { return all_; }

private:
  std::vector<uint8_t> all_;
};

uint64_t wordAt(std::span<const uint8_t> bytes, uint64_t at) {
  uint64_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

bool endsWithItsCheck(std::span<const uint8_t> bytes) {
  return bytes.size() >= kWord && checkOf(bytes.first(bytes.size() - kWord)) == wordAt(bytes, bytes.size() - kWord);
}

/// The digest of a record whose last block (or header) ends with this check, by that of what is before it.
std::string digestBehind(const std::string& before, std::span<const uint8_t> bytes) {
  Bytes all;
  all.add(before);
  all.add(wordAt(bytes, bytes.size() - kWord));
  return digestOf(all.all()).hex();
}

std::vector<uint8_t> headerBytes(const ChoiceHeader& header) {
  Json json = {{"model", header.model}, {"data", header.data}, {"seed", header.seed}, {"behind", header.behind}, {"gates", Json::array()}};
  for (const ChoosingGate& gate : header.gates)
    json["gates"].push_back({{"name", gate.name}, {"choices", gate.choices}, {"experts", gate.experts}});
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  Bytes bytes;
  bytes.add(kMagic);
  bytes.add(kRecordVersion);
  bytes.add(text.size());
  bytes.add(text);
  bytes.addCheck();
  return bytes.all();
}

std::optional<ChoiceHeader> headerOf(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  bool good = true;
  auto whole = [&](const Json& value) { // a fraction, or a number past 64 bits, is none
    good = good && value.is_number_integer() && !(value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX});
    return good ? value.get<int64_t>() : 0;
  };
  try {
    good = json.at("seed").is_number_unsigned();
    ChoiceHeader header{json.at("model"), json.at("data"), good ? json.at("seed").get<uint64_t>() : 0, {}, whole(json.at("behind"))};
    for (const Json& gate : json.at("gates"))
      header.gates.push_back({gate.at("name"), whole(gate.at("choices")), whole(gate.at("experts"))});
    good = good && std::ranges::all_of(header.gates, [](const ChoosingGate& gate) {
             return gate.choices >= 1 && gate.choices <= kMostChoices && gate.experts >= 0 && gate.experts <= kMostChoices;
           });
    good = good && !header.gates.empty() && header.behind >= 0 && header.behind <= kMostSteps;
    return good ? std::optional(header) : std::nullopt;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

/// Bytes of a choice: none is written as all bits 1.
uint64_t widthOf(std::span<const int32_t> choices) {
  int32_t most = choices.empty() ? 0 : *std::ranges::max_element(choices);
  return most < 0xFF ? 1 : most < 0xFFFF ? 2 : 4;
}

template <class T> void write(Bytes& bytes, std::span<const int32_t> choices) {
  std::vector<T> narrow(choices.size());
  std::ranges::transform(choices, narrow.begin(), [](int32_t choice) { return choice < 0 ? static_cast<T>(~T{0}) : static_cast<T>(choice); });
  bytes.add(narrow.data(), narrow.size() * sizeof(T));
}

template <class T> void read(std::span<const uint8_t> bytes, std::span<int32_t> choices) {
  for (size_t i = 0; i < choices.size(); ++i) {
    T narrow;
    std::memcpy(&narrow, bytes.data() + i * sizeof(T), sizeof(T));
    choices[i] = narrow == static_cast<T>(~T{0}) ? -1 : static_cast<int32_t>(narrow);
  }
}

} // namespace

OpenFile::~OpenFile() {
  if (number_ >= 0)
    ::close(number_);
}

// ---- reading

void ChoiceReader::fail(const std::string& what) const { throw Error(Fault::Data, fmt::format("{}: {}", path_.string(), what)); }

ChoiceReader::ChoiceReader(const fs::path& file, std::optional<int64_t> upTo) : path_(file) {
  std::error_code code;
  if (fs::file_status there = fs::status(file, code); fs::exists(there) && !fs::is_regular_file(there))
    fail(fmt::format("{}, expected a file of `moec train --record`", fs::is_directory(there) ? "a folder" : "not a regular file"));
  file_ = OpenFile(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); // a pipe without a writer would wait
  off_t size = file_.number() < 0 ? -1 : lseek(file_.number(), 0, SEEK_END);
  if (size < 0)
    fail(fmt::format("cannot be read: {}", std::generic_category().message(errno)));
  size_ = static_cast<uint64_t>(size);
  headerEnd_ = end_ = readHeader();
  findBlocks(upTo);
}

std::optional<std::vector<uint8_t>> ChoiceReader::bytesAt(uint64_t from, uint64_t count) const {
  if (from > size_ || count > size_ - from)
    return std::nullopt;
  std::vector<uint8_t> bytes(count);
  for (uint64_t done = 0; done < count;) {
    ssize_t some = pread(file_.number(), bytes.data() + done, count - done, static_cast<off_t>(from + done));
    if (some < 0 && errno == EINTR)
      continue;
    if (some <= 0)
      fail(some < 0 ? fmt::format("cannot be read: {}", std::generic_category().message(errno)) : "was cut off while it was read");
    done += static_cast<uint64_t>(some);
  }
  return bytes;
}

uint64_t ChoiceReader::readHeader() {
  constexpr uint64_t front = kMagic.size() + 2 * kWord;
  auto magic = bytesAt(0, kMagic.size());
  if (!magic || std::memcmp(magic->data(), kMagic.data(), kMagic.size()) != 0)
    fail("no record of a training's choices: expected a file of `moec train --record`");
  auto head = bytesAt(0, front);
  if (!head)
    fail("damaged: it ends within its header");
  if (uint64_t version = wordAt(*head, kMagic.size()); version != kRecordVersion)
    fail(fmt::format("a record of version {}; this moec reads version {}", version, kRecordVersion));
  uint64_t length = wordAt(*head, kMagic.size() + kWord);
  auto all = length <= kMostHeader ? bytesAt(0, front + length + kWord) : std::nullopt;
  if (!all)
    fail("damaged: it ends within its header");
  if (!endsWithItsCheck(*all))
    fail("damaged: its header is not what was written");
  auto header = headerOf({reinterpret_cast<const char*>(all->data()) + front, length});
  if (!header)
    fail("damaged: its header names no gates, or no step to begin behind");
  header_ = std::move(*header);
  digest_ = digestBehind("", *all);
  return all->size();
}

void ChoiceReader::findBlocks(std::optional<int64_t> upTo) {
  while (!upTo || last() < *upTo) {
    auto head = bytesAt(end_, kBlockHead);
    if (!head)
      return;
    uint64_t length = wordAt(*head, 0);
    if (!endsWithItsCheck(*head) || length < kBlockHead + kWord)
      fail(fmt::format("damaged at byte {}, behind step {}: no block begins there", end_, last()));
    auto check = length > size_ - end_ ? std::nullopt : bytesAt(end_ + length - kWord, kWord);
    if (!check)
      return; // was never finished
    auto number = [&](uint64_t index) { return static_cast<int64_t>(wordAt(*head, index * kWord)); };
    BatchKey key{number(1), number(2), number(3), number(4), number(5), number(6) == 1};
    bool isNew = blocks_.empty() || blocks_.back().key.endsStep;
    bool follows = key.step == last() + 1 && key.batch == (isNew ? 0 : blocks_.back().key.batch + 1);
    if (!follows || key.epoch < 0 || key.record < 0 || key.records < 1 || (number(6) != 0 && number(6) != 1))
      fail(fmt::format("damaged at byte {}: batch {} of step {} does not follow what is before it", end_, key.batch, key.step));
    blocks_.push_back({key, end_, length});
    end_ += length;
    digest_ = digestBehind(digest_, *check);
  }
}

const ChoiceReader::Block* ChoiceReader::blockOf(int64_t step, int64_t batch) const {
  auto place = [](const Block& block) { return std::pair(block.key.step, block.key.batch); };
  auto found = std::ranges::lower_bound(blocks_, std::pair(step, batch), {}, place);
  return found != blocks_.end() && place(*found) == std::pair(step, batch) ? &*found : nullptr;
}

const BatchKey* ChoiceReader::find(int64_t step, int64_t batch) const {
  const Block* block = blockOf(step, batch);
  return block ? &block->key : nullptr;
}

std::vector<Tensor> ChoiceReader::read(int64_t step, int64_t batch) const {
  const Block* block = blockOf(step, batch);
  if (!block)
    throw Error(Fault::Internal, fmt::format("{} has no batch {} of step {}", path_.string(), batch, step));
  std::string damaged = fmt::format("damaged: what it has of step {} is not what was written", step);
  auto bytes = bytesAt(block->begin, block->bytes);
  if (!bytes || !endsWithItsCheck(*bytes))
    fail(damaged);
  std::span<const uint8_t> rest = std::span<const uint8_t>(*bytes).first(bytes->size() - kWord).subspan(kBlockHead);
  std::vector<Tensor> all;
  for (const ChoosingGate& gate : header_.gates) {
    if (rest.size() < 2 * kWord)
      fail(damaged);
    uint64_t rows = wordAt(rest, 0), width = wordAt(rest, kWord), choices = static_cast<uint64_t>(gate.choices);
    rest = rest.subspan(2 * kWord);
    if (rows > kMostRows || (width != 1 && width != 2 && width != 4) || rows * choices * width > rest.size())
      fail(damaged);
    Tensor tensor(DType::I32, {static_cast<int64_t>(rows), gate.choices});
    std::span<const uint8_t> mine = rest.first(rows * choices * width);
    auto numbers = tensor.as<int32_t>();
    width == 1 ? train::read<uint8_t>(mine, numbers) : width == 2 ? train::read<uint16_t>(mine, numbers) : train::read<uint32_t>(mine, numbers);
    rest = rest.subspan(mine.size());
    all.push_back(std::move(tensor));
  }
  if (!rest.empty())
    fail(damaged);
  return all;
}

// ---- writing

void ChoiceWriter::fail(const char* doing, int code) const {
  throw Error(Fault::System, fmt::format("{}: cannot {}: {}", path_.string(), doing, std::generic_category().message(code)));
}

void ChoiceWriter::open() {
  file_ = OpenFile(::open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  if (file_.number() < 0)
    fail("open", errno);
  if (flock(file_.number(), LOCK_EX | LOCK_NB) != 0) {
    int code = errno;
    if (code == EWOULDBLOCK)
      throw Error(Fault::Usage, fmt::format("{}: another training records its choices there", path_.string()));
    fail("lock", code);
  }
}

ChoiceWriter::ChoiceWriter(const fs::path& file, const ChoiceHeader& header, const std::optional<EarlierRecord>& earlier)
    : path_(file), gates_(header.gates), behind_(header.behind) {
  std::error_code code;
  std::optional<uint64_t> end;
  if (bool exists = fs::exists(file, code); exists || earlier) {
    try {
      ChoiceReader old(file, earlier ? earlier->behind : 0);
      ChoiceHeader expected = header;
      expected.behind = old.header().behind;
      if (earlier && old.header() != expected)
        throw Error(Fault::Usage, fmt::format("{} is the record of another training (of \"{}\"), which stays as it is: give another file", file.string(),
                                              old.header().model));
      if (earlier && !old.isEmpty()) {
        if (old.last() < earlier->behind)
          throw Error(Fault::Usage, fmt::format("{} ends behind step {}, and the training goes on behind step {}: give another file, which begins there",
                                                file.string(), old.last(), earlier->behind));
        if (old.digest() != earlier->digest)
          throw Error(
              Fault::Usage,
              fmt::format("{} is not what this training recorded up to its checkpoint of step {}; it stays as it is: give another file, which begins there",
                          file.string(), earlier->behind));
        end = old.end();
        behind_ = old.header().behind;
        all_ = digest_ = old.digest();
      }
    } catch (const Error& error) {
      if (earlier || error.fault() != Fault::Data)
        throw;
      throw Error(Fault::Usage, fmt::format("{}; it stays as it is: give another file to --record", error.what()));
    }
    open(); // the other training's, if one writes it
  }
  if (end) {
    if (ftruncate(file_.number(), static_cast<off_t>(*end)) != 0)
      fail("cut off what is behind the checkpoint", errno);
    sync();
    return;
  }
  std::vector<uint8_t> bytes = headerBytes(header);
  writeFileAtomically(file, bytes);
  all_ = digest_ = digestBehind("", bytes);
  open();
}

void ChoiceWriter::add(const BatchKey& key, const std::vector<Tensor>& choices) {
  if (choices.size() != gates_.size())
    throw Error(Fault::Internal, fmt::format("choices of {} gates, and the record has {}", choices.size(), gates_.size()));
  Bytes block;
  block.add(uint64_t{0}); // its bytes, known at the end
  for (int64_t number : {key.step, key.batch, key.epoch, key.record, key.records, int64_t{key.endsStep}})
    block.add(static_cast<uint64_t>(number));
  block.add(uint64_t{0}); // the check of these
  for (const Tensor& tensor : choices) {
    std::span<const int32_t> numbers = tensor.as<int32_t>();
    uint64_t width = widthOf(numbers);
    block.add(static_cast<uint64_t>(tensor.shape()[0]));
    block.add(width);
    width == 1 ? write<uint8_t>(block, numbers) : width == 2 ? write<uint16_t>(block, numbers) : write<uint32_t>(block, numbers);
  }
  block.set(0, block.all().size() + kWord);
  block.set(kBlockHead - kWord, checkOf(std::span(block.all()).first(kBlockHead - kWord)));
  block.addCheck();
  if (int code = appendWhole(file_.number(), block.all()))
    fail("write", code);
  all_ = digestBehind(all_, block.all());
  if (key.endsStep)
    digest_ = all_;
}

void ChoiceWriter::sync() {
  if (fsync(file_.number()) != 0)
    fail("write", errno);
}

} // namespace moec::train
