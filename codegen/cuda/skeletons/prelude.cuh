#pragma once
// Words that every kernel uses. No header is included: NVRTC has none.

struct bfloat16 { unsigned short bits; };

__device__ __forceinline__ float toFloat(bfloat16 x) { return __int_as_float((int)x.bits << 16); }

// To nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ bfloat16 toBfloat16(float x) {
  unsigned bits = (unsigned)__float_as_int(x);
  if (x != x)
    return {(unsigned short)(bits >> 16 | 0x40u)};
  return {(unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
