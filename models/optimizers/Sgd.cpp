#include "models/Arguments.h"
#include "models/optimizers/Optimizers.h"
#include "models/optimizers/Update.h"

namespace moec::models {

namespace {

void update(Update& update) {
  mlir::Value parameter = update.parameter(), gradient = update.gradient();
  if (double decay = update.decay(); decay != 0)
    gradient = update.add(gradient, update.mul(parameter, update.constant(decay)));
  if (double momentum = update.step().numberOf("momentum"); momentum != 0) {
    double dampening = update.step().numberOf("dampening");
    mlir::Value enters = gradient;
    if (dampening != 0) // not in the first step, where the original's buffer begins as the gradient
      enters = update.mul(gradient, update.scalar("enters", [&] { return update.firstOr(1, 1 - dampening); }));
    mlir::Value buffer = update.add(update.mul(update.state("momentum"), update.constant(momentum)), enters);
    update.write("momentum", buffer);
    bool looksAhead = update.step().flag("nesterov");
    gradient = looksAhead ? update.add(gradient, update.mul(buffer, update.constant(momentum))) : buffer;
  }
  update.writeParameter(update.sub(parameter, update.mul(gradient, update.learningRate())));
}

bool check(const Arguments& arguments, Diagnostics& diagnostics) {
  if (!arguments.flag("nesterov") || (arguments.number("momentum") > 0 && arguments.number("dampening") == 0))
    return true;
  diagnostics.error(arguments.at("nesterov"), "\"nesterov\" needs a \"momentum\" over 0, and no \"dampening\"");
  return false;
}

} // namespace

const Kind& sgdOptimizer() {
  static const Kind kind{
      .name = "sgd",
      .family = Family::Optimizer,
      .doc = "Each parameter loses learning rate * gradient; with a momentum m, learning rate * buffer, where buffer = "
             "m * buffer + (1 - dampening) * gradient, and begins as the first gradient. States: p.momentum.",
      .source = "PyTorch 2.15 (torch.optim.SGD)",
      .parameters = withCommonParameters({
          {.name = "momentum", .type = ParameterType::Number, .fallback = "0", .least = 0, .most = 1, .doc = "How much of the buffer stays. 0: there is none."},
          {.name = "dampening",
           .type = ParameterType::Number,
           .fallback = "0",
           .least = 0,
           .most = 1,
           .doc = "How much of a gradient does not enter the buffer."},
          {.name = "nesterov", .type = ParameterType::Bool, .fallback = "false", .doc = "Does gradient + m * buffer stand in the buffer's place?"},
          weightDecayParameter("0", "How much of the parameter is added to its gradient."),
      }),
      .checkRule = check,
      .update = update,
  };
  return kind;
}

} // namespace moec::models
