#pragma once
// The functions of VectorMath.h by the type they compute in. Only VectorMath.cpp chooses between them.

#include "codegen/cpu/KernelBuilder.h"

namespace moec::codegen::cpu {

/// On f32, for targets with FMA.
namespace single {
Value exp(KernelBuilder& k, Value x);
Value expOfNegative(KernelBuilder& k, Value x);
Value expm1(KernelBuilder& k, Value x);
Value log(KernelBuilder& k, Value x);
Value tanh(KernelBuilder& k, Value x);
Value sigmoid(KernelBuilder& k, Value x);
Value softplus(KernelBuilder& k, Value x);
Value erf(KernelBuilder& k, Value x);
Value gelu(KernelBuilder& k, Value x);
Value geluTanh(KernelBuilder& k, Value x);
Value silu(KernelBuilder& k, Value x);
Value geluGrad(KernelBuilder& k, Value x);
Values geluAndGrad(KernelBuilder& k, Value x);
Value geluTanhGrad(KernelBuilder& k, Value x);
} // namespace single

/// On f64, for every target.
namespace wide {
Value exp(KernelBuilder& k, Value x);
Value expOfNegative(KernelBuilder& k, Value x);
Value expm1(KernelBuilder& k, Value x);
Value log(KernelBuilder& k, Value x);
Value tanh(KernelBuilder& k, Value x);
Value sigmoid(KernelBuilder& k, Value x);
Value softplus(KernelBuilder& k, Value x);
Value erf(KernelBuilder& k, Value x);
Value gelu(KernelBuilder& k, Value x);
Value geluTanh(KernelBuilder& k, Value x);
Value silu(KernelBuilder& k, Value x);
Value geluGrad(KernelBuilder& k, Value x);
Value geluTanhGrad(KernelBuilder& k, Value x);
} // namespace wide

} // namespace moec::codegen::cpu
