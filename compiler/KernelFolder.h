#pragma once
// The folder of CompileOptions::kernels: writes the kernels' CUDA texts there, and holds the names of its files against the program's kernels. What the
// texts say is the emitter's business.

#include "compiler/Compilation.h"

namespace moec::compiler {

class KernelFolder {
public:
  explicit KernelFolder(std::filesystem::path path) : path_(std::move(path)) {}

  /// The module's kernels for the emitter's target are the program's too. Needs schedules: names come from them. A diagnostic when a text is wanted and
  /// cannot be printed.
  mlir::LogicalResult add(mlir::ModuleOp module, codegen::KernelEmitter& emitter, bool withTexts);
  /// Error(Data) that names a .cu file which is no kernel's, and the names that there are.
  void checkNames() const;
  /// Writes the text of each kernel that was added with one and says so, a line each. A file that differs is the user's: Error(Data) that names it, and
  /// nothing is written.
  std::string write() const;

private:
  struct Kernel {
    std::string target;
    std::vector<std::string> labels; // of its launches
    std::string text;
  };
  std::filesystem::path fileOf(const std::string& symbol) const { return path_ / (symbol + ".cu"); }

  std::filesystem::path path_;
  std::map<std::string, Kernel> kernels_; // by symbol, which holds a digest of the target
};

} // namespace moec::compiler
