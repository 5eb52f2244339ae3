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

inline constexpr double kNear = 0x1.b000000000000p+0;
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
// Phi(-y); error 1.5e-09
inline constexpr double kNormalNearC[] = {0x1.e76c780000000p-4,  0x1.9745700000000p-3,   0x1.e094980000000p-4,   0x1.aa2b1c0000000p-7,
                                          -0x1.0187280000000p-6, -0x1.72e8c40000000p-8,  0x1.0198440000000p-10,  0x1.b6bf080000000p-11,
                                          0x1.52a2f40000000p-16, -0x1.410a660000000p-14, -0x1.f446e20000000p-17, 0x1.09b6400000000p-17};
inline constexpr NearTable kNormalNear = {0x1.2e148a0000000p+0, 0x1.70a3d70a3d70ap-2, kNormalNearC};
// y Phi(-y) exp(y^2/2); error 7.0e-09
inline constexpr double kNormalTailC[] = {0x1.80ec020000000p-2,  -0x1.2b2dd00000000p-5,  -0x1.1d1d2e0000000p-6, -0x1.84f6da0000000p-10, 0x1.45b9e80000000p-11,
                                          0x1.5949840000000p-15, -0x1.4d41d20000000p-15, 0x1.fead320000000p-20, 0x1.1f4c3e0000000p-19};
inline constexpr TailTable kNormalTail = {0x1.8000000000000p+0, 0x1.0000000000000p+3, 0x1.80ddb80000000p+0, kNormalTailC};
// Phi(-y) - y phi(y), against the larger of the two; error 2.5e-09
inline constexpr double kGeluGradNearC[] = {-0x1.c5fa200000000p-5,  0x1.443d540000000p-2,   0x1.8721e00000000p-2,  0x1.7059140000000p-5,
                                            -0x1.8e545a0000000p-4,  -0x1.e4bca80000000p-6,  0x1.bc31a60000000p-7,  0x1.ac6b920000000p-8,
                                            -0x1.23fe3a0000000p-10, -0x1.d3dc800000000p-11, 0x1.65d5420000000p-15, 0x1.378f7e0000000p-14};
inline constexpr NearTable kGeluGradNear = {0x1.cccd040000000p-1, 0x1.8000000000000p-1, kGeluGradNearC};
// phi(0) - Phi(-y) exp(y^2/2) / y, against phi(0); error 5.8e-09
inline constexpr double kGeluGradTailC[] = {0x1.7af9f00000000p-2,   -0x1.92a6a00000000p-5,  -0x1.be3dbc0000000p-6,
                                            -0x1.78155e0000000p-8,  -0x1.97f6720000000p-11, -0x1.796d080000000p-13,
                                            -0x1.8ed4000000000p-15, -0x1.a66ff00000000p-18, -0x1.5186b40000000p-20};
inline constexpr TailTable kGeluGradTail = {0x1.0000000000000p+0, 0x1.a000000000000p+2, 0x1.69e9760000000p+0, kGeluGradTailC};

} // namespace moec::codegen::cpu::single
