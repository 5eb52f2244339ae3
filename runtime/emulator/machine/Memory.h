#pragma once
// The emulated device's global memory: one reserved range of host memory, its allocations and the buffers registered inside them,
// and the shadow that says which bytes were ever written and who touched them last. Knows nothing of instructions.

#include "runtime/emulator/machine/Races.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace moec::emulator {

constexpr uint64_t kGlobalBase = 0x0700'0000'0000, kSharedBase = 0x0100'0000'0000, kLocalBase = 0x0200'0000'0000;
constexpr uint64_t kWindow = 1ull << 36; // bytes of the global range, and of the windows of generic addresses

struct Buffer {
  uint64_t begin = 0, end = 0; // device addresses
  std::string name;
  bool initialised = false; // every byte is known to be written
};

class Memory {
public:
  explicit Memory(uint64_t capacity);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// 0 when the memory is full.
  uint64_t allocate(uint64_t bytes, const std::string& name);
  bool release(uint64_t pointer);
  bool registerBuffer(uint64_t pointer, uint64_t bytes, const std::string& name);
  void unregisterBuffer(uint64_t pointer);
  /// The buffer that holds an address: the registered one, or the whole allocation when nothing is registered in it.
  Buffer* find(uint64_t address);
  /// The allocation holding [address, address + bytes), for copies.
  bool covers(uint64_t address, uint64_t bytes) const;
  /// "12 bytes past the end of buffer 'x' (400 bytes)", "a null pointer"
  std::string describe(uint64_t address) const;

  uint8_t* host(uint64_t address) const { return bytes_ + (address - kGlobalBase); }
  uint8_t* written(uint64_t address) const { return written_ + (address - kGlobalBase); }
  Cell* writers(uint64_t granule) const { return writers_ + granule; }
  Cell* readers(uint64_t granule) const { return readers_ + granule; }
  void setWritten(uint64_t address, uint64_t bytes, bool value);
  /// Looks whether all of a buffer is written, and remembers when it is.
  bool initialised(Buffer& buffer);
  /// Makes all cells void; called when epochs start over.
  void forgetAccesses();

  uint64_t capacity() const { return capacity_; }
  uint64_t used() const { return used_; }

private:
  struct Allocation {
    Buffer whole;
    std::map<uint64_t, Buffer> parts; // by begin
  };
  Allocation* allocationOf(uint64_t address);
  const Allocation* allocationOf(uint64_t address) const { return const_cast<Memory*>(this)->allocationOf(address); }

  uint64_t capacity_, used_ = 0;
  uint8_t* bytes_;
  uint8_t* written_;
  Cell* writers_;
  Cell* readers_;
  std::map<uint64_t, Allocation> allocations_; // by begin
};

} // namespace moec::emulator
