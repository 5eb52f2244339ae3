// moec-nvrtc <folder>: compiles the CUDA text of the request in the folder and leaves the answer there. A process of its own, for NVRTC can crash on text
// that nobody has checked. codegen/cuda/NvrtcApart.cpp starts it; it is no command for users.

#include "codegen/cuda/NvrtcExchange.h"

#include <cstdio>
#include <exception>
#include <sys/resource.h>

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "moec-nvrtc: started by moec's compiler, with the folder of a request\n");
    return 2;
  }
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none); // a crash is reported; its memory interests nobody
  try {
    moec::codegen::cuda::answerRequest(arguments[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
