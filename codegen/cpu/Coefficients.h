#pragma once
// Polynomials for VectorMathF64.cpp, lowest power first. Made by codegen/coefficients.py, not by hand.

#include "llvm/ADT/ArrayRef.h"

namespace moec::codegen::cpu {

/// A polynomial in slope / (y + shift) - offset, for y from 1 on.
struct TailTableF64 {
  double shift, slope, offset;
  llvm::ArrayRef<double> c;
};

// (exp(r) - 1 - r) / r^2, |r| <= ln 2 / 2; error 2.7e-18
inline constexpr double kExpF64[] = {0x1.0000000000000p-1,  0x1.5555555555557p-3,  0x1.555555555554ep-5,  0x1.11111111100e6p-7,
                                     0x1.6c16c16c1a083p-10, 0x1.a01a01abe2fefp-13, 0x1.a01a0190601ebp-16, 0x1.71de023f73a8bp-19,
                                     0x1.27e510d84d2a4p-22, 0x1.af4dcfd60c0eap-26, 0x1.1f1a029a2dd24p-29};
// (2 atanh(s) - 2s) / s^3 of z = s^2, |s| <= 0.1716; error 4.6e-16
inline constexpr double kLogF64[] = {0x1.5555555555558p-1, 0x1.9999999995238p-2, 0x1.2492492e034e4p-2, 0x1.c71c62cf58f98p-3,
                                     0x1.7462bac8a32eep-3, 0x1.39fd9a4ee50d4p-3, 0x1.2b61a5a097667p-3};
// (erf(x) / x - 2 / sqrt(pi)) / z of z = x^2, |x| <= 1; error 1.6e-18
inline constexpr double kErfF64[] = {-0x1.812746b0379e7p-2,  0x1.ce2f21a042bd6p-4,  -0x1.b82ce31288259p-6,  0x1.565bcd0e40e46p-8,
                                     -0x1.c02db3f3daa71p-11, 0x1.f9a324c7cff66p-14, -0x1.f4d21cfd8a281p-17, 0x1.b9e2157644e61p-20,
                                     -0x1.5f381ac225793p-23, 0x1.f8c7455f6549bp-27, -0x1.3bf2490da0707p-30, 0x1.0f09bbe070f8bp-34};
// (tanh(x) / x - 1) / z of z = x^2, |x| <= 0.625; error 3.2e-16
inline constexpr double kTanhF64[] = {-0x1.5555555555553p-2,  0x1.11111111107aep-3,  -0x1.ba1ba1b92a7b6p-5,  0x1.664f48370a0d1p-6,
                                      -0x1.226e2922b7170p-7,  0x1.d6d17fddbdce5p-9,  -0x1.7d8029a9a7150p-10, 0x1.33fc9008bb317p-11,
                                      -0x1.e3f99239625e6p-13, 0x1.4ddeb9bc9e08dp-14, -0x1.2154ef3cd378fp-16};
// (x + 2) exp(x^2) erfc(x) of t = (x - 2) / (x + 2), x in [0, 28]; error 6.0e-18
inline constexpr double kErfcF64[] = {0x1.058671b52c776p+0,  -0x1.5fd386754eff9p-1, 0x1.1e2deea6b114ep-2,   -0x1.2a88e6107cfa8p-5,  -0x1.606e41552065ap-6,
                                      0x1.a89eaff7f5136p-8,  0x1.9517bb6939760p-9,  -0x1.b6fbf952e7b3bp-11, -0x1.5ba436d309df2p-11, 0x1.2053e27924df9p-15,
                                      0x1.2ef9fbd5cdc3dp-13, 0x1.1e7793bce2365p-15, -0x1.6bfa1b80c3a43p-16, -0x1.0e824756f5640p-16, -0x1.2f9684a7474d3p-20,
                                      0x1.ea0748e43a628p-19, 0x1.0e8fe85d548a0p-19, -0x1.6748d9495b5c5p-27, -0x1.404a350b6f08cp-21, -0x1.4e1d14ecd7dcdp-22,
                                      0x1.e206d3b2a6265p-26, 0x1.bb747015c9a3fp-24, 0x1.1b3fb7a1f489bp-25,  -0x1.5a1abd1430b31p-27, -0x1.0beb7fb14829dp-27,
                                      -0x1.3ecb79a913e28p-30};
// (Phi(x) - (1 + x) / 2) / x of z = x^2, |x| <= 1; error 7.8e-18
inline constexpr double kNormalNearF64[] = {-0x1.9deeb30af26bep-4, -0x1.1058377e2ce70p-4,  0x1.46d0429761d5bp-7,  -0x1.37403f68b3f49p-10,
                                            0x1.e42b0c2017e84p-14, -0x1.3ce8d6d03f404p-17, 0x1.6584fab9dbf10p-21, -0x1.61acf90c94169p-25,
                                            0x1.3219a1d0b2133p-29, -0x1.8d10b8122b94ap-34};
// (Phi(x) + x phi(x) - (1 + x) / 2) / x of z = x^2, |x| <= 1; error 1.9e-18
inline constexpr double kGeluGradNearF64[] = {0x1.3108a67a86ca1p-2,  -0x1.1058377e2ced8p-2,  0x1.ea3863e31d05fp-5,  -0x1.37403f6b784d2p-7,
                                              0x1.2e9ae849112b9p-10, -0x1.db5d75212fd15p-14, 0x1.38d896e2f92ffp-17, -0x1.621a1dd934bb2p-21,
                                              0x1.5ee63d0152071p-25, -0x1.2ef26b92fa775p-29, 0x1.8238f3a9e3441p-34};
// y Phi(-y) exp(y^2/2), y in [1, 39]; error 2.5e-18
inline constexpr double kNormalTailCF64[] = {
    0x1.794accbb957fdp-2,   -0x1.0d75315519a85p-4, -0x1.58563d53ea68dp-5,  -0x1.d42e767b8f6edp-9,  0x1.c37c88d2a9bdep-9,  -0x1.930a0983ab17ep-17,
    -0x1.b996933e7f0d7p-12, 0x1.d1b750add0d86p-14, 0x1.f029dba798bfep-16,  -0x1.ea0792aeb4470p-16, 0x1.bb34aab641230p-18, 0x1.58b75a74b49ecp-19,
    -0x1.543eee3bf639cp-19, 0x1.96ec96d09e97ap-21, 0x1.2a85caf3809b0p-23,  -0x1.089b7805fd267p-22, 0x1.e0ec5457e4adap-24, -0x1.8c3fd1af45601p-27,
    -0x1.469d544d2e593p-26, 0x1.2d15fc5137145p-26, -0x1.0c7e51ca9a0dcp-27, -0x1.5db0aaa2a3d0dp-30, 0x1.ea20d77f484a4p-29, -0x1.1732824619cfbp-30,
    -0x1.f2519c544c2c6p-32, 0x1.d7748bf39af31p-33};
inline constexpr TailTableF64 kNormalTailF64 = {0x1.8000000000000p+0, 0x1.5000000000000p+2, 0x1.1c0002f400000p+0, kNormalTailCF64};
// phi(0) - Phi(-y) exp(y^2/2) / y, y in [1, 39]; error 2.8e-18
inline constexpr double kGeluGradTailCF64[] = {
    0x1.6fd6bd18098edp-2,   -0x1.7f88dce505f4dp-4,  -0x1.427796487023ap-4,  -0x1.0783342009cfdp-5,  -0x1.50ae8695e4efcp-7,
    -0x1.fb612d97c90dep-9,  -0x1.9ccf438bbc1f5p-10, -0x1.1bb5b9e821036p-11, -0x1.a10962a8b1602p-13, -0x1.5410372abb0bdp-14,
    -0x1.cb9a023fba638p-16, -0x1.57fc0dbccae2bp-17, -0x1.1ebbe95b7fb8fp-18, -0x1.63e8c3533c37fp-20, -0x1.25cf36dff2ae7p-21,
    -0x1.e622dda49f6eap-23, -0x1.f75459c49d30bp-25, -0x1.1e21ded84c0e3p-25, -0x1.513ab3b9e4eedp-27, -0x1.2187da7e65a2ep-29,
    -0x1.d04f4d1d0002dp-29, -0x1.a32409750246ap-33, 0x1.76fb21cbc9ef9p-32,  -0x1.0e132193f269cp-32, -0x1.a46f0770261b2p-34};
inline constexpr TailTableF64 kGeluGradTailF64 = {0x1.4000000000000p+0, 0x1.3000000000000p+2, 0x1.1c00004400000p+0, kGeluGradTailCF64};

inline constexpr double kLn2F64 = 0x1.62e42fefa39efp-1, kLn2RestF64 = 0x1.abc9e3b39803fp-56;
inline constexpr double kSqrtHalfF64 = 0x1.6a09e667f3bcdp-1, kSqrtHalfRestF64 = -0x1.bdd3413b26456p-55;
inline constexpr double kInverseLn2F64 = 0x1.71547652b82fep+0, kInverseLn2RestF64 = 0x1.777d0ffda0d24p-56;
inline constexpr double kLn2ShortF64 = 0x1.62e42fefa4000p-1, kLn2ShortRestF64 = -0x1.8432a1b0e2634p-43;
inline constexpr double kLinearF64 = 0x1.9884533d43651p+0, kLinearRestF64 = -0x1.cbc0d30ebfd15p-54;
inline constexpr double kCubicF64 = 0x1.2444f2a4d8b4bp-4, kCubicRestF64 = -0x1.3023b0e5fbc6ep-58;
inline constexpr double kLinearShortF64 = 0x1.9884533d43000p+0, kLinearShortRestF64 = 0x1.942343f2cf140p-42;
inline constexpr double kCubicShortF64 = 0x1.2445000000000p-4, kCubicShortRestF64 = -0x1.ab64e96a9811ep-25;
inline constexpr double kTwoOverSqrtPiLessOneF64 = 0x1.06eba8214db69p-3, kTwoOverSqrtPiLessOneRestF64 = -0x1.ca38add602500p-57;

} // namespace moec::codegen::cpu
