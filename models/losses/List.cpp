#include "models/Kind.h"

namespace moec::models {

const std::vector<const Kind*>& lossKinds() {
  static const Kind crossEntropy{
      .name = "cross_entropy",
      .family = Family::Loss,
      .doc = "The mean over rows of -log softmax(scores)[label].",
      .source = "PyTorch 2.5 (torch.nn.CrossEntropyLoss)",
      .parameters =
          {
              {.name = "scores", .type = ParameterType::ValueName, .required = true, .doc = "Logits (.., classes)."},
              {.name = "labels", .type = ParameterType::ValueName, .required = true, .doc = "Integers (..)."},
          },
  };
  static const Kind mse{
      .name = "mse",
      .family = Family::Loss,
      .doc = "The mean of squared differences.",
      .source = "PyTorch 2.5 (torch.nn.MSELoss)",
      .parameters =
          {
              {.name = "prediction", .type = ParameterType::ValueName, .required = true, .doc = "What the model says."},
              {.name = "target",
               .type = ParameterType::ValueName,
               .required = true,
               .doc = "What it should say, of the same shape."},
          },
  };
  static const std::vector<const Kind*> kinds{&crossEntropy, &mse};
  return kinds;
}

} // namespace moec::models
