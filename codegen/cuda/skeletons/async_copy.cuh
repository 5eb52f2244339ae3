#pragma once
// Copies from global to shared memory that run beside the arithmetic (cp.async), and the layout of slices in shared memory.

// Copies `bytes` (2, 4, 8 or 16, both ends aligned to it) when `inside`, else writes zeros. `source` must be readable even then.
template <int bytes> __device__ __forceinline__ void copyAsync(void* target, const void* source, bool inside) {
  const unsigned address = (unsigned)__cvta_generic_to_shared(target), size = inside ? bytes : 0;
  if constexpr (bytes == 2) // fewer than cp.async takes: done at once
    *(unsigned short*)target = inside ? *(const unsigned short*)source : 0;
  else if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(source), "r"(size) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(source), "n"(bytes), "r"(size) : "memory");
}

// Ends a group of copies. A group may be empty.
__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `pending` of this thread's youngest groups are still under way; the others' copies are seen behind the next barrier.
template <int pending> __device__ __forceinline__ void waitForCopies() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

// 16 bytes of a row: what one load from shared memory takes.
template <class T> struct alignas(16) Chunk { T of[16 / sizeof(T)]; };

// Slices in shared memory: rows of 64 bytes, one behind the other, each of 4 chunks. Chunk c of row r stands at place c ^ (r / 2 % 4) of its row: 8 rows read at
// one chunk, 4 rows read at one chunk, and 2 rows written whole all touch each bank once.
template <class T> struct Slice {
  static constexpr int depth = 64 / sizeof(T); // elements of a row
  static constexpr int chunk = 16 / sizeof(T); // elements of a chunk

  // The element of a row where its chunk (or a part of it, at `within`) stands.
  static __device__ __forceinline__ int place(int row, int chunkOfRow, int within = 0) {
    return row * depth + (chunkOfRow ^ (row >> 1 & 3)) * chunk + within;
  }
  static __device__ __forceinline__ Chunk<T> read(const T* slice, int row, int chunkOfRow) {
    return *(const Chunk<T>*)(slice + place(row, chunkOfRow));
  }
};
