#include "tests/ir/gradients/Mutants.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace moec::testing {

namespace {

template <class To> void replaceBinary(Operation* op) {
  OpBuilder builder(op);
  Value other = To::create(builder, op->getLoc(), op->getOperand(0), op->getOperand(1));
  op->getResult(0).replaceAllUsesWith(other);
}

void forward(Operation* op) { op->getResult(0).replaceAllUsesWith(op->getOperand(0)); }

void swapOperands(Operation* op, unsigned a, unsigned b) {
  Value first = op->getOperand(a);
  op->setOperand(a, op->getOperand(b));
  op->setOperand(b, first);
}

void turnPredicate(Operation* op) {
  auto compare = cast<ir::CompareOp>(op);
  compare.setPredicate(compare.getPredicate() == ir::Predicate::EQ   ? ir::Predicate::NE
                       : compare.getPredicate() == ir::Predicate::GT ? ir::Predicate::LE
                                                                     : ir::Predicate::GE);
}

/// Of one number; 0 becomes 1.
void addOne(Operation* op) {
  auto constant = cast<ir::ConstantOp>(op);
  auto value = cast<DenseElementsAttr>(constant.getValue());
  Type element = value.getElementType();
  double number = FloatAttr::get(element, *value.getValues<APFloat>().begin()).getValueAsDouble();
  constant.setValueAttr(DenseElementsAttr::get(value.getType(), FloatAttr::get(element, number + 1).getValue()));
}

template <class Op> void doubleEps(Operation* op) {
  auto norm = cast<Op>(op);
  norm.setEpsAttr(FloatAttr::get(Float64Type::get(op->getContext()), 2 * norm.getEps().convertToDouble()));
}

bool sumsSeveral(ir::ReduceOp op) { return op.getKind() == ir::ReduceKind::Sum && ir::sizesOf(op.getX())[op.getAxis()] != Size(1); }

} // namespace

std::vector<Mutation> mutationsOf(Operation* op) {
  std::vector<Mutation> mutations;
  auto add = [&](const char* text, std::function<void(Operation*)> apply) { mutations.push_back({text, std::move(apply)}); };
  llvm::TypeSwitch<Operation*>(op)
      .Case([&](ir::AddOp) { add("add -> sub", replaceBinary<ir::SubOp>); })
      .Case([&](ir::SubOp) { add("sub -> add", replaceBinary<ir::AddOp>); })
      .Case([&](ir::MulOp) { add("mul -> add", replaceBinary<ir::AddOp>); })
      .Case([&](ir::DivOp) { add("div -> mul", replaceBinary<ir::MulOp>); })
      .Case([&](ir::NegOp) { add("neg -> nothing", forward); })
      .Case<ir::GeluGradOp, ir::GeluTanhGradOp, ir::SigmoidOp, ir::ExpOp, ir::SoftmaxOp>([&](auto) { add("function -> its argument", forward); })
      .Case([&](ir::WhereOp) { add("where, swapped", [](Operation* op) { swapOperands(op, 1, 2); }); })
      .Case([&](ir::CompareOp) { add("compare, turned", turnPredicate); })
      .Case([&](ir::ConstantOp) { add("constant + 1", addOne); })
      .Case([&](ir::ReduceOp reduce) {
        if (sumsSeveral(reduce))
          add("sum -> mean", [](Operation* op) { cast<ir::ReduceOp>(op).setKind(ir::ReduceKind::Mean); });
      })
      .Case([&](ir::LayerNormGradOp) { add("layer_norm_grad, eps", doubleEps<ir::LayerNormGradOp>); })
      .Case([&](ir::RmsNormGradOp) { add("rms_norm_grad, eps", doubleEps<ir::RmsNormGradOp>); })
      .Case([&](ir::AttentionGradOp) {
        add("attention_grad, scale", [](Operation* op) {
          auto attention = cast<ir::AttentionGradOp>(op);
          attention.setScaleAttr(FloatAttr::get(Float64Type::get(op->getContext()), 2 * attention.getScale().convertToDouble()));
        });
        if (cast<ir::AttentionGradOp>(op).getDraws())
          add("attention_grad, dropout", [](Operation* op) {
            auto attention = cast<ir::AttentionGradOp>(op);
            attention.setDropoutAttr(FloatAttr::get(Float64Type::get(op->getContext()), attention.getDropout()->convertToDouble() / 2));
          });
      })
      .Case([&](ir::RotaryOp) { add("rotary, turned", [](Operation* op) { cast<ir::RotaryOp>(op).setInverse(!cast<ir::RotaryOp>(op).getInverse()); }); });
  return mutations;
}

Operation* sameOp(Operation* op, func::FuncOp from, func::FuncOp clone) {
  auto place = std::distance(from.getBody().front().begin(), Block::iterator(op));
  return &*std::next(clone.getBody().front().begin(), place);
}

} // namespace moec::testing
