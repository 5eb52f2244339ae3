#pragma once
// An emitter's list of the kinds of kernels that it writes: who builds the code of each, and who chooses its schedule. Knows no target.

#include "ir/dialect/Moe.h"

#include <span>
#include <string>
#include <string_view>

namespace moec::codegen {

/// What is known of the bits of a row that a kernel computes. `Own`: a function of what the row depends on by the ops' meaning, whatever the number of the
/// other rows and where the row stands among them. tests/e2e/InvarianceTest.cpp holds kernels to it.
enum class RowBits { Unproven, Own };

/// `Writer` takes the code: machine code's builder, or text's.
template <class Writer, class Target> struct KernelKind {
  std::string_view name;
  mlir::LogicalResult (*build)(Writer&, ir::KernelOp);
  mlir::DictionaryAttr (*schedule)(ir::KernelOp, const Target&);
  RowBits rows = RowBits::Unproven;
};

/// Null with a diagnostic that lists the kinds, for one that the emitter of `family` ("CPU") does not write.
template <class Writer, class Target, size_t count>
const KernelKind<Writer, Target>* findKind(const KernelKind<Writer, Target> (&kinds)[count], ir::KernelOp kernel, const char* family) {
  std::string known;
  for (const auto& kind : kinds) {
    if (std::string_view(kernel.getKind()) == kind.name)
      return &kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  kernel.emitError() << "internal: no " << family << " builder for kernels of kind \"" << kernel.getKind() << "\"; known: " << known;
  return nullptr;
}

} // namespace moec::codegen
