#include "tests/codegen/KernelCheck.h"

#include "ir/reference/Interpreter.h"
#include "tests/codegen/Tolerance.h"

#include "mlir/Parser/Parser.h"

#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace moec::testing {

ParsedKernel parseKernel(const std::string& kind, const std::string& arguments, const std::string& results, const std::string& body) {
  // "%x: tensor<..>, %y: tensor<..>": types follow the colons; commas inside < > do not part arguments.
  std::vector<std::string> types;
  std::string outer, operands;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= arguments.size(); ++i) {
    char c = i < arguments.size() ? arguments[i] : ',';
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    if (c != ',' || depth != 0 || i == start)
      continue;
    std::string argument = arguments.substr(start, i - start);
    types.push_back(argument.substr(argument.find(':') + 1));
    std::string name = fmt::format("%in{}", types.size());
    outer += (outer.empty() ? "" : ", ") + name + ":" + types.back();
    operands += (operands.empty() ? "" : ", ") + name;
    start = i + 1;
  }
  std::string list;
  for (const std::string& type : types)
    list += (list.empty() ? "" : ", ") + type;
  int count = 1;
  depth = 0;
  for (char c : results) {
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    count += c == ',' && depth == 0;
  }
  std::string text = fmt::format(R"(func.func @forward({}) {{
  %out:{} = moe.kernel "{}" "test" ({}) : ({}) -> ({}) {{
  ^bb0({}):
    {}
  }}
  return
}})",
                                 outer, count, kind, operands, list, results, arguments, body);
  ParsedKernel result;
  result.context = makeContext();
  result.module = mlir::parseSourceString<mlir::ModuleOp>(text, result.context.get());
  if (!result.module)
    throw std::runtime_error("the kernel does not parse:\n" + text);
  result.module->walk([&](ir::KernelOp op) { result.op = op; });
  return result;
}

static Tensor randomInput(mlir::Type type, const CheckOptions& options, uint32_t seed) {
  Shape shape = reference::shapeOf(type, options.bindings);
  DType dtype = reference::dtypeOf(type);
  Tensor numbers = randomTensor(DType::F64, shape, seed);
  for (double& number : numbers.as<double>())
    number = options.low + (options.high - options.low) * (number + 1) / 2;
  return numbers.cast(dtype);
}

std::vector<Tensor> inputsFor(ir::KernelOp kernel, const CheckOptions& options) {
  std::vector<Tensor> inputs = options.inputs;
  for (mlir::Type type : llvm::drop_begin(kernel.getInputs().getTypes(), inputs.size()))
    inputs.push_back(randomInput(type, options, 17 + inputs.size()));
  return inputs;
}

std::string mismatch(const Tensor& got, const Tensor& want, const CheckOptions& options) {
  std::vector<double> a = got.cast(DType::F64).toDoubles(), b = want.cast(DType::F64).toDoubles();
  double largest = options.leastScale;
  for (double value : b)
    if (std::isfinite(value))
      largest = std::max(largest, std::abs(value));
  double allowed = options.exact || !isFloat(got.dtype()) ? 0 : tolerance(got.dtype(), options.terms) * largest;
  for (size_t i = 0; i < a.size(); ++i) {
    bool same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])) || std::abs(a[i] - b[i]) <= allowed;
    if (!same)
      return fmt::format("element {} of {}: got {}, the reference has {}", i, a.size(), a[i], b[i]);
  }
  return {};
}

void compare(const Tensor& got, const Tensor& want, const CheckOptions& options, size_t result) {
  ASSERT_EQ(got.shape(), want.shape());
  ASSERT_EQ(got.dtype(), want.dtype());
  std::string difference = mismatch(got, want, options);
  ASSERT_TRUE(difference.empty()) << "result " << result << ", " << difference;
}

void check(const ParsedKernel& kernel, const CheckOptions& options) {
  ir::KernelOp op = kernel.op;
  std::vector<Tensor> inputs = inputsFor(op, options);
  reference::Call call;
  call.bindings = options.bindings;
  call.seed = kCheckSeed;
  call.step = kCheckStep;
  std::vector<Tensor> wants = reference::evaluate(op, inputs, call);

  if (options.block) {
    mlir::Builder builder(op.getContext());
    op.setScheduleAttr(builder.getDictionaryAttr(builder.getNamedAttr("block", builder.getI64IntegerAttr(options.block))));
  }
  LoadedKernel loaded(op, options.target);
  LoadedKernel::Call launch;
  launch.bindings = options.bindings;
  launch.seed = call.seed;
  launch.step = call.step;
  std::vector<Tensor> gots = loaded.run(inputs, launch);
  launch.threads = 3;
  std::vector<Tensor> others = loaded.run(inputs, launch);
  ASSERT_EQ(gots.size(), wants.size());
  for (size_t i = 0; i < gots.size(); ++i) {
    compare(gots[i], wants[i], options, i);
    EXPECT_EQ(std::memcmp(gots[i].data(), others[i].data(), gots[i].bytes()), 0) << "result " << i << ": three threads give other bits than one";
  }
}

} // namespace moec::testing
