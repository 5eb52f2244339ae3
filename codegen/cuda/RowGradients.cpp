// RowText: gradients of what sees a whole row, and losses of scores against labels. The formulas are those of docs/SPEC.md.
#include "codegen/analysis/InPlace.h"
#include "codegen/cuda/RowText.h"

namespace moec::codegen::cuda {

namespace {

/// Whether the row may be written over, by threads that have not read all of it: then a block does one row.
bool writesOverScores(ir::KernelOp kernel) { return !inPlaceOf(kernel).empty(); }

DType computedIn(DType type) { return type == DType::F64 ? DType::F64 : DType::F32; }

} // namespace

/// With xhat = (x - mean) * scale and g = dy * weight: scale * (g - mean of g - xhat * mean of g * xhat); of rms_norm both means of differences are not there.
void RowText::printNormGrad(mlir::Operation* op, mlir::Value dy, mlir::Value x, mlir::Value weight, double eps) {
  DType type = dtypeOf(x);
  bool centred = mlir::isa<ir::LayerNormGradOp>(op);
  hold(x);
  hold(dy);
  std::string mean;
  if (centred) {
    std::string total = fold(x, "total", literal(type, 0), "Sum", [](std::string element) { return element; });
    mean = define(type, "mean", fmt::format("{} / {}", total, countOf(x)));
  }
  auto distance = [centred, mean](const std::string& element) { return centred ? fmt::format("({} - {})", element, mean) : element; };
  std::string squares = fold(x, "squares", literal(type, 0), "Sum", [&](const std::string& element) { return fmt::format("{0} * {0}", distance(element)); });
  std::string scale =
      define(type, "scale", fmt::format("{} / math::sqrt({} / {} + {})", literal(computedIn(type), 1), squares, countOf(x), literal(computedIn(type), eps)));
  auto gradient = [this, dy, weight](const Coordinates& at) {
    std::string element = texts_.element(dy, at);
    return weight ? fmt::format("{} * {}", element, texts_.element(weight, {at.back()})) : element;
  };
  std::string meanGradient;
  if (centred) {
    std::string sum = fold(x, "gradients", literal(type, 0), "Sum", [&](const std::string&) { return gradient(placeOf(x, "column")); });
    meanGradient = define(type, "meanGradient", fmt::format("{} / {}", sum, countOf(x)));
  }
  std::string products = fold(x, "products", literal(type, 0), "Sum", [&](const std::string& element) {
    return fmt::format("{} * ({} * {})", gradient(placeOf(x, "column")), distance(element), scale);
  });
  std::string meanProduct = define(type, "meanProduct", fmt::format("{} / {}", products, countOf(x)));
  bind(op->getResult(0), [=, this](const Coordinates& at) {
    std::string normal = fmt::format("{} * {}", distance(texts_.element(x, at)), scale), own = gradient(at);
    std::string text = centred ? fmt::format("({} - {} - {} * {}) * {}", own, meanGradient, normal, meanProduct, scale)
                               : fmt::format("({} - {} * {}) * {}", own, normal, meanProduct, scale);
    return define(type, "normGrad", rounded(type, text));
  });
}

void RowText::printSoftmaxGrad(ir::SoftmaxGradOp op) {
  mlir::Value y = op.getY(), dy = op.getDy();
  DType type = dtypeOf(y);
  hold(y);
  hold(dy);
  std::string sum = fold(y, "dot", literal(type, 0), "Sum",
                         [&](const std::string& element) { return fmt::format("{} * {}", element, texts_.element(dy, placeOf(dy, "column"))); });
  bind(op.getResult(), [=, this](const Coordinates& at) {
    std::string share = texts_.element(y, at), gradient = texts_.element(dy, at);
    return define(type, "softmaxGrad", rounded(type, fmt::format("{} * ({} - {})", share, gradient, sum)));
  });
}

RowText::RowTotal RowText::totalOf(mlir::Value x) {
  DType type = dtypeOf(x);
  hold(x);
  std::string most = fold(x, "most", literal(type, -std::numeric_limits<double>::infinity()), "Maximum", [](std::string element) { return element; });
  std::string finite = texts_.fresh("finite");
  out_.line("const bool {} = math::absolute({}) < math::infinity<{}>();", finite, most, registerType(type));
  std::string shift = define(type, "shift", fmt::format("{} ? {} : {}", finite, most, literal(type, 0)));
  std::string sum = fold(x, "sum", literal(type, 0), "Sum", [&](const std::string& element) { return fmt::format("math::exp({} - {})", element, shift); });
  return {define(type, "total", fmt::format("{} ? math::log({}) : {}", finite, sum, most)), shift};
}

void RowText::printLogSumExp(ir::LogSumExpOp op) {
  DType type = dtypeOf(op.getX());
  auto [total, shift] = totalOf(op.getX());
  std::string result = define(type, "logSumExp", rounded(type, fmt::format("{} + {}", total, shift)));
  bind(op.getResult(), [result](const Coordinates&) { return result; });
}

RowText::RowLabel RowText::labelOf(mlir::Value labels, mlir::Value scores, int64_t ignore) {
  std::string label = texts_.element(labels, placeOf(labels, "0")), ignored = texts_.fresh("ignored"), index = texts_.fresh("label");
  // A session refuses other labels; here they must not lead outside of the row.
  out_.line("const bool {} = {} == {}ll || {} < 0 || {} >= {};", ignored, label, ignore, label, label, k_.size(widthOf(scores)));
  out_.line("const long long {} = {} ? 0 : {};", index, ignored, label);
  return {index, ignored};
}

void RowText::printCrossEntropy(ir::CrossEntropyOp op) {
  mlir::Value x = op.getScores();
  DType type = dtypeOf(x), computed = computedIn(type);
  double smoothing = op.getSmoothing().convertToDouble();
  auto [index, ignored] = labelOf(op.getLabels(), op.getScores(), static_cast<int64_t>(op.getIgnore()));
  auto [total, shift] = totalOf(x);
  std::string chosen = texts_.element(x, placeOf(x, index));
  std::string loss = fmt::format("{} - ({} - {})", total, chosen, shift);
  if (smoothing != 0) {
    auto less = [shift = shift](const std::string& element) { return fmt::format("({} - {})", element, shift); };
    std::string scores = fold(x, "scores", literal(type, 0), "Sum", less);
    loss = fmt::format("{} * ({}) + {} * ({} - {} / {})", literal(computed, 1 - smoothing), loss, literal(computed, smoothing), total, scores, countOf(x));
  }
  std::string result = define(type, "loss", fmt::format("{} ? {} : {}", ignored, literal(computed, 0), rounded(type, loss)));
  if (writesOverScores(k_.kernel()))
    out_.line("__syncthreads(); // all threads have read the label's score");
  bind(op.getResult(), [result](const Coordinates&) { return result; });
}

/// Whether any element is in the label's way: greater, or equal and before it. Nothing is greater than a NaN, which is no top.
void RowText::printIsTop(ir::IsTopOp op) {
  mlir::Value x = op.getScores();
  DType type = dtypeOf(x), computed = computedIn(type);
  auto [index, ignored] = labelOf(op.getLabels(), x, static_cast<int64_t>(op.getIgnore()));
  hold(x);
  std::string own = define(type, "own", texts_.element(x, placeOf(x, index)));
  std::string beaten = fold(x, "beaten", literal(computed, 0), "Maximum", [&, index = index](const std::string& element) {
    return fmt::format("{0} > {1} || ({0} == {1} && column < {2}) ? {3} : {4}", element, own, index, literal(computed, 1), literal(computed, 0));
  });
  std::string result = define(DType::Bool, "isTop", fmt::format("!{} && {} == {} && {} == 0", ignored, own, own, beaten));
  if (writesOverScores(k_.kernel()))
    out_.line("__syncthreads(); // all threads have read the label's score");
  bind(op.getResult(), [result](const Coordinates&) { return result; });
}

void RowText::printCrossEntropyGrad(ir::CrossEntropyGradOp op) {
  mlir::Value x = op.getScores();
  DType type = dtypeOf(x), computed = computedIn(type);
  double smoothing = op.getSmoothing().convertToDouble();
  auto [index, ignored] = labelOf(op.getLabels(), op.getScores(), static_cast<int64_t>(op.getIgnore()));
  std::string gradient = define(type, "gradient", texts_.element(op.getDy(), placeOf(op.getDy(), "0")));
  std::string evenly = smoothing == 0 ? std::string() : define(type, "evenly", fmt::format("{} / {}", literal(computed, smoothing), countOf(x)));
  ElementText::Source share = sharesOf(x);
  bind(op.getResult(), [=, this, index = index, ignored = ignored](const Coordinates& at) {
    std::string target = fmt::format("({} == {} ? {} : {})", at.back(), index, literal(computed, 1 - smoothing), literal(computed, 0));
    if (!evenly.empty())
      target = fmt::format("({} + {})", evenly, target);
    std::string text = rounded(type, fmt::format("{} * ({} - {})", gradient, share(at), target));
    return define(type, "scoreGrad", fmt::format("{} ? {} : {}", ignored, literal(computed, 0), text));
  });
}

/// An element is the sum over the choices of it.
void RowText::printSelectGrad(ir::SelectGradOp op) {
  mlir::Value dy = op.getDy(), indices = op.getIndices();
  DType type = dtypeOf(dy);
  int64_t choices = *ir::sizesOf(dy).back().constant();
  bind(op.getResult(), [=, this](const Coordinates& at) {
    std::string sum = texts_.fresh("sum"), choice = texts_.fresh("choice"), column = at.back();
    out_.line("{} {} = 0;", registerType(type), sum);
    if (choices > 8)
      out_.add("#pragma unroll 1");
    out_.open("for (int {0} = 0; {0} < {1}; ++{0})", choice, choices);
    std::string index = texts_.element(indices, placeOf(indices, choice)), gradient = texts_.element(dy, placeOf(dy, choice));
    out_.line("{0} += {1} == {2} ? {3} : {4};", sum, index, column, gradient, literal(computedIn(type), 0));
    out_.close();
    texts_.forget(); // what was printed in the loop
    return type == DType::BF16 ? define(type, "selectGrad", rounded(type, sum)) : sum;
  });
}

} // namespace moec::codegen::cuda
