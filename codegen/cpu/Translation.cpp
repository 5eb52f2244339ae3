#include "codegen/cpu/Translation.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Target/LLVMIR/LLVMTranslationInterface.h"
#include "mlir/Target/LLVMIR/ModuleTranslation.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/IR/IRBuilder.h"

namespace moec::codegen::cpu {

using namespace mlir;

namespace {

using LLVM::ModuleTranslation;

llvm::CmpInst::Predicate predicateOf(arith::CmpIPredicate predicate) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq:
    return llvm::CmpInst::ICMP_EQ;
  case P::ne:
    return llvm::CmpInst::ICMP_NE;
  case P::slt:
    return llvm::CmpInst::ICMP_SLT;
  case P::sle:
    return llvm::CmpInst::ICMP_SLE;
  case P::sgt:
    return llvm::CmpInst::ICMP_SGT;
  case P::sge:
    return llvm::CmpInst::ICMP_SGE;
  case P::ult:
    return llvm::CmpInst::ICMP_ULT;
  case P::ule:
    return llvm::CmpInst::ICMP_ULE;
  case P::ugt:
    return llvm::CmpInst::ICMP_UGT;
  case P::uge:
    return llvm::CmpInst::ICMP_UGE;
  }
  return llvm::CmpInst::BAD_ICMP_PREDICATE;
}

/// BAD_FCMP_PREDICATE of those that no kernel asks.
llvm::CmpInst::Predicate predicateOf(arith::CmpFPredicate predicate) {
  using P = arith::CmpFPredicate;
  switch (predicate) {
  case P::OEQ:
    return llvm::CmpInst::FCMP_OEQ;
  case P::UNE:
    return llvm::CmpInst::FCMP_UNE;
  case P::OLT:
    return llvm::CmpInst::FCMP_OLT;
  case P::OLE:
    return llvm::CmpInst::FCMP_OLE;
  case P::OGT:
    return llvm::CmpInst::FCMP_OGT;
  case P::OGE:
    return llvm::CmpInst::FCMP_OGE;
  case P::UNO:
    return llvm::CmpInst::FCMP_UNO;
  default:
    return llvm::CmpInst::BAD_FCMP_PREDICATE;
  }
}

