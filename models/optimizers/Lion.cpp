#include "models/optimizers/AdamStep.h"
#include "models/optimizers/Optimizers.h"

using mlir::Value;

namespace moec::models {

namespace {

void update(Update& update) {
  std::vector<double> betas = update.step().numbers("betas");
  Value parameter = update.decayed(), gradient = update.gradient(), mean = update.state("exp_avg");
  auto mix = [&](double stays) { return update.add(update.mul(mean, update.constant(stays)), update.mul(gradient, update.constant(1 - stays))); };
  update.write("exp_avg", mix(betas[1]));
  update.writeParameter(update.sub(parameter, update.mul(update.sign(mix(betas[0])), update.learningRate())));
}

} // namespace

const Kind& lionOptimizer() {
  static const Kind kind{
      .name = "lion",
      .family = Family::Optimizer,
      .doc = "Each parameter loses learning rate * sign of a mean of its gradients, so that all move by as much; of 0 the "
             "sign is 0. What the sign is of has the newest gradient by the first of the betas, the mean that stays by "
             "the "
             "second. It takes a learning rate of a third to a tenth of adamw's. States: p.exp_avg.",
      .source = "Chen et al. 2023 (arXiv 2302.06675); lion-pytorch 0.2.5 (Lion)",
      .parameters = withCommonParameters({
          {.name = "betas",
           .type = ParameterType::Numbers,
           .fallback = "[0.9, 0.99]",
           .least = 0,
           .most = 1,
           .doc = "How much of the mean is in what the sign is taken of, and how much of it stays: two numbers from 0 and "
                  "below 1."},
          weightDecayParameter(),
      }),
      .checkRule = checkBetas,
      .update = update,
  };
  return kind;
}

} // namespace moec::models
