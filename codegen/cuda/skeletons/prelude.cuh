#pragma once
// Words that every kernel uses. No header is included: NVRTC has none.

#pragma nv_diag_suppress 177 // "declared but never referenced": not every kernel needs every coordinate of what it computes

struct bfloat16 { unsigned short bits; };

__device__ __forceinline__ float toFloat(bfloat16 x) { return __int_as_float((int)x.bits << 16); }

// To nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ bfloat16 toBfloat16(float x) {
  unsigned bits = (unsigned)__float_as_int(x);
  if (x != x)
    return {(unsigned short)(bits >> 16 | 0x40u)};
  return {(unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

// Rounded once: on the way the last bit of a float tells that something was cut off.
__device__ __forceinline__ bfloat16 toBfloat16(double x) {
  const float cut = __double2float_rz(x);
  return toBfloat16(__int_as_float(__float_as_int(cut) | (int)((double)cut != x)));
}