/// Null when there is no rule for the op.
llvm::Value* valueOf(Operation* op, llvm::IRBuilderBase& builder, ModuleTranslation& state) {
  using llvm::Instruction;
  llvm::Type* type = state.convertType(op->getResult(0).getType());
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return LLVM::detail::getLLVMConstant(type, constant.getValue(), op->getLoc(), state);
  SmallVector<llvm::Value*> of = state.lookupValues(op->getOperands());
  auto binary = [&](Instruction::BinaryOps code) { return [&, code](auto) { return builder.CreateBinOp(code, of[0], of[1]); }; };
  auto cast = [&](Instruction::CastOps code) { return [&, code](auto) { return builder.CreateCast(code, of[0], type); }; };
  auto intrinsic = [&](llvm::Intrinsic::ID id) { return [&, id](auto) -> llvm::Value* { return builder.CreateBinaryIntrinsic(id, of[0], of[1]); }; };
  return llvm::TypeSwitch<Operation*, llvm::Value*>(op)
      .Case<arith::AddFOp>(binary(Instruction::FAdd))
      .Case<arith::SubFOp>(binary(Instruction::FSub))
      .Case<arith::MulFOp>(binary(Instruction::FMul))
      .Case<arith::DivFOp>(binary(Instruction::FDiv))
      .Case<arith::RemFOp>(binary(Instruction::FRem))
      .Case<arith::MinimumFOp>(intrinsic(llvm::Intrinsic::minimum))
      .Case<arith::MaximumFOp>(intrinsic(llvm::Intrinsic::maximum))
      .Case<arith::NegFOp>([&](auto) { return builder.CreateFNeg(of[0]); })
      .Case<arith::AddIOp>(binary(Instruction::Add))
      .Case<arith::SubIOp>(binary(Instruction::Sub))
      .Case<arith::MulIOp>(binary(Instruction::Mul))
      .Case<arith::DivSIOp>(binary(Instruction::SDiv))
      .Case<arith::RemSIOp>(binary(Instruction::SRem))
      .Case<arith::MinSIOp>(intrinsic(llvm::Intrinsic::smin))
      .Case<arith::MaxSIOp>(intrinsic(llvm::Intrinsic::smax))
      .Case<arith::AndIOp>(binary(Instruction::And))
      .Case<arith::OrIOp>(binary(Instruction::Or))
      .Case<arith::XOrIOp>(binary(Instruction::Xor))
      .Case<arith::ShLIOp>(binary(Instruction::Shl))
      .Case<arith::ShRUIOp>(binary(Instruction::LShr))
      .Case<arith::ShRSIOp>(binary(Instruction::AShr))
      .Case<arith::ExtFOp>(cast(Instruction::FPExt))
      .Case<arith::TruncFOp>(cast(Instruction::FPTrunc))
      .Case<arith::SIToFPOp>(cast(Instruction::SIToFP))
      .Case<arith::FPToSIOp>(cast(Instruction::FPToSI))
      .Case<arith::ExtSIOp>(cast(Instruction::SExt))
      .Case<arith::ExtUIOp>(cast(Instruction::ZExt))
      .Case<arith::TruncIOp>(cast(Instruction::Trunc))
      .Case<arith::BitcastOp>(cast(Instruction::BitCast))
      .Case([&](arith::SelectOp) { return builder.CreateSelect(of[0], of[1], of[2]); })
      .Case([&](arith::CmpIOp compare) { return builder.CreateICmp(predicateOf(compare.getPredicate()), of[0], of[1]); })
      .Case([&](arith::CmpFOp compare) -> llvm::Value* {
        llvm::CmpInst::Predicate predicate = predicateOf(compare.getPredicate());
        return predicate == llvm::CmpInst::BAD_FCMP_PREDICATE ? nullptr : builder.CreateFCmp(predicate, of[0], of[1]);
      })
      .Default(nullptr);
}

struct ArithTranslation final : LLVMTranslationDialectInterface {
  using LLVMTranslationDialectInterface::LLVMTranslationDialectInterface;

  LogicalResult convertOperation(Operation* op, llvm::IRBuilderBase& builder, ModuleTranslation& state) const override {
    llvm::Value* value = valueOf(op, builder, state);
    if (!value)
      return failure();
    state.mapValue(op->getResult(0), value);
    return success();
  }
};

llvm::BasicBlock* makeBlock(llvm::IRBuilderBase& builder) { return llvm::BasicBlock::Create(builder.getContext()); }

/// Goes on in a block that stands behind all that were written before it.
void enter(llvm::BasicBlock* block, llvm::IRBuilderBase& builder) {
  llvm::Function* function = builder.GetInsertBlock()->getParent();
  function->insert(function->end(), block);
  builder.SetInsertPoint(block);
}

/// Writes a region's block from here on; builder stands at its end then.
LogicalResult write(Block& block, llvm::IRBuilderBase& builder, ModuleTranslation& state) {
  state.mapBlock(&block, builder.GetInsertBlock());
  return state.convertBlock(block, /*ignoreArguments=*/true, builder);
}

/// A phi for each value, which is what arrives from a block.
SmallVector<llvm::PHINode*> makePhis(ArrayRef<llvm::Value*> values, llvm::BasicBlock* from, llvm::IRBuilderBase& builder) {
  SmallVector<llvm::PHINode*> phis;
  for (llvm::Value* value : values) {
    phis.push_back(builder.CreatePHI(value->getType(), 2));
    phis.back()->addIncoming(value, from);
  }
  return phis;
}

