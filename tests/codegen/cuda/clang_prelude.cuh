// The words of CUDA that NVRTC knows by itself, for clang without any header: stands before a kernel's text (-include). Only what kernels use.
// __syncthreads is a builtin of clang's.

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

#define MOEC_WORD inline __attribute__((device, always_inline))

//--- where a thread is
struct ThreePlaces {
  unsigned x, y, z;
};
#define MOEC_PLACES(name, place)                                                                                                           \
  MOEC_WORD ThreePlaces name() {                                                                                                           \
    return {(unsigned)__nvvm_read_ptx_sreg_##place##_x(), (unsigned)__nvvm_read_ptx_sreg_##place##_y(),                                    \
            (unsigned)__nvvm_read_ptx_sreg_##place##_z()};                                                                                 \
  }
MOEC_PLACES(threadPlace, tid)
MOEC_PLACES(blockPlace, ctaid)
MOEC_PLACES(threadCounts, ntid)
MOEC_PLACES(blockCounts, nctaid)
#define threadIdx (threadPlace())
#define blockIdx (blockPlace())
#define blockDim (threadCounts())
#define gridDim (blockCounts())

//--- bits
MOEC_WORD int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
MOEC_WORD float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
MOEC_WORD long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
MOEC_WORD double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }
MOEC_WORD int __popc(unsigned x) { return __builtin_popcount(x); }
MOEC_WORD int __ffs(int x) { return __builtin_ffs(x); }

//--- a warp together
MOEC_WORD void __syncwarp(unsigned mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }
MOEC_WORD unsigned __ballot_sync(unsigned mask, int predicate) { return __nvvm_vote_ballot_sync(mask, predicate); }
// Shuffles of each type that they take: wide ones by halves. The last operand holds the last lane that may be read, for `up` the first.
#define MOEC_SHUFFLE(word, builtin, Where, lanes)                                                                                          \
  MOEC_WORD int word(unsigned mask, int x, Where where) { return builtin(mask, x, where, lanes); }                                         \
  MOEC_WORD unsigned word(unsigned mask, unsigned x, Where where) { return (unsigned)word(mask, (int)x, where); }                          \
  MOEC_WORD float word(unsigned mask, float x, Where where) { return __int_as_float(word(mask, __float_as_int(x), where)); }               \
  MOEC_WORD long long word(unsigned mask, long long x, Where where) {                                                                      \
    const unsigned low = word(mask, (unsigned)x, where), high = word(mask, (unsigned)((unsigned long long)x >> 32), where);                \
    return (long long)((unsigned long long)high << 32 | low);                                                                              \
  }                                                                                                                                        \
  MOEC_WORD double word(unsigned mask, double x, Where where) { return __longlong_as_double(word(mask, __double_as_longlong(x), where)); }
MOEC_SHUFFLE(__shfl_sync, __nvvm_shfl_sync_idx_i32, int, 31)
MOEC_SHUFFLE(__shfl_up_sync, __nvvm_shfl_sync_up_i32, unsigned, 0)
MOEC_SHUFFLE(__shfl_down_sync, __nvvm_shfl_sync_down_i32, unsigned, 31)
MOEC_SHUFFLE(__shfl_xor_sync, __nvvm_shfl_sync_bfly_i32, int, 31)

//--- arithmetic
MOEC_WORD float __fmaf_rn(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
MOEC_WORD double __fma_rn(double a, double b, double c) { return __nvvm_fma_rn_d(a, b, c); }
MOEC_WORD float __fsqrt_rn(float x) { return __nvvm_sqrt_rn_f(x); }
MOEC_WORD double __dsqrt_rn(double x) { return __nvvm_sqrt_rn_d(x); }
MOEC_WORD float __double2float_rz(double x) { return __nvvm_d2f_rz(x); }

//--- memory
MOEC_WORD int atomicAdd(int* at, int x) { return __nvvm_atom_add_gen_i(at, x); }
MOEC_WORD unsigned long __cvta_generic_to_shared(const void* pointer) { return (unsigned long)(const __attribute__((address_space(3))) void*)pointer; }
