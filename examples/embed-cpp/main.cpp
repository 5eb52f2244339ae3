// Runs a compiled image model from C++: the runtime alone, without compiler, LLVM or MLIR. Prints what `moec run --init 0` prints.
//   moec compile models/zoo/vit-moe.json -o vit-moe.moec
//   embed-cpp vit-moe.moec examples/photo.png [weights.safetensors]

#include <moec/moec.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: embed-cpp PROGRAM.moec IMAGE [WEIGHTS.safetensors]\n");
    return 2;
  }
  try {
    moec::Program program = moec::Program::load(argv[1]);
    moec::Session session(program, "cpu");
    if (argc > 3)
      session.load(std::filesystem::path(argv[3]));
    else
      session.init(0);

    moec::TensorMap inputs;
    for (const moec::InputInfo& input : session.plan().inputs)
      if (input.photo)
        inputs[input.name] = moec::readInput(input, argv[2]);
    for (const auto& [name, tensor] : session.run(inputs)) {
      std::printf("%s %s\n[0]", name.c_str(), moec::describe(tensor).c_str());
      for (double value : tensor.toDoubles())
        std::printf("  %.6g", value);
      std::printf("\n");
    }
    return 0;
  } catch (const moec::Error& error) {
    std::fprintf(stderr, "embed-cpp: error: %s\n", error.what());
    return moec::exitCode(error.fault());
  }
}
