#pragma once
// Around a fault of LLVM 22 in machine code for AVX-512. Knows LLVM's module only.

namespace llvm {
class Module;
}

namespace moec::codegen::cpu {

/// Masked stores whose mask is a constant with one lane become stores of that lane. Left to LLVM, where the vector is a truncation (bf16 out of 32 bits) the
/// lane is stored with the bits of the type before, over what lies behind it.
void storeSingleLanes(llvm::Module& module);

} // namespace moec::codegen::cpu
