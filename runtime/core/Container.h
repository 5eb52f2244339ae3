#pragma once
// Named sections of bytes in one file, each with its digest. Knows nothing of what the sections hold.
//
// Layout, little-endian, nothing left unchecked:
//   0   magic "moec\r\n\x1a\n"          16  u64 bytes of the whole file     32  digest of [0, 32) and the table: u64 high, u64 low
//   8   u32 version, u32 sections       24  u64 bytes of the table          48  table, then the sections' bytes in the table's order
//   table entry: u64 offset, u64 size, u64 digest high, u64 digest low, u32 bytes of the name, name
//   every section starts at the next multiple of 64; the gap before it is zero

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moec {

inline constexpr uint32_t kContainerVersion = 1;

class Container {
public:
  struct Section {
    std::string name;
    std::span<const uint8_t> bytes;
  };

  /// A view of `bytes`, which outlive it. Everything is checked before memory is taken: Error(Data) that begins with `where` and names the
  /// damaged section; a newer version is refused, naming both.
  static Container parse(std::span<const uint8_t> bytes, const std::string& where);
  /// Do the first bytes say that another version than kContainerVersion wrote them?
  static bool isOfAnotherVersion(std::span<const uint8_t> bytes);

  const std::vector<Section>& sections() const { return sections_; }
  const Section* find(std::string_view name) const;

  /// The file's bytes. Names are different from each other.
  static std::vector<uint8_t> write(const std::vector<Section>& sections);

private:
  std::vector<Section> sections_;
};

} // namespace moec
