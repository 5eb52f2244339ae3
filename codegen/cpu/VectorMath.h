#pragma once
// Mathematical functions as code: polynomials on f32 or f64, scalars or vectors of any length, no calls into a library. The coefficients
// come from codegen/coefficients.py. f64: relative error below 1e-15 (erf, tanh, gelu ... also near 0); f32: about 2 units in the last place.
// NaN stays NaN, infinities have their limits (silu and gelu: 0 at -inf), results below the smallest normal number are right to the last denormal.
// Derivatives are sums that cancel somewhere: the error is that of their larger term.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

Value exp(KernelBuilder& k, Value x);
Value expm1(KernelBuilder& k, Value x); // exp(x) - 1, accurate near 0
Value log(KernelBuilder& k, Value x);   // NaN below 0, -inf at 0
Value log1p(KernelBuilder& k, Value x); // log(1 + x), accurate near 0
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
Value leakyRelu(KernelBuilder& k, Value x, double slope);
Value elu(KernelBuilder& k, Value x, double alpha);

} // namespace moec::codegen::cpu
