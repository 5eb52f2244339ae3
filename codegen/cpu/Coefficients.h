#pragma once
// Polynomials for VectorMathF64.cpp, lowest power first. Made by codegen/coefficients.py, not by hand.

namespace moec::codegen::cpu {

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

inline constexpr double kLn2F64 = 0x1.62e42fefa39efp-1, kLn2RestF64 = 0x1.abc9e3b39803fp-56;
inline constexpr double kTwoOverSqrtPiF64 = 0x1.20dd750429b6dp+0, kTwoOverSqrtPiRestF64 = 0x1.1ae3a914fed80p-56;
inline constexpr double kSqrtHalfF64 = 0x1.6a09e667f3bcdp-1, kSqrtHalfRestF64 = -0x1.bdd3413b26456p-55;
inline constexpr double kInverseLn2F64 = 0x1.71547652b82fep+0, kInverseLn2RestF64 = 0x1.777d0ffda0d24p-56;
inline constexpr double kSqrtTwoOverPiF64 = 0x1.9884533d43651p-1, kSqrtTwoOverPiRestF64 = -0x1.cbc0d30ebfd15p-55;
inline constexpr double kLn2ShortF64 = 0x1.62e42fefa4000p-1, kLn2ShortRestF64 = -0x1.8432a1b0e2634p-43;

} // namespace moec::codegen::cpu
