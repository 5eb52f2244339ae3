#pragma once
// The functions of codegen/cpu/VectorMath.h beside what they must give.

#include "tests/codegen/MappedKernel.h"
#include "tests/codegen/MathTruths.h"

#include <ostream>
#include <span>
#include <string>

namespace moec::testing {

struct MathFunction {
  MathTruth truth;
  codegen::cpu::Value (*code)(codegen::cpu::KernelBuilder&, codegen::cpu::Value);
};

inline void PrintTo(const MathFunction& function, std::ostream* out) { *out << function.truth.name; }

/// One for each of mathTruths().
std::span<const MathFunction> mathFunctions();
/// All of them in one image.
MappedKernel mathKernel(DType dtype, const std::string& target, bool vectors = true);

} // namespace moec::testing
