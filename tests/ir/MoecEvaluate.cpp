// moec-evaluate FILE: runs every function @check_* of a module through the reference interpreter. Its results come in
// pairs (computed, expected) that must agree. Prints one line a function. @prepare runs first where there is one;
// parameters and states are zeros, ones or constant. Function attributes: moe.bindings (sizes by symbol), moe.seed,
// moe.step, moe.tolerance (of max |a-b| / max |b|), moe.fails (text of the expected error; the function needs no results
// then), moe.after (names of functions without arguments that run before it).

#include "ir/reference/Interpreter.h"
#include "runtime/core/Error.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/SourceMgr.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace moec;

/// Rounding of the expected numbers' decimal text, and one of the result.
static double toleranceOf(DType type) {
  switch (type) {
  case DType::F64:
    return 1e-14;
  case DType::F32:
    return 2e-7;
  case DType::BF16:
    return 4e-3;
  default:
    return 0;
  }
}

/// Empty, or how two tensors differ.
static std::string difference(const Tensor& computed, const Tensor& expected, std::optional<double> tolerance) {
  if (computed.dtype() != expected.dtype() || computed.shape() != expected.shape())
    return fmt::format("computed {}, expected {}", describe(computed), describe(expected));
  std::vector<double> a = computed.toDoubles(), b = expected.toDoubles();
  if (!isFloat(expected.dtype())) { // doubles would not tell large integers apart
    if (computed.bytes() == 0 || std::memcmp(computed.data(), expected.data(), expected.bytes()) == 0)
      return "";
    return fmt::format("computed [{}], expected [{}]", fmt::join(a, ", "), fmt::join(b, ", "));
  }
  double scale = 0;
  for (double value : b)
    scale = std::isfinite(value) ? std::max(scale, std::abs(value)) : scale;
  double allowed = tolerance.value_or(toleranceOf(expected.dtype())) * scale;
  for (size_t i = 0; i < a.size(); ++i) {
    bool same = std::isnan(b[i]) ? std::isnan(a[i]) : a[i] == b[i] || std::abs(a[i] - b[i]) <= allowed;
    if (!same)
      return fmt::format("element {}: computed {}, expected {}", i, a[i], b[i]);
  }
  return "";
}

template <class Op> static void fill(ModuleOp module, reference::Call& call) {
  for (auto state : module.getOps<Op>()) {
    Tensor value(reference::dtypeOf(state.getType()), reference::shapeOf(state.getType(), {}));
    double number = state.getInit().getKind() == "ones" ? 1 : state.getInit().getA().getValueAsDouble();
    Tensor filled(DType::F64, value.shape());
    if (state.getInit().getKind() != "zeros")
      std::ranges::fill(filled.as<double>(), number);
    call.state[state.getSymName().str()] = filled.cast(value.dtype());
  }
}

static reference::Call makeCall(func::FuncOp function, ModuleOp module) {
  reference::Call call;
  if (auto bindings = function->getAttrOfType<DictionaryAttr>("moe.bindings"))
    for (NamedAttribute entry : bindings)
      call.bindings[entry.getName().str()] = cast<IntegerAttr>(entry.getValue()).getInt();
  if (auto seed = function->getAttrOfType<IntegerAttr>("moe.seed"))
    call.seed = static_cast<uint64_t>(seed.getInt());
  if (auto step = function->getAttrOfType<IntegerAttr>("moe.step"))
    call.step = static_cast<uint32_t>(step.getInt());
  fill<ir::ParameterOp>(module, call);
  fill<ir::StateOp>(module, call);
  return call;
}

/// Empty, or what is wrong.
static std::string check(func::FuncOp function, ModuleOp module) {
  auto fails = function->getAttrOfType<StringAttr>("moe.fails");
  auto tolerance = function->getAttrOfType<FloatAttr>("moe.tolerance");
  try {
    reference::Call call = makeCall(function, module);
    if (auto prepare = module.lookupSymbol<func::FuncOp>("prepare"))
      reference::evaluate(prepare, {}, call);
    if (auto after = function->getAttrOfType<ArrayAttr>("moe.after"))
      for (auto name : after.getAsRange<StringAttr>())
        reference::evaluate(module.lookupSymbol<func::FuncOp>(name), {}, call);
    std::vector<Tensor> results = reference::evaluate(function, {}, call);
    if (fails)
      return "no error, expected: " + fails.str();
    if (results.empty() || results.size() % 2 != 0)
      return "results do not come in pairs";
    for (size_t i = 0; i < results.size(); i += 2)
      if (std::string text = difference(results[i], results[i + 1], tolerance ? std::optional(tolerance.getValueAsDouble()) : std::nullopt); !text.empty())
        return fmt::format("result {}: {}", i, text);
  } catch (const Error& error) {
    if (!fails || !StringRef(error.what()).contains(fails.getValue()))
      return fmt::format("error: {}", error.what());
  }
  return "";
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: moec-evaluate FILE\n");
    return 2;
  }
  DialectRegistry registry;
  ir::registerDialects(registry);
  MLIRContext context(registry);
  llvm::SourceMgr sources;
  SourceMgrDiagnosticHandler diagnostics(sources, &context);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(argv[1], sources, &context);
  if (!module)
    return 1;
  int checks = 0, failures = 0;
  for (auto function : module->getOps<func::FuncOp>()) {
    if (!function.getName().starts_with("check_"))
      continue;
    std::string problem = check(function, *module);
    ++checks;
    failures += !problem.empty();
    fmt::print("{} {}{}{}\n", problem.empty() ? "PASS" : "FAIL", function.getName().str(), problem.empty() ? "" : ": ", problem);
  }
  if (checks == 0)
    fmt::print("FAIL {}: no function @check_*\n", argv[1]);
  return checks > 0 && failures == 0 ? 0 : 1;
}
