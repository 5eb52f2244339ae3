#pragma once
// Writes the CUDA text of one kernel: skeletons it uses, its own declarations, one __global__ function per stage. Knows the launch ABI
// (runtime/core/KernelAbi.h); knows no op of the dialect but moe.kernel. Text only: compiles nothing.

#include "codegen/KernelEmitter.h"
#include "codegen/analysis/InPlace.h"
#include "runtime/core/CudaTarget.h"

#include <fmt/format.h>

#include <set>

namespace moec::codegen::cuda {

/// C++ text, line by line, indented by its blocks.
class Lines {
public:
  template <class... Args> void line(fmt::format_string<Args...> format, Args&&... args) { add(fmt::format(format, std::forward<Args>(args)...)); }
  /// "for (...) {", what follows stands deeper.
  template <class... Args> void open(fmt::format_string<Args...> format, Args&&... args) {
    add(fmt::format(format, std::forward<Args>(args)...) + " {");
    ++depth_;
  }
  void close(std::string_view behind = "") {
    --depth_;
    add("}" + std::string(behind));
  }
  void indent() { ++depth_; }
  /// Several lines, each indented.
  void add(std::string_view text);
  const std::string& str() const { return text_; }
  bool empty() const { return text_.empty(); }

private:
  std::string text_;
  int depth_ = 0;
};

/// How a dtype is called in CUDA text, in memory and (bf16: float; bool: bool) in registers.
std::string memoryType(DType type);
std::string registerType(DType type);
/// A number as a literal of the type: "1.5f", "0x1.8p0" where decimals would round, "INFINITY" as bits; a negative one in brackets.
std::string literal(DType type, double value);
/// The same of an integer, to the bit: "5ll", "(-5)".
std::string integerLiteral(DType type, int64_t value);

DType dtypeOf(mlir::Value value);

class KernelText {
public:
  KernelText(ir::KernelOp kernel, std::string symbol, const CudaTarget& target);

  ir::KernelOp kernel() const { return kernel_; }
  const CudaTarget& target() const { return target_; }
  const std::string& symbol() const { return symbol_; }

  //--- names of what the launch hands over; parameters of every stage ---
  std::string input(unsigned i) const;  // "in0": const T* __restrict__; of a routing: const int*
  std::string output(unsigned i) const; // "out0": T* __restrict__
  /// A buffer private to the launch that outlives its stages, of `elements` of the type; returns its name, "work0". Before the first stage.
  std::string addWorkspace(DType type, const Size& elements);
  /// "65", or "n0" (long long) for a size of symbols; a negative literal is in brackets.
  std::string size(const Size& size);
  /// The stream (unsigned) of a draw, for the functions of random.cuh: "stream0". Beside it stand `seed` (unsigned long long) and `step` (unsigned).
  std::string stream(ir::RandomOp op);

  //--- text ---
  /// The text of codegen/cuda/skeletons/<name>, once, behind what it includes.
  void use(std::string_view skeleton);
  /// Any result may lie in the memory of an argument: each element is read before it is written, and no pointer is __restrict__.
  void allowInPlace() { restrict_ = ""; }
  /// Results may lie in the memory of these arguments: the others' pointers stay __restrict__.
  void allowInPlace(llvm::ArrayRef<InPlace> places);
  /// At file scope, behind the skeletons and before the stages.
  void declare(std::string_view text);
  /// A number for a name at file scope that no one else has.
  int freshTable() { return tables_++; }
  /// The next stage: `blocks` is the grid (an upper bound is fine when the text leaves spare blocks at once), `threads` of a block.
  /// `body` is the function's inside. dynamicSharedBytes: what the launch asks for beside what the text declares.
  struct Stage {
    std::string name;    // a word: "scores", "assign"; part of the function's name
    std::string summary; // a comment: what a block does
    Size blocks;
    int threads = 0;
    int residentBlocks = 0; // as many must fit a multiprocessor at once; with 0 ptxas aims at an occupancy of its own, if need be with spills
    int64_t dynamicSharedBytes = 0;
    Size operations; // StageInfo::operations
    std::string body;
  };
  void stage(Stage stage);

  /// A stage's function as a declaration, on one line.
  std::string declaration(size_t stage) const;
  /// The whole text, with a banner that says what it is.
  std::string text() const;
  const std::vector<Size>& sizes() const { return sizes_; }
  const std::vector<Size>& workspaces() const { return workspaceBytes_; }
  /// With `grid` filled but for what ptxas reports.
  const std::vector<StageInfo>& stages() const { return stages_; }

private:
  std::vector<std::string> parameters() const;
  std::string banner() const;

  ir::KernelOp kernel_;
  std::string symbol_;
  const CudaTarget& target_;
  std::vector<std::string> skeletons_;
  std::string declarations_;
  std::string_view restrict_ = " __restrict__";
  std::set<std::string> overlapping_; // names of pointers that are not
  int tables_ = 0;
  std::vector<Size> sizes_;
  std::vector<Size> workspaceBytes_;
  std::vector<DType> workspaceTypes_;
  std::vector<Stage> texts_;
  std::vector<StageInfo> stages_;
};

} // namespace moec::codegen::cuda
