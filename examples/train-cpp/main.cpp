// Compiles an image model for training and trains it from C++, on noise with a bright stripe where the class says; prints how the loss falls.
//   train-cpp models/zoo/vit-moe.json [STEPS]

#include <moec/moec.h>

#include <cstdio>
#include <cstdlib>
#include <random>

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: train-cpp MODEL.json [STEPS]\n");
    return 2;
  }
  try {
    constexpr int64_t kBatch = 16, kClasses = 10, kSide = 32;
    const int steps = argc > 2 ? std::atoi(argv[2]) : 40;
    moec::Training training(moec::compile(argv[1], {.targets = {"cpu"}, .train = true}), "cpu");
    training.init(0);

    std::mt19937 random(1);
    std::normal_distribution<float> noise(0, 0.3f);
    for (int step = 1; step <= steps; ++step) {
      moec::Tensor images(moec::DType::F32, {kBatch, 3, kSide, kSide}), labels(moec::DType::I64, {kBatch});
      for (int64_t& label : labels.as<int64_t>())
        label = random() % kClasses;
      auto pixels = images.as<float>();
      for (size_t i = 0; i < pixels.size(); ++i) {
        int64_t row = i / kSide % kSide, label = labels.as<int64_t>()[i / (3 * kSide * kSide)];
        pixels[i] = noise(random) + (row / 3 == label ? 2 : 0);
      }
      moec::TensorMap results = training.step({{"image", images}, {"label", labels}}, {.learningRate = 3e-3, .seed = 1});
      if (step == 1 || step % 10 == 0)
        std::printf("step %d  loss %.4f  gradient %.3f\n", step, results.at("loss").toDoubles()[0], results.at("gradient_norm").toDoubles()[0]);
    }
    return 0;
  } catch (const moec::Error& error) {
    std::fprintf(stderr, "train-cpp: error: %s\n", error.what());
    return moec::exitCode(error.fault());
  }
}
