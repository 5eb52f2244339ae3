// Writes what a training of moec's begins with and reads, so that another framework can do the same: its initial weights, the records of its steps in their
// order, the learning rates, and the records held out.
//
//   bench_training_dump PROGRAM.moec TRAINING_FOLDER FILE.safetensors

#include "runtime/Training.h"
#include "runtime/core/Error.h"
#include "runtime/data/OpenData.h"
#include "runtime/data/Order.h"
#include "runtime/io/SafeTensors.h"
#include "runtime/train/Config.h"

#include <fmt/format.h>

#include <algorithm>

namespace moec {
namespace {

/// The records of these numbers, a tensor (records, ..) for each field.
void add(const data::Dataset& dataset, const std::vector<int64_t>& records, const std::string& group, TensorMap& to) {
  std::vector<Tensor> tensors;
  for (const data::Field& field : dataset.fields()) {
    Shape shape{static_cast<int64_t>(records.size())};
    shape.insert(shape.end(), field.shape.begin(), field.shape.end());
    tensors.emplace_back(field.dtype, shape);
  }
  for (size_t i = 0; i < records.size(); ++i) {
    std::vector<std::byte*> places;
    for (const Tensor& tensor : tensors)
      places.push_back(static_cast<std::byte*>(tensor.data()) + i * tensor.bytes() / records.size());
    dataset.read(records[i], places);
  }
  for (size_t f = 0; f < tensors.size(); ++f)
    to.emplace(group + "/" + dataset.fields()[f].name, std::move(tensors[f]));
}

Tensor integers(const std::vector<int64_t>& values) {
  return Tensor::of(values, {static_cast<int64_t>(values.size())});
}

void dump(const std::string& program, const std::filesystem::path& folder, const std::string& file) {
  train::Config config;
  train::readConfig(folder / "train.json", config);
  Training training(Program::load(program), "cpu");
  training.init(config.seed);
  data::OpenedData data = data::openData(config.data, training.plan().inputs, training.plan().rules);
  if (config.accumulate != 1 || config.steps < 1)
    throw Error(Fault::Usage, "only trainings of a number of steps, without accumulation");

  std::vector<int64_t> used, order, sizes, place(static_cast<size_t>(data.train->size()), -1);
  for (int64_t epoch = 0; static_cast<int64_t>(sizes.size()) < config.steps; ++epoch) {
    std::vector<int64_t> numbers = data::orderOf(data.train->size(), config.seed, epoch, true);
    for (size_t begin = 0; begin < numbers.size() && static_cast<int64_t>(sizes.size()) < config.steps; begin += static_cast<size_t>(config.batch)) {
      size_t end = std::min(numbers.size(), begin + static_cast<size_t>(config.batch));
      sizes.push_back(static_cast<int64_t>(end - begin));
      for (size_t i = begin; i < end; ++i) {
        int64_t& at = place[static_cast<size_t>(numbers[i])];
        if (at < 0) {
          at = static_cast<int64_t>(used.size());
          used.push_back(numbers[i]);
        }
        order.push_back(at);
      }
    }
  }
  TensorMap tensors;
  add(*data.train, used, "train", tensors);
  std::vector<int64_t> heldOut(static_cast<size_t>(data.validation->size()));
  for (size_t i = 0; i < heldOut.size(); ++i)
    heldOut[i] = static_cast<int64_t>(i);
  add(*data.validation, heldOut, "validation", tensors);
  tensors.emplace("order", integers(order));
  tensors.emplace("sizes", integers(sizes));
  Tensor rates(DType::F64, {config.steps});
  for (int64_t step = 1; step <= config.steps; ++step)
    static_cast<double*>(rates.data())[step - 1] = config.schedule.at(step);
  tensors.emplace("learning_rates", std::move(rates));
  for (auto& [name, weight] : training.weights())
    tensors.emplace("weights/" + name, weight);
  writeSafeTensors(file, tensors);
}

} // namespace
} // namespace moec

int main(int count, char** words) {
  if (count != 4) {
    fmt::print(stderr, "usage: bench_training_dump PROGRAM.moec TRAINING_FOLDER FILE.safetensors\n");
    return 2;
  }
  try {
    moec::dump(words[1], words[2], words[3]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
