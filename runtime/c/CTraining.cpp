// Training in the C interface.

#include "runtime/Compile.h"
#include "runtime/Training.h"
#include "runtime/c/Handles.h"

using namespace moec::c;

struct moec_training {
  moec::Training training;
};

moec_status moec_compile_for_training(const char* model, const char* targets, moec_program** program) {
  return guarded([&] {
    need("model", model, "program", program);
    *program = new moec_program{moec::compile(model, {.targets = targetsOf(targets), .train = true})};
  });
}

moec_status moec_training_create(const moec_program* program, const char* device, int threads, moec_training** training) {
  return guarded([&] {
    need("program", program, "device", device, "training", training);
    if (threads < 0)
      throw moec::Error(moec::Fault::Usage, fmt::format("threads is {}", threads));
    *training = new moec_training{moec::Training(program->program, device, {.threads = threads})};
  });
}

moec_status moec_training_load(moec_training* training, const char* safetensors) {
  return guarded([&] {
    need("training", training, "safetensors", safetensors);
    training->training.load(std::filesystem::path(safetensors));
  });
}

moec_status moec_training_init(moec_training* training, uint64_t seed) {
  return guarded([&] {
    need("training", training);
    training->training.init(seed);
  });
}

void moec_training_free(moec_training* training) { delete training; }

size_t moec_training_result_count(const moec_training* training) { return training ? training->training.plan().outputs.size() : 0; }

const char* moec_training_result_name(const moec_training* training, size_t index) {
  return index < moec_training_result_count(training) ? training->training.plan().outputs[index].name.c_str() : nullptr;
}

moec_status moec_training_step(moec_training* training, const char* const* names, const moec_tensor* const* inputs, size_t count, double learning_rate,
                               uint64_t seed, moec_tensor** results) {
  return guarded([&] {
    need("training", training, "results", results);
    moec::TensorMap made = training->training.step(mapOf(names, inputs, count), {.learningRate = learning_rate, .seed = seed});
    giveAll(made, training->training.plan().outputs, results);
  });
}

moec_status moec_training_weight(const moec_training* training, const char* name, moec_tensor** weight) {
  return guarded([&] {
    need("training", training, "name", name, "weight", weight);
    *weight = new moec_tensor{training->training.weight(name)};
  });
}
