#pragma once
// A host's allocator that counts what is taken, and the most at once.

#include "runtime/device/Host.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace moec::test {

struct MemoryCounter {
  std::atomic<int64_t> now = 0, most = 0;

  Allocator allocator() {
    return {[](void* self, size_t bytes, size_t alignment) {
              auto& counter = *static_cast<MemoryCounter*>(self);
              int64_t now = counter.now += static_cast<int64_t>(bytes);
              if (now > counter.most)
                counter.most = now;
              return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
            },
            [](void* self, void* memory, size_t bytes) {
              static_cast<MemoryCounter*>(self)->now -= static_cast<int64_t>(bytes);
              std::free(memory);
            },
            this};
  }
};

} // namespace moec::test
