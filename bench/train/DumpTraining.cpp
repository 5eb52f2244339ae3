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
#include "runtime/train/OutFolder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace moec {
namespace {

/// The records of these numbers: GROUP/FIELD, a tensor (records, ..) for each field; of those that all records share, shared/FIELD.
void add(const data::Dataset& dataset, const std::vector<int64_t>& records, const std::string& group, TensorMap& to) {
  std::vector<Tensor> tensors;
  std::vector<size_t> strides;
  for (const data::Field& field : dataset.fields()) {
    tensors.emplace_back(field.dtype, data::batchShape(field, static_cast<int64_t>(records.size())));
    strides.push_back(field.shared ? 0 : tensors.back().bytes() / records.size());
  }
  for (size_t i = 0; i < records.size(); ++i) {
    std::vector<std::byte*> places;
    for (size_t f = 0; f < tensors.size(); ++f)
      places.push_back(static_cast<std::byte*>(tensors[f].data()) + i * strides[f]);
    dataset.read(records[i], places);
  }
  for (size_t f = 0; f < tensors.size(); ++f)
    to.insert_or_assign((dataset.fields()[f].shared ? "shared" : group) + "/" + dataset.fields()[f].name, std::move(tensors[f]));
}

Tensor integers(const std::vector<int64_t>& values) { return Tensor::of(values, {static_cast<int64_t>(values.size())}); }

/// What the steps of a training read: each record once, and for every step how many follow, by their places among these.
struct Reading {
  std::vector<int64_t> used, order, sizes;

  Reading(int64_t records, const train::Config& config) {
    std::vector<int64_t> place(static_cast<size_t>(records), -1);
    auto steps = static_cast<size_t>(config.steps), batch = static_cast<size_t>(config.batch);
    for (int64_t epoch = 0; sizes.size() < steps; ++epoch) {
      std::vector<int64_t> numbers = data::orderOf(records, config.seed, epoch, true);
      for (size_t begin = 0; begin < numbers.size() && sizes.size() < steps; begin += batch) {
        size_t end = std::min(numbers.size(), begin + batch);
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
  }
};

void dump(const std::string& program, const std::filesystem::path& folder, const std::string& file) {
  train::Config config = train::readOutFolder(folder);
  if (config.accumulate != 1 || config.steps < 1 || config.dropLast || !config.weights.empty())
    throw Error(Fault::Usage, folder.string() + ": only trainings of a number of steps, without \"accumulate\", \"drop_last\" and \"weights\"");
  Training training(Program::load(program), config.device);
  training.init(config.seed);
  config.data.seed = config.seed;
  data::OpenedData data = data::openData(config.data, training.plan().inputs, training.plan().rules);
  if (!data.validation)
    throw Error(Fault::Usage, folder.string() + ": nothing is held out");

  Reading reading(data.train->size(), config);
  TensorMap tensors;
  add(*data.train, reading.used, "train", tensors);
  std::vector<int64_t> heldOut(static_cast<size_t>(data.validation->size()));
  std::iota(heldOut.begin(), heldOut.end(), int64_t{0});
  add(*data.validation, heldOut, "validation", tensors);
  tensors.emplace("order", integers(reading.order));
  tensors.emplace("sizes", integers(reading.sizes));
  config.schedule.total = config.steps;
  Tensor rates(DType::F64, {config.steps});
  for (int64_t step = 1; step <= config.steps; ++step)
    rates.as<double>()[static_cast<size_t>(step - 1)] = config.schedule.at(step);
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
