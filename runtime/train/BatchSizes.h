#pragma once
// Whether a model takes the batches that an epoch has, the smaller last one among them: known before the first step.

#include "runtime/core/Tensor.h"
#include "runtime/data/Dataset.h"

#include <functional>
#include <string>
#include <vector>

namespace moec::train {

struct BatchUse {
  std::string what; // "training", "evaluation": for messages
  data::DatasetPtr dataset;
  bool dropLast = false;
  std::function<void(const TensorMap&)> check; // throws Error(Usage) for inputs that the model does not take
};

/// Error(Usage) that says which batch is not possible and why, and names a size near `batch` with which all are.
void checkBatchSizes(const std::vector<BatchUse>& uses, int64_t batch);

} // namespace moec::train