// from -> head: (i, carried) -> body -> head; head -> behind
LogicalResult write(scf::ForOp loop, llvm::IRBuilderBase& builder, ModuleTranslation& state) {
  if (loop.getUnsignedCmp())
    return failure();
  Block& block = *loop.getBody();
  llvm::BasicBlock *from = builder.GetInsertBlock(), *head = makeBlock(builder), *body = makeBlock(builder), *behind = makeBlock(builder);
  builder.CreateBr(head);
  enter(head, builder);
  SmallVector<llvm::Value*> first{state.lookupValue(loop.getLowerBound())};
  llvm::append_range(first, state.lookupValues(loop.getInitArgs()));
  SmallVector<llvm::PHINode*> phis = makePhis(first, from, builder);
  for (auto [argument, phi] : llvm::zip_equal(block.getArguments(), phis))
    state.mapValue(argument, phi);
  for (auto [result, phi] : llvm::zip_equal(loop.getResults(), ArrayRef(phis).drop_front()))
    state.mapValue(result, phi);
  builder.CreateCondBr(builder.CreateICmpSLT(phis[0], state.lookupValue(loop.getUpperBound())), body, behind);
  enter(body, builder);
  if (failed(write(block, builder, state)))
    return failure();
  SmallVector<llvm::Value*> next{builder.CreateAdd(phis[0], state.lookupValue(loop.getStep()))};
  llvm::append_range(next, state.lookupValues(block.getTerminator()->getOperands()));
  for (auto [phi, value] : llvm::zip_equal(phis, next))
    phi->addIncoming(value, builder.GetInsertBlock());
  builder.CreateBr(head);
  enter(behind, builder);
  return success();
}

LogicalResult write(scf::IfOp condition, llvm::IRBuilderBase& builder, ModuleTranslation& state) {
  llvm::BasicBlock *yes = makeBlock(builder), *behind = makeBlock(builder), *no = condition.elseBlock() ? makeBlock(builder) : behind;
  builder.CreateCondBr(state.lookupValue(condition.getCondition()), yes, no);
  SmallVector<std::pair<llvm::BasicBlock*, SmallVector<llvm::Value*>>> ends;
  for (auto [block, begin] : {std::pair(condition.thenBlock(), yes), std::pair(condition.elseBlock(), no)}) {
    if (!block)
      continue;
    enter(begin, builder);
    if (failed(write(*block, builder, state)))
      return failure();
    ends.emplace_back(builder.GetInsertBlock(), state.lookupValues(block->getTerminator()->getOperands()));
    builder.CreateBr(behind);
  }
  enter(behind, builder);
  if (condition.getNumResults() == 0)
    return success();
  SmallVector<llvm::PHINode*> phis = makePhis(ends[0].second, ends[0].first, builder);
  for (auto [result, phi, other] : llvm::zip_equal(condition.getResults(), phis, ends[1].second)) {
    phi->addIncoming(other, ends[1].first);
    state.mapValue(result, phi);
  }
  return success();
}

struct ScfTranslation final : LLVMTranslationDialectInterface {
  using LLVMTranslationDialectInterface::LLVMTranslationDialectInterface;

  LogicalResult convertOperation(Operation* op, llvm::IRBuilderBase& builder, ModuleTranslation& state) const override {
    return llvm::TypeSwitch<Operation*, LogicalResult>(op)
        .Case<scf::ForOp, scf::IfOp>([&](auto structured) { return write(structured, builder, state); })
        .Case([](scf::YieldOp) { return success(); }) // its operands are read by the op around it
        .Default(failure());
  }
};

} // namespace

void registerTranslations(DialectRegistry& registry) {
  registry.addExtension(+[](MLIRContext*, arith::ArithDialect* dialect) { dialect->addInterfaces<ArithTranslation>(); });
  registry.addExtension(+[](MLIRContext*, scf::SCFDialect* dialect) { dialect->addInterfaces<ScfTranslation>(); });
}

} // namespace moec::codegen::cpu
