#include "tests/codegen/MathFunctions.h"

#include "codegen/cpu/VectorMath.h"

#include <stdexcept>
#include <string_view>
#include <vector>

namespace moec::testing {

namespace cpu = codegen::cpu;

namespace {

cpu::Value eluOne(cpu::KernelBuilder& k, cpu::Value x) { return cpu::elu(k, x, 1); }

struct Code {
  std::string_view name;
  cpu::Value (*code)(cpu::KernelBuilder&, cpu::Value);
};

/// In the order of mathTruths().
const Code kCodes[] = {
    {"exp", cpu::exp},
    {"expm1", cpu::expm1},
    {"log", cpu::log},
    {"tanh", cpu::tanh},
    {"sigmoid", cpu::sigmoid},
    {"softplus", cpu::softplus},
    {"erf", cpu::erf},
    {"gelu", cpu::gelu},
    {"geluTanh", cpu::geluTanh},
    {"silu", cpu::silu},
    {"elu", eluOne},
    {"geluGrad", cpu::geluGrad},
    {"geluTanhGrad", cpu::geluTanhGrad},
};

std::vector<MathFunction> makeFunctions() {
  std::vector<MathFunction> functions;
  for (const MathTruth& truth : mathTruths()) {
    const Code& code = kCodes[functions.size()];
    if (code.name != truth.name)
      throw std::logic_error("no code stands for " + std::string(truth.name));
    functions.push_back({truth, code.code});
  }
  return functions;
}

} // namespace

std::span<const MathFunction> mathFunctions() {
  static const std::vector<MathFunction> functions = makeFunctions();
  return functions;
}

MappedKernel mathKernel(DType dtype, const std::string& target, bool vectors) {
  std::vector<MappedKernel::Code> codes;
  for (const MathFunction& function : mathFunctions())
    codes.push_back([code = function.code](cpu::KernelBuilder& k, const cpu::Values& x) { return code(k, x[0]); });
  return MappedKernel(codes, dtype, target, 1, vectors);
}

} // namespace moec::testing
