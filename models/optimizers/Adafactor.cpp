#include "models/optimizers/Optimizers.h"
#include "models/optimizers/Update.h"

#include <cmath>
#include <limits>

using mlir::Value;

namespace moec::models {

namespace {

/// What is added to the squares' root; without a number, the distance from 1 to the next number of the compute dtype.
double firstEpsilon(Update& update) {
  if (update.step().rule.get("eps1"))
    return update.step().numberOf("eps1");
  return update.isWide() ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
}

/// The means of squares along an axis, as a state that forgets: of the gradient's shape, but 1 along the axis.
Value meansAlong(Update& update, llvm::StringRef name, int64_t axis, Value enters) {
  Value now = update.meanOfSquares(update.gradient(), axis);
  Value mean = update.state(name, mlir::cast<mlir::RankedTensorType>(now.getType()).getShape());
  mean = update.add(mean, update.mul(enters, update.sub(now, mean)));
  update.write(name, mean);
  return mean;
}

/// How large the squares of the gradients have been, each element from its row and its column of the last two
/// dimensions.
Value squaresOf(Update& update, Value enters) {
  int64_t rank = update.rank();
  if (rank < 2) {
    Value squares = update.state("variance"), gradient = update.gradient();
    squares = update.add(squares, update.mul(enters, update.sub(update.mul(gradient, gradient), squares)));
    update.write("variance", squares);
    return squares;
  }
  Value rows = meansAlong(update, "row_var", rank - 1, enters);
  Value columns = meansAlong(update, "col_var", rank - 2, enters);
  Value mean = update.max(update.meanAlong(rows, rank - 2), update.constant(firstEpsilon(update)));
  return update.div(update.mul(rows, columns), mean);
}

void update(Update& update) {
  // Numbers of the step, f64.
  Value enters = update.scalar("enters", [&] { return update.stepToThe(update.step().numberOf("beta2_decay")); });
  Value rate = update.wideScalar("bounded_rate", [&] { return update.min(update.wideLearningRate(), update.stepToThe(-0.5)); });
  auto count = static_cast<double>(update.elements());
  Value size = update.sqrt(update.div(update.sumOfSquares(update.parameter()), update.wideConstant(count)));
  Value alpha = update.mul(update.max(update.wideConstant(update.step().numberOf("eps2")), size), rate);

  double epsilon = firstEpsilon(update);
  Value squares = update.max(squaresOf(update, enters), update.constant(epsilon * epsilon));
  Value change = update.mul(update.div(update.constant(1), update.sqrt(squares)), update.gradient());
  Value length = update.div(update.sqrt(update.sumOfSquares(change)), update.wideConstant(std::sqrt(count) * update.step().numberOf("d")));
  Value factor = update.narrow(update.div(alpha, update.max(update.wideConstant(1), length)));
  update.writeParameter(update.sub(update.decayed(), update.mul(change, factor)));
}

} // namespace

const Kind& adafactorOptimizer() {
  static const Kind kind{
      .name = "adafactor",
      .family = Family::Optimizer,
      .doc = "As adam without the mean of gradients, but the means of squares are kept by rows and by columns alone, "
             "so that "
             "the states of a matrix (n, m) are n + m numbers: an element's is row * column / mean of the rows. A step "
             "is as "
             "large as the parameter's root mean square, times the learning rate, and no larger than 1 / root of the "
             "step's number. Several matrices in one parameter, as of experts, have rows and columns each. "
             "States: p.row_var and p.col_var; of a vector p.variance.",
      .source = "Shazeer and Stern 2018 (arXiv 1804.04235); PyTorch 2.15 (torch.optim.Adafactor)",
      .parameters = withCommonParameters({
          {.name = "beta2_decay",
           .type = ParameterType::Number,
           .fallback = "-0.8",
           .least = -16,
           .most = 0,
           .doc = "step^this is how much of a gradient's squares enters the means in a step."},
          {.name = "eps1",
           .type = ParameterType::Number,
           .least = 0,
           .most = 1,
           .doc = "What the root of the squares, and the mean of the rows, are at least. Default: the distance from 1 to "
                  "the next number, 1.2e-7 of f32 and bf16, 2.2e-16 of f64."},
          {.name = "eps2",
           .type = ParameterType::Number,
           .fallback = "0.001",
           .least = 0,
           .most = 1e6,
           .doc = "What the parameter's root mean square counts at least."},
          {.name = "d",
           .type = ParameterType::Number,
           .fallback = "1",
           .least = 1,
           .most = 1e6,
           .doc = "A gradient divided by its roots is made shorter where its own root mean square is more than this."},
          weightDecayParameter(),
      }),
      .update = update,
  };
  return kind;
}

} // namespace moec::models
