#include "runtime/emulator/machine/Memory.h"

#include <cstring>
#include <fmt/format.h>
#include <new>
#include <sys/mman.h>

namespace moec::emulator {
namespace {

// Between allocations: so that stepping over an end never lands in a neighbour.
constexpr uint64_t kGap = 512, kAlign = 256;

// An address below it is a null pointer and an index.
constexpr uint64_t kNullBytes = 64 << 10;

template <class T> T* reserve(uint64_t count) {
  void* made = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (made == MAP_FAILED)
    throw std::bad_alloc();
  return static_cast<T*>(made);
}

} // namespace

Memory::Memory(uint64_t capacity) : capacity_(capacity) {
  bytes_ = reserve<uint8_t>(capacity);
  written_ = reserve<uint8_t>(capacity);
  writers_ = reserve<Cell>(capacity);
  readers_ = reserve<Cell>(capacity);
}

Memory::~Memory() {
  munmap(bytes_, capacity_);
  munmap(written_, capacity_);
  munmap(writers_, capacity_ * sizeof(Cell));
  munmap(readers_, capacity_ * sizeof(Cell));
}

uint64_t Memory::allocate(uint64_t bytes, const std::string& name) {
  if (bytes == 0 || bytes > capacity_)
    return 0;
  uint64_t at = kGlobalBase + kGap; // first fit
  for (const auto& [begin, allocation] : allocations_) {
    if (at + bytes + kGap <= begin)
      break;
    at = (allocation.whole.end + kGap + kAlign - 1) / kAlign * kAlign;
  }
  if (at + bytes + kGap > kGlobalBase + capacity_)
    return 0;
  allocations_[at].whole = {at, at + bytes, name, false};
  used_ += bytes;
  std::memset(host(at), 0xcd, bytes); // what an uninitialised read sees is a fixed value, not an old one
  setWritten(at, bytes, false);
  return at;
}

bool Memory::release(uint64_t pointer) {
  auto found = allocations_.find(pointer);
  if (found == allocations_.end())
    return false;
  uint64_t bytes = found->second.whole.end - pointer;
  used_ -= bytes;
  setWritten(pointer, bytes, false);
  allocations_.erase(found);
  return true;
}

Memory::Allocation* Memory::allocationOf(uint64_t address) {
  auto above = allocations_.upper_bound(address);
  if (above == allocations_.begin())
    return nullptr;
  Allocation& below = std::prev(above)->second;
  return address < below.whole.end ? &below : nullptr;
}

bool Memory::registerBuffer(uint64_t pointer, uint64_t bytes, const std::string& name) {
  Allocation* allocation = allocationOf(pointer);
  if (!allocation || pointer + bytes > allocation->whole.end)
    return false;
  auto next = allocation->parts.lower_bound(pointer);
  if (next != allocation->parts.end() && next->second.begin < pointer + bytes && next->first != pointer)
    return false;
  if (next != allocation->parts.begin() && std::prev(next)->second.end > pointer)
    return false;
  allocation->parts[pointer] = {pointer, pointer + bytes, name, false};
  setWritten(pointer, bytes, false);
  return true;
}

void Memory::unregisterBuffer(uint64_t pointer) {
  if (Allocation* allocation = allocationOf(pointer))
    allocation->parts.erase(pointer);
}

Buffer* Memory::find(uint64_t address) {
  Allocation* allocation = allocationOf(address);
  if (!allocation)
    return nullptr;
  if (allocation->parts.empty())
    return &allocation->whole;
  auto above = allocation->parts.upper_bound(address);
  if (above == allocation->parts.begin())
    return nullptr;
  Buffer& below = std::prev(above)->second;
  return address < below.end ? &below : nullptr;
}

bool Memory::covers(uint64_t address, uint64_t bytes) const {
  const Allocation* allocation = allocationOf(address);
  return allocation && address + bytes <= allocation->whole.end;
}

std::string Memory::describe(uint64_t address) const {
  if (address < kNullBytes)
    return "a null pointer";
  const Buffer* below = nullptr;
  const Buffer* above = nullptr;
  auto consider = [&](const Buffer& buffer) {
    if (buffer.begin <= address && (!below || buffer.begin >= below->begin))
      below = &buffer;
    if (buffer.begin > address && (!above || buffer.begin < above->begin))
      above = &buffer;
  };
  for (const auto& [begin, allocation] : allocations_) {
    if (allocation.parts.empty())
      consider(allocation.whole);
    for (const auto& [at, part] : allocation.parts)
      consider(part);
  }
  if (below && address < below->end)
    return fmt::format("byte {} of buffer '{}' ({} bytes)", address - below->begin, below->name, below->end - below->begin);
  if (below && (!above || address - below->end < above->begin - address))
    return fmt::format("{} bytes past the end of buffer '{}' ({} bytes)", address - below->end, below->name, below->end - below->begin);
  if (above)
    return fmt::format("{} bytes before buffer '{}' ({} bytes)", above->begin - address, above->name, above->end - above->begin);
  return "no memory is allocated";
}

void Memory::setWritten(uint64_t address, uint64_t bytes, bool value) {
  std::memset(written(address), value, bytes);
  Buffer* buffer = find(address);
  if (!buffer)
    return;
  if (!value)
    buffer->initialised = false;
  else if (address == buffer->begin && address + bytes == buffer->end)
    buffer->initialised = true;
}

bool Memory::initialised(Buffer& buffer) {
  if (!buffer.initialised)
    buffer.initialised = !std::memchr(written(buffer.begin), 0, buffer.end - buffer.begin);
  return buffer.initialised;
}

void Memory::forgetAccesses() {
  madvise(writers_, capacity_ * sizeof(Cell), MADV_DONTNEED);
  madvise(readers_, capacity_ * sizeof(Cell), MADV_DONTNEED);
}

} // namespace moec::emulator
