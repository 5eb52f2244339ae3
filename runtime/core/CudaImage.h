#pragma once
// A CUDA kernel's image in a program: the text it was made from, and the PTX and machine code of one compilation of it. Knows no compiler and no driver.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moec {

struct CudaImage {
  std::string fileName; // as line information names the text: "gate_4f...e1.cu", or the path of the user's file
  std::string source;   // CUDA C++
  std::string ptx;
  std::vector<uint8_t> cubin; // for the program's target

  /// A container (Container.h) of the sections "file", "cuda", "ptx" and "cubin".
  std::vector<uint8_t> bytes() const;
  /// Error(Data) that begins with `where` for what is damaged or lacks a section.
  static CudaImage parse(std::span<const uint8_t> bytes, const std::string& where);
};

} // namespace moec
