#pragma once
// Writes the code of one kernel with scf, arith and the LLVM dialect on raw pointers and vectors. Knows the launch ABI (KernelAbi.h) and
// the target's vectors; knows no op of the dialect but moe.kernel. Everything it makes lives in a context that is its own meanwhile: never mix
// types or values of the moe.kernel's context with the builder's.

#include "codegen/KernelEmitter.h"
#include "codegen/cpu/CpuTarget.h"
#include "codegen/cpu/DebugInfo.h"
#include "runtime/core/KernelAbi.h"

#include <functional>
#include <limits>

namespace moec::codegen::cpu {

/// For KernelBuilder::real().
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

using mlir::Value;
using Values = llvm::SmallVector<mlir::Value>;

class KernelBuilder {
public:
  /// `debugInfo`: the code carries the kernel's place in the model, where it has one.
  KernelBuilder(ir::KernelOp kernel, std::string symbol, const CpuTarget& target, bool debugInfo = false);
  ~KernelBuilder();
  KernelBuilder(const KernelBuilder&) = delete;

  const CpuTarget& target() const { return target_; }
  ir::KernelOp kernel() const { return kernel_; }
  /// For ops that have no helper here. Its context holds arith, scf and LLVM; ops of LLVM have helpers, for a compiler takes ten seconds over that dialect's
  /// header.
  mlir::OpBuilder& builder() { return builder_; }
  mlir::Location loc() const { return loc_; }

  //--- stages: each is called once per item, in the order of the calls to stage() ---
  using Range = llvm::function_ref<void(Value begin, Value end)>;
  using Body = llvm::function_ref<void(Value)>;
  void stage(const Size& items, const Size& operations, Body item);
  /// For work that is shared by the items of one call (a table in scratch).
  void stageOfRange(const Size& items, const Size& operations, Range items_);
  /// A 64-byte aligned piece of the stage's scratch; only inside a stage, valid in all of it.
  Value scratch(const Size& bytes);

  //--- what the launch hands over ---
  Value input(unsigned i);  // pointer to the i-th input of the launch
  Value output(unsigned i); // pointer to the i-th output
  /// The i-th buffer of the launch: inputs, outputs and workspaces in a row; `i` is known when the kernel runs.
  Value buffer(Value i);
  /// A buffer private to the launch that outlives its stages; only before the first stage.
  unsigned addWorkspace(const Size& bytes);
  Value workspace(unsigned i);
  unsigned inputCount() { return kernel_.getInputs().size(); }
  unsigned outputCount() { return kernel_.getOutputs().size(); }
  /// i64; symbolic sizes become an entry of KernelImage::sizes.
  Value size(const Size& size);
  Value seed();                 // i64
  Value step();                 // i32
  Value stream(unsigned index); // i32, of the index-th moe.random in streamsOf()'s order

  //--- types ---
  mlir::Type i1(), i8(), i32(), i64(), f32(), f64(), pointer();
  mlir::Type tile(); // what AMX's registers hold
  /// What computes with elements of a dtype: i1 for Bool, i8 for U8, f32 for BF16, otherwise the type itself.
  mlir::Type typeOf(DType dtype);
  /// vector<lanes x element>; the element itself for one lane.
  mlir::Type vectorOf(mlir::Type element, int64_t lanes);
  /// Lanes of the target's vectors of what computes with elements of a dtype.
  int64_t lanes(DType dtype) const { return target_.vectorBytes / static_cast<int64_t>(dtype == DType::BF16 ? 4 : byteSize(dtype)); }
  static int64_t lanesOf(Value value); // 1 for a scalar
  static mlir::Type elementOf(mlir::Type type);
  static mlir::Type elementOf(Value value) { return elementOf(value.getType()); }
  /// `element`s with as many lanes as `like` has.
  mlir::Type like(Value value, mlir::Type element) { return vectorOf(element, lanesOf(value)); }

