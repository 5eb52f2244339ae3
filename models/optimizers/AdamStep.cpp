#include "models/optimizers/AdamStep.h"

#include "models/optimizers/Optimizers.h"

#include <fmt/format.h>

using mlir::Value;

namespace moec::models {

std::vector<Parameter> adamParameters(Parameter weightDecay) {
  return withCommonParameters({
      {.name = "betas",
       .type = ParameterType::Numbers,
       .fallback = "[0.9, 0.999]",
       .least = 0,
       .most = 1,
       .doc = "How much of the mean of gradients stays, and of that of their squares: two numbers from 0 and below 1."},
      {.name = "eps", .type = ParameterType::Number, .fallback = "1e-8", .least = 0, .most = 1, .doc = "Added to the root by which the mean is divided."},
      std::move(weightDecay),
  });
}

bool checkBetas(const Arguments& arguments, Diagnostics& diagnostics) {
  const Json& betas = arguments.get("betas");
  if (betas.list().size() != 2) {
    diagnostics.error(betas.position(), fmt::format("\"betas\" are two numbers, not {}", betas.list().size()));
    return false;
  }
  for (const Json& beta : betas.list())
    if (beta.number() >= 1) {
      diagnostics.error(beta.position(), "\"betas\" are below 1: with 1 a mean never changes");
      return false;
    }
  return true;
}

void adamStep(Update& update, Value parameter, Value gradient) {
  std::vector<double> betas = update.step().numbers("betas");
  Value mean = update.state("exp_avg"), squares = update.state("exp_avg_sq");
  mean = update.lerp(mean, gradient, 1 - betas[0]);
  Value part = update.mul(update.mul(update.constant(1 - betas[1]), gradient), gradient);
  squares = update.add(update.mul(squares, update.constant(betas[1])), part);
  update.write("exp_avg", mean);
  update.write("exp_avg_sq", squares);

  // The corrections of both means in numbers of the step, as at the end of section 2 of the paper: an element takes one root and one division.
  auto correction = [&] { return update.sqrt(update.biasCorrection(betas[1])); };
  Value size = update.scalar("step_size", [&] { return update.div(update.mul(update.wideLearningRate(), correction()), update.biasCorrection(betas[0])); });
  Value eps = update.scalar("corrected_eps", [&] { return update.mul(update.wideConstant(update.step().numberOf("eps")), correction()); });
  Value root = update.add(update.sqrt(squares), eps);
  update.writeParameter(update.sub(parameter, update.div(update.mul(size, mean), root)));
}

} // namespace moec::models
