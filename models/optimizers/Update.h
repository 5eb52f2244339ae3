#pragma once
// The update of one parameter, as its optimizer's kind emits it. Tensors are of the parameter's shape unless they say
// otherwise, in its compute dtype: its own, or f32 for bf16. Scalars are computed in f64 and cast once. Knows no kind and
// no JSON.

#include "ir/dialect/Moe.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <map>

namespace moec::models {

/// What all updates of a step share.
struct Step {
  mlir::OpBuilder& builder;
  mlir::DictionaryAttr rule;                                               // moe.optimizer
  mlir::Value learningRate, number;                                        // f64 [] and i64 [] (1, 2 ..)
  mlir::Operation* lastState;                                              // the next moe.state goes behind it
  std::map<std::pair<std::string, const void*>, mlir::Value> scalars = {}; // by name and dtype

  double numberOf(llvm::StringRef word) const;
  bool flag(llvm::StringRef word) const;
  std::vector<double> numbers(llvm::StringRef word) const;
};

class Update {
public:
  /// `gradient` is clipped, and of the compute dtype.
  Update(Step& step, ir::ParameterOp parameter, mlir::Value gradient);

  const Step& step() const { return step_; }
  mlir::Value parameter() const { return value_; }
  mlir::Value gradient() const { return gradient_; }
  int64_t rank() const { return type_.getRank(); }
  int64_t elements() const { return type_.getNumElements(); }
  bool isWide() const { return type_.getElementType().isF64(); }
  /// The rule's weight_decay; 0 for a parameter of no_decay.
  double decay();
  /// The parameter, multiplied by 1 - learning rate * weight_decay.
  mlir::Value decayed();
  /// The state "p.name", which begins with zeros.
  mlir::Value state(llvm::StringRef name) { return state(name, type_.getShape()); }
  mlir::Value state(llvm::StringRef name, llvm::ArrayRef<int64_t> shape);
  void write(llvm::StringRef name, mlir::Value value);
  /// To the parameter, and to its master weights and its average where it has them.
  void writeParameter(mlir::Value value);

  // Elementwise, on tensors and on scalars.
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, mlir::Value b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value sqrt(mlir::Value x);
  mlir::Value sign(mlir::Value x); // -1, 0 or 1; NaN of NaN
  /// As torch.lerp: from + way * (to - from), from the nearer of both ends.
  mlir::Value lerp(mlir::Value from, mlir::Value to, double way);
  mlir::Value constant(double value); // [], of the compute dtype

  // Over the elements of a tensor in the compute dtype.
  mlir::Value meanAlong(mlir::Value x, int64_t axis);     // the axis is 1 long then
  mlir::Value meanOfSquares(mlir::Value x, int64_t axis); // the same
  mlir::Value sumOfSquares(mlir::Value x);                // f64 []
  mlir::Value narrow(mlir::Value scalar);                 // f64 [] in the compute dtype

  /// A scalar of the step, f64 [], made by the first parameter that asks for the name; and the same in the compute dtype.
  mlir::Value wideScalar(const std::string& name, llvm::function_ref<mlir::Value()> make);
  mlir::Value scalar(const std::string& name, llvm::function_ref<mlir::Value()> make);
  mlir::Value learningRate();
  // For `make`: f64 [].
  mlir::Value wideConstant(double value);
  mlir::Value wideLearningRate() const { return step_.learningRate; }
  /// step^exponent.
  mlir::Value stepToThe(double exponent);
  /// 1 - base^step.
  mlir::Value biasCorrection(double base);
  /// `first` in the first step, `later` in those behind it.
  mlir::Value firstOr(double first, double later);

private:
  std::string nameOf(llvm::StringRef state) { return (parameter_.getSymName() + "." + state).str(); }
  mlir::Value declare(llvm::StringRef name, mlir::Type type, ir::InitAttr init, mlir::FlatSymbolRefAttr from);
  mlir::Value read(llvm::StringRef symbol, mlir::Type type);
  void writeTo(llvm::StringRef symbol, mlir::Value value);

  Step& step_;
  ir::ParameterOp parameter_;
  mlir::OpBuilder& builder_;
  mlir::Location location_;
  mlir::RankedTensorType type_; // of the compute dtype
  mlir::Value value_, gradient_;
};

/// The dtype that updates of a parameter compute in.
mlir::Type computeElement(ir::ParameterOp parameter);
/// A constant of one element: [].
mlir::Value scalarConstant(mlir::OpBuilder& builder, mlir::Location location, double value, mlir::Type element);
/// The sum of all squares of x, in its dtype: [].
mlir::Value sumOfSquares(mlir::OpBuilder& builder, mlir::Location location, mlir::Value x);
/// x itself where it is of that dtype.
mlir::Value castTo(mlir::OpBuilder& builder, mlir::Location location, mlir::Value x, mlir::Type element);

} // namespace moec::models
