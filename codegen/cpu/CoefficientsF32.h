#pragma once
// Polynomials for VectorMathF32.cpp, lowest power first. Made by codegen/coefficients_f32.py, not by hand.

#include "llvm/ADT/ArrayRef.h"

namespace moec::codegen::cpu::single {

/// A polynomial in centre - y, for y in [0, kNear]. slope: about its derivative where y is so small that the difference is rounded.
struct NearTable {
  double centre, slope;
  llvm::ArrayRef<double> c;
};
/// A polynomial in slope / (y + shift) - offset, for y from kNear on.
struct TailTable {
  double shift, slope, offset;
  llvm::ArrayRef<double> c;
};

inline constexpr double kNear = 0x1.c000000000000p+0;
inline constexpr double kInverseLn2 = 0x1.7154760000000p+0;
inline constexpr double kLn2Short = 0x1.62e4000000000p-1;
inline constexpr double kLn2ShortRest = 0x1.7f7d1c0000000p-20;
inline constexpr double kSqrtHalf = 0x1.6a09e60000000p-1;
inline constexpr double kTwoOverSqrtPi = 0x1.20dd760000000p+0;
inline constexpr double kTwoOverSqrtPiRest = -0x1.f7ac920000000p-25;
inline constexpr double kLinearShort = 0x1.9884000000000p+0;
inline constexpr double kLinearRest = 0x1.4cf50e0000000p-18;
inline constexpr double kCubic = 0x1.2444f20000000p-4;
inline constexpr double kCubicRest = 0x1.49b16a0000000p-29;
inline constexpr double kThriceCubic = 0x1.b6676c0000000p-3;

// (exp(r) - 1 - r) / r^2, |r| <= ln 2 / 2; error 6.3e-08
inline constexpr double kExp[] = {0x1.0000000000000p-1, 0x1.5554de0000000p-3, 0x1.5554dc0000000p-5, 0x1.120afc0000000p-7, 0x1.6d5cae0000000p-10};
// (2 atanh(s) - 2s) / s^3 of z = s^2, |s| <= 0.1716; error 8.1e-10
inline constexpr double kLog[] = {0x1.55557a0000000p-1, 0x1.995ed00000000p-2, 0x1.31e1a80000000p-2};
// the same for |s| <= 1/3; error 4.5e-09
inline constexpr double kLog1p[] = {0x1.5555020000000p-1, 0x1.99d1ca0000000p-2, 0x1.1ec0700000000p-2, 0x1.1ec9060000000p-2};
// (tanh(x) / x - 1) / z of z = x^2, |x| <= 0.625; error 4.5e-09
inline constexpr double kTanh[] = {-0x1.5555320000000p-2, 0x1.1106fc0000000p-3, -0x1.b837380000000p-5, 0x1.5207b80000000p-6, -0x1.75619a0000000p-8};
// (erf(x) / x - 2 / sqrt(pi)) / z of z = x^2, |x| <= 1; error 1.5e-09
inline constexpr double kErf[] = {-0x1.8127400000000p-2, 0x1.ce2d2a0000000p-4,   -0x1.b7fafc0000000p-6,
                                  0x1.540dd60000000p-8,  -0x1.a40f660000000p-11, 0x1.4967ae0000000p-14};
// -log(erfc(y)), y in [1, 4]; error 1.0e-09
inline constexpr double kErfcLog[] = {0x1.72e4040000000p-12, 0x1.2085b20000000p+0, 0x1.46c5880000000p-1,  0x1.a60a4a0000000p-4,
                                      -0x1.6541700000000p-6, 0x1.814ad40000000p-9, -0x1.8528d00000000p-13};
// Phi(-y); error 2.0e-09
inline constexpr double kNormalNearC[] = {0x1.8c79f60000000p-4,  0x1.5ef3700000000p-3,   0x1.c83ed20000000p-4,   0x1.42e86c0000000p-6,
                                          -0x1.8e6ec40000000p-7, -0x1.90f8b00000000p-8,  0x1.3619fe0000000p-12,  0x1.9b7c660000000p-11,
                                          0x1.8ed0060000000p-14, -0x1.0c581c0000000p-14, -0x1.1c78880000000p-16, 0x1.8a34e20000000p-18};
inline constexpr NearTable kNormalNear = {0x1.4cce840000000p+0, 0x1.8f5c28f5c28f6p-2, kNormalNearC};
// y Phi(-y) exp(y^2/2); error 5.6e-09
inline constexpr double kNormalTailC[] = {0x1.81d0820000000p-2,  -0x1.1b755e0000000p-5,  -0x1.0a684a0000000p-6, -0x1.70f1360000000p-10, 0x1.1d9ac40000000p-11,
                                          0x1.51361c0000000p-15, -0x1.18dd920000000p-15, 0x1.4a897c0000000p-20, 0x1.df01140000000p-20};
inline constexpr TailTable kNormalTail = {0x1.8000000000000p+0, 0x1.0800000000000p+3, 0x1.8684dc0000000p+0, kNormalTailC};
// Phi(-y) - y phi(y), against the larger of the two; error 2.6e-09
inline constexpr double kGeluGradNearC[] = {-0x1.c5fa200000000p-5,  0x1.443d540000000p-2,   0x1.8721e00000000p-2,  0x1.70591a0000000p-5,
                                            -0x1.8e545e0000000p-4,  -0x1.e4bd2c0000000p-6,  0x1.bc32980000000p-7,  0x1.ac726a0000000p-8,
                                            -0x1.2410260000000p-10, -0x1.d421100000000p-11, 0x1.6782400000000p-15, 0x1.3866540000000p-14};
inline constexpr NearTable kGeluGradNear = {0x1.cccd040000000p-1, 0x1.8000000000000p-1, kGeluGradNearC};
// phi(0) - Phi(-y) exp(y^2/2) / y, against phi(0); error 4.6e-09
inline constexpr double kGeluGradTailC[] = {0x1.7c56e00000000p-2,   -0x1.78061e0000000p-5,  -0x1.96a8d60000000p-6,
                                            -0x1.4ae4a00000000p-8,  -0x1.53d5c40000000p-11, -0x1.2b30040000000p-13,
                                            -0x1.3775c40000000p-15, -0x1.33f6ce0000000p-18, -0x1.c4a7de0000000p-21};
inline constexpr TailTable kGeluGradTail = {0x1.0000000000000p+0, 0x1.b000000000000p+2, 0x1.70857e0000000p+0, kGeluGradTailC};

} // namespace moec::codegen::cpu::single