  //--- constants; `type` may be a vector ---
  Value index(int64_t value); // i64
  Value integer(mlir::Type type, int64_t value);
  Value real(mlir::Type type, double value);
  Value zero(mlir::Type type);

  //--- arithmetic on integers or floats, scalars or vectors; folds constants, signed; floats never contract or reassociate ---
  Value add(Value a, Value b), sub(Value a, Value b), mul(Value a, Value b);
  Value div(Value a, Value b), rem(Value a, Value b); // integers: towards zero
  Value min(Value a, Value b), max(Value a, Value b); // floats: NaN when one is (IEEE 754 minimum, maximum)
  Value larger(Value a, Value b);                     // b where it is greater, else a: one instruction where max has six; loses a NaN in b
  Value fma(Value a, Value b, Value c);               // a * b + c: rounded once where the target has FMA, elsewhere twice
  Value fmaOnce(Value a, Value b, Value c);           // a * b + c, rounded once on every target; many instructions without FMA
  Value neg(Value a), abs(Value a), sqrt(Value a);
  Value copySign(Value magnitude, Value sign);
  Value roundEven(Value a);
  Value bitAnd(Value a, Value b), bitOr(Value a, Value b), bitXor(Value a, Value b);
  Value shiftLeft(Value a, int64_t bits), shiftRight(Value a, int64_t bits); // right: logical
  Value shiftRightSigned(Value a, int64_t bits);
  Value notOf(Value mask);
  Value countOnes(Value a);
  Value compare(ir::Predicate predicate, Value a, Value b); // i1s; floats: only NE is true with NaN
  Value compareUnsigned(ir::Predicate predicate, Value a, Value b);
  Value isNan(Value a);
  Value choose(Value condition, Value yes, Value no); // elementwise or by one scalar condition
  /// Index arithmetic in i64; the same with a number.
  Value add(Value a, int64_t b) { return add(a, integer(a.getType(), b)); }
  Value sub(Value a, int64_t b) { return sub(a, integer(a.getType(), b)); }
  Value mul(Value a, int64_t b) { return mul(a, integer(a.getType(), b)); }
  Value div(Value a, int64_t b) { return div(a, integer(a.getType(), b)); }
  Value rem(Value a, int64_t b) { return rem(a, integer(a.getType(), b)); }
  static std::optional<int64_t> constantOf(Value value);

  //--- conversions; `element` is the element type wanted ---
  Value bits(Value value, mlir::Type element);      // same bits, same width
  Value toFloat(Value value, mlir::Type element);   // signed integer (i1 and i8 unsigned) or float to float, to nearest even
  Value toInteger(Value value, mlir::Type element); // float to signed integer, towards zero; integers widen (signed) or narrow
  Value widenUnsigned(Value value, mlir::Type element);
  Value roundTo(DType dtype, Value value); // bf16: to the nearest that there is, still as f32; otherwise the value

  //--- vectors ---
  Value broadcast(Value scalar, int64_t lanes);
  Value iota(mlir::Type element, int64_t lanes); // 0, 1, 2 ...
  Value word(Value mask);                        // an integer of as many bits as the vector has lanes, the first lane's the lowest
  Value lane(Value vector, int64_t lane);
  Value lane(Value vector, Value lane);
  Value insert(Value vector, Value scalar, int64_t lane);
  Value shuffle(Value a, Value b, llvm::ArrayRef<int32_t> lanes);
  Value part(Value vector, int64_t first, int64_t lanes);                 // lanes [first, first + lanes)
  Value gather(mlir::Type vector, Value base, Value indices, Value mask); // elements base[indices]
  /// Over the lanes of one vector, as a tree of halves: the same bits everywhere. The largest is that of numbers: it may lose a NaN.
  Value sumLanes(Value vector), largestLane(Value vector);

