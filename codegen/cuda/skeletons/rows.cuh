#pragma once
#include "math.cuh"
// Groups of threads that compute a row together: element `lane + j * threads` of a row stands in a thread's j-th register.
// Up to 32 threads are neighbouring lanes of a warp, which must all take part; more are the whole block.
// Folds run in a fixed tree (pairs of lanes, then pairs of warps), and every thread gets the result.

template <class K> struct Best {
  K key;
  K index; // as wide as the key: no padding
};

//--- the value of the lane whose number differs in `bits`
__device__ __forceinline__ int exchanged(int x, int bits) { return __shfl_xor_sync(0xffffffffu, x, bits); }
__device__ __forceinline__ float exchanged(float x, int bits) { return __int_as_float(exchanged(__float_as_int(x), bits)); }
__device__ __forceinline__ long long exchanged(long long x, int bits) {
  const unsigned low = (unsigned)exchanged((int)x, bits), high = (unsigned)exchanged((int)(x >> 32), bits);
  return (long long)((unsigned long long)high << 32 | low);
}
__device__ __forceinline__ double exchanged(double x, int bits) { return __longlong_as_double(exchanged(__double_as_longlong(x), bits)); }
template <class K> __device__ __forceinline__ Best<K> exchanged(Best<K> x, int bits) { return {exchanged(x.key, bits), exchanged(x.index, bits)}; }

//--- what is folded; a NaN is the maximum
struct Sum {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
struct Maximum {
  template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return math::maximum(a, b); }
};
struct FirstOfLargest {
  template <class K> __device__ __forceinline__ Best<K> operator()(Best<K> a, Best<K> b) const {
    return a.key > b.key || (a.key == b.key && a.index < b.index) ? a : b;
  }
};

template <int threads_> struct Group {
  static constexpr int threads = threads_, inWarp = threads < 32 ? threads : 32, warps = (threads + 31) / 32;

  static __device__ __forceinline__ int lane() { return (int)threadIdx.x % threads; }
  static __device__ __forceinline__ void sync() {
    if constexpr (warps > 1)
      __syncthreads();
    else
      __syncwarp();
  }
  template <class T, class Fold> static __device__ __forceinline__ T fold(T x, Fold f) {
#pragma unroll
    for (int bits = inWarp / 2; bits > 0; bits /= 2)
      x = f(x, exchanged(x, bits));
    if constexpr (warps > 1) {
      __shared__ T ofWarps[warps];
      if (threadIdx.x % 32 == 0)
        ofWarps[threadIdx.x / 32] = x;
      __syncthreads();
      x = ofWarps[threadIdx.x % warps];
#pragma unroll
      for (int bits = warps / 2; bits > 0; bits /= 2)
        x = f(x, exchanged(x, bits));
      __syncthreads(); // before the next fold writes
    }
    return x;
  }
};

//--- select: integers in the order of the scores, -0 as 0, NaN below all numbers, and below NaN what is taken
constexpr int kTakenKey = -0x7fffffff - 1;
constexpr long long kTakenWideKey = -0x7fffffffffffffffll - 1;
__device__ __forceinline__ int taken(float) { return kTakenKey; }
__device__ __forceinline__ long long taken(double) { return kTakenWideKey; }
__device__ __forceinline__ int selectKey(float x) {
  const int word = __float_as_int(x + 0.0f);
  return x != x ? kTakenKey + 1 : word < 0 ? word ^ 0x7fffffff : word;
}
__device__ __forceinline__ long long selectKey(double x) {
  const long long word = __double_as_longlong(x + 0.0);
  return x != x ? kTakenWideKey + 1 : word < 0 ? word ^ 0x7fffffffffffffffll : word;
}

// The `choices` largest of a row of `width`, largest first, ties to the lowest index: by turns, the group finds one and takes it out. The thread that holds it
// writes it; values and indices are this group's own, in shared memory.
template <class Rows, int width, int choices, class T, int count>
__device__ __forceinline__ void selectLargest(const T (&x)[count], T* values, int* indices) {
  using Key = decltype(selectKey(T()));
  const int lane = Rows::lane();
  Key keys[count];
#pragma unroll
  for (int j = 0; j < count; ++j)
    keys[j] = lane + j * Rows::threads < width ? selectKey(x[j]) : taken(T());
#pragma unroll 1
  for (int turn = 0; turn < choices; ++turn) {
    Best<Key> best = {taken(T()), 0x7fffffff};
#pragma unroll
    for (int j = 0; j < count; ++j)
      best = keys[j] > best.key ? Best<Key>{keys[j], lane + j * Rows::threads} : best;
    best = Rows::fold(best, FirstOfLargest());
#pragma unroll
    for (int j = 0; j < count; ++j)
      if (lane + j * Rows::threads == best.index) {
        keys[j] = taken(T());
        values[turn] = x[j];
        indices[turn] = (int)best.index;
      }
  }
  Rows::sync();
}
