#pragma once
// Mathematical functions as code: polynomials on f32 or f64, scalars or vectors of any length, no tables and no calls into a library. docs/PRECISION.md
// says how far each may be off, in units of the last place; tests/codegen holds them to it. NaN stays NaN, infinities have their limits (silu and gelu:
// 0 at -inf), results below the smallest normal number are right to about the last denormal. Derivatives are sums that cancel somewhere: the error is
// that of their larger term.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

Value exp(KernelBuilder& k, Value x);
/// exp(x) of an x that is not above 0, as a softmax takes it, in half of the operations. Below the smallest normal number it is subnormal for a
/// third of a unit of x, and 0 left of -87.68 (f32) and -708.74 (f64), where its power of two is none; f32 that is computed in f64 has all its subnormals.
Value expOfNegative(KernelBuilder& k, Value x);
Value expm1(KernelBuilder& k, Value x); // exp(x) - 1, accurate near 0
Value log(KernelBuilder& k, Value x);   // NaN below 0, -inf at 0
Value tanh(KernelBuilder& k, Value x);
Value sigmoid(KernelBuilder& k, Value x);
Value softplus(KernelBuilder& k, Value x);
Value erf(KernelBuilder& k, Value x);
Value relu(KernelBuilder& k, Value x);
Value gelu(KernelBuilder& k, Value x);
Value geluTanh(KernelBuilder& k, Value x);
Value silu(KernelBuilder& k, Value x);
Value geluGrad(KernelBuilder& k, Value x);     // the derivative at x: 0 at -inf, 1 at +inf
Value geluTanhGrad(KernelBuilder& k, Value x); // likewise
/// Both at once, the same bits: vectors that are near 0 as a whole are found once, and neither function waits for the other's branch.
Values geluAndGrad(KernelBuilder& k, Value x);
Value leakyRelu(KernelBuilder& k, Value x, double slope);
Value elu(KernelBuilder& k, Value x, double alpha);

} // namespace moec::codegen::cpu