  //--- memory: addresses are !llvm.ptr, alignment is the element's ---
  Value at(Value base, Value index, mlir::Type element); // base + index * bytes of element
  Value at(Value base, Value index, DType dtype);
  /// The same address, of which LLVM does not know that it is: what is read from both is read twice.
  Value unrelated(Value address);
  Value load(mlir::Type type, Value address);
  void store(Value value, Value address);
  /// Vectors that are whole cache lines, one behind the other, of a tensor which no cache holds until it is read: past the caches memory is written without
  /// being read before, a third of the traffic. Other threads see it when the stage has ended. The address begins with a line.
  void storeLines(llvm::ArrayRef<Value> vectors, Value address);
  /// Whether `together` vectors of such elements are stored by storeLines() in a tensor of these sizes, whose rows begin with lines.
  bool storesLines(DType dtype, llvm::ArrayRef<Size> sizes, int64_t together = 1) const;
  /// First `count` lanes (count may be more or less than there are).
  Value mask(Value count, int64_t lanes);
  Value loadMasked(mlir::Type vector, Value address, Value mask, Value others = {}); // lanes left out: `others`, or zero
  void storeMasked(Value value, Value address, Value mask);
  /// Elements of a tensor: i1 is a byte in memory.
  Value loadElements(DType dtype, Value address, int64_t lanes, Value mask = {});
  void storeElements(DType dtype, Value value, Value address, Value mask = {});
  /// Address of a constant's elements, laid out as a tensor's, in the image.
  Value constantData(mlir::DenseElementsAttr elements);
  void prefetch(Value address, bool write = false, int locality = 3);

  //--- instructions by their names in LLVM ---
  void intrinsic(llvm::StringRef name, mlir::ValueRange of);
  Value intrinsic(llvm::StringRef name, mlir::Type result, mlir::ValueRange of);

  //--- control flow ---
  void loop(Value low, Value high, Value step, Body body);
  void loop(int64_t low, Value high, int64_t step, Body body) { loop(index(low), high, index(step), body); }
  /// With values carried from turn to turn: `body` returns the next ones.
  Values loop(Value low, Value high, Value step, const Values& first, llvm::function_ref<Values(Value i, const Values& carried)> body);
  void when(Value condition, llvm::function_ref<void()> body);
  Values when(Value condition, llvm::function_ref<Values()> yes, llvm::function_ref<Values()> no);
  /// A main loop of whole vectors over [0, count) and one masked tail: `body(position, mask)`; no mask in the main loop.
  void vectorLoop(Value count, int64_t lanes, llvm::function_ref<void(Value i, Value mask)> body);
  Values vectorLoop(Value count, int64_t lanes, const Values& first, llvm::function_ref<Values(Value i, Value mask, const Values& carried)> body);

  //--- the result ---
  /// The module, complete; `error` says what is wrong with it.
  mlir::FailureOr<mlir::ModuleOp> finish(std::string& error);
  const std::vector<Size>& sizes() const { return sizes_; }
  const std::vector<StageInfo>& stages() const { return stages_; }
  const std::vector<Size>& workspaces() const { return workspaces_; }

private:
  struct Frame;
  Value bf16Bits(Value value);
  mlir::Location locationOf(llvm::StringRef function);

  unsigned bufferCount() { return inputCount() + outputCount() + workspaces_.size(); }
  Value atPrologue(llvm::function_ref<Value()> make);
  void beginStage(const Size& items, const Size& operations);
  void endStage();

  ir::KernelOp kernel_;
  std::string symbol_;
  CpuTarget target_;
  std::unique_ptr<mlir::MLIRContext> context_;
  mlir::OpBuilder builder_;
  std::optional<ModelPlace> place_; // with debug information
  mlir::Location loc_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
  mlir::Attribute compileUnit_;  // with debug information
  std::unique_ptr<Frame> frame_; // the stage being written
  bool hasLines_ = false;        // it stores some
  std::vector<Size> sizes_;
  std::vector<StageInfo> stages_;
  std::vector<Size> workspaces_;
  int constants_ = 0;
};

/// ceil(value / multiple) * multiple.
inline Size alignUp(const Size& value, int64_t multiple) { return Size::ceilDiv(value, multiple) * Size(multiple); }

} // namespace moec::codegen::cpu
