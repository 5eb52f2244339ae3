#include "runtime/core/Container.h"

#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

namespace moec {
namespace {

static_assert(std::endian::native == std::endian::little, "the container is written as memory holds it");

constexpr char kMagic[8] = {'m', 'o', 'e', 'c', '\r', '\n', '\x1a', '\n'};
constexpr size_t kHeader = 48, kEntry = 36, kAlignment = 64;

using Bytes = std::span<const uint8_t>;

template <class T> T readAt(Bytes bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <class T> void append(std::vector<uint8_t>& bytes, T value) {
  const auto* begin = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
}

constexpr size_t aligned(size_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

/// Digest of the header's first 32 bytes and of the table, without copying the table.
Digest headerDigest(Bytes file, size_t tableBytes) {
  Digest head = digestOf(file.first(32)), table = digestOf(file.subspan(kHeader, tableBytes));
  uint64_t words[4] = {head.high, head.low, table.high, table.low};
  return digestOf(Bytes(reinterpret_cast<const uint8_t*>(words), sizeof words));
}

[[noreturn]] void fail(const std::string& where, const std::string& what) { throw Error(Fault::Data, fmt::format("{}: {}", where, what)); }

void checkHeader(Bytes file, const std::string& where) {
  if (file.size() < kHeader || std::memcmp(file.data(), kMagic, sizeof kMagic) != 0)
    fail(where,
         file.size() < kHeader ? fmt::format("{} bytes are too few for a moec program", file.size()) : "not a moec program (its first bytes are others)");
  auto version = readAt<uint32_t>(file, 8);
  if (version > kContainerVersion)
    fail(where, fmt::format("format version {} is newer than this moec reads ({}); use a newer moec or compile again", version, kContainerVersion));
  if (version == 0)
    fail(where, "format version 0 does not exist: the header is damaged");
  auto size = readAt<uint64_t>(file, 16), table = readAt<uint64_t>(file, 24);
  if (table > file.size() - kHeader)
    fail(where, fmt::format("truncated in the section table: {} bytes where {} were written", file.size(), size));
  if (headerDigest(file, table) != Digest{readAt<uint64_t>(file, 32), readAt<uint64_t>(file, 40)})
    fail(where, "the section table is damaged (its digest differs)");
}

} // namespace

Container Container::parse(Bytes file, const std::string& where) {
  checkHeader(file, where);
  auto count = readAt<uint32_t>(file, 12);
  size_t tableEnd = kHeader + readAt<uint64_t>(file, 24), at = kHeader, end = tableEnd;
  if (count > (tableEnd - kHeader) / kEntry)
    fail(where, fmt::format("the section table is too short for {} sections", count));
  Container container;
  container.sections_.reserve(count);
  std::set<std::string_view> names;
  for (uint32_t i = 0; i < count; ++i) {
    if (tableEnd - at < kEntry)
      fail(where, "the section table ends inside an entry");
    auto offset = readAt<uint64_t>(file, at), size = readAt<uint64_t>(file, at + 8);
    Digest digest{readAt<uint64_t>(file, at + 16), readAt<uint64_t>(file, at + 24)};
    auto length = readAt<uint32_t>(file, at + 32);
    at += kEntry;
    if (tableEnd - at < length)
      fail(where, "the section table ends inside a name");
    std::string name(reinterpret_cast<const char*>(file.data()) + at, length);
    at += length;
    if (!names.insert(std::string_view(reinterpret_cast<const char*>(file.data()) + at - length, length)).second)
      fail(where, fmt::format("section '{}' appears twice", name));
    size_t start = aligned(end);
    if (offset != start)
      fail(where, fmt::format("section '{}' does not follow the one before it", name));
    if (start > file.size() || size > file.size() - start)
      fail(where, fmt::format("truncated in section '{}': {} bytes where {} were written", name, file.size(), readAt<uint64_t>(file, 16)));
    Bytes gap = file.subspan(end, start - end), bytes = file.subspan(start, size);
    if (std::any_of(gap.begin(), gap.end(), [](uint8_t byte) { return byte != 0; }) || digestOf(bytes) != digest)
      fail(where, fmt::format("section '{}' is damaged (its digest differs)", name));
    end = start + size;
    container.sections_.push_back({std::move(name), bytes});
  }
  if (at != tableEnd)
    fail(where, "the section table is longer than its sections");
  if (end != file.size() || end != readAt<uint64_t>(file, 16))
    fail(where, fmt::format("{} bytes where {} were written", file.size(), end));
  return container;
}

bool Container::isOfAnotherVersion(Bytes file) {
  bool isOurs = file.size() >= kHeader && std::memcmp(file.data(), kMagic, sizeof kMagic) == 0;
  return isOurs && readAt<uint32_t>(file, 8) != kContainerVersion && readAt<uint32_t>(file, 8) != 0;
}

const Container::Section* Container::find(std::string_view name) const {
  auto found = std::find_if(sections_.begin(), sections_.end(), [&](const Section& section) { return section.name == name; });
  return found == sections_.end() ? nullptr : &*found;
}

std::vector<uint8_t> Container::write(const std::vector<Section>& sections) {
  size_t tableBytes = 0;
  for (const Section& section : sections)
    tableBytes += kEntry + section.name.size();
  std::vector<uint64_t> offsets;
  size_t end = kHeader + tableBytes;
  for (const Section& section : sections) {
    offsets.push_back(aligned(end));
    end = offsets.back() + section.bytes.size();
  }
  std::vector<uint8_t> file;
  file.reserve(end);
  file.insert(file.end(), kMagic, kMagic + sizeof kMagic);
  append(file, kContainerVersion);
  append(file, static_cast<uint32_t>(sections.size()));
  append(file, static_cast<uint64_t>(end));
  append(file, static_cast<uint64_t>(tableBytes));
  file.resize(kHeader);
  for (size_t i = 0; i < sections.size(); ++i) {
    Digest digest = digestOf(sections[i].bytes);
    append(file, offsets[i]);
    append(file, static_cast<uint64_t>(sections[i].bytes.size()));
    append(file, digest.high);
    append(file, digest.low);
    append(file, static_cast<uint32_t>(sections[i].name.size()));
    file.insert(file.end(), sections[i].name.begin(), sections[i].name.end());
  }
  Digest digest = headerDigest(file, tableBytes);
  std::memcpy(file.data() + 32, &digest.high, 8);
  std::memcpy(file.data() + 40, &digest.low, 8);
  for (size_t i = 0; i < sections.size(); ++i) {
    file.resize(offsets[i]);
    file.insert(file.end(), sections[i].bytes.begin(), sections[i].bytes.end());
  }
  return file;
}

} // namespace moec
