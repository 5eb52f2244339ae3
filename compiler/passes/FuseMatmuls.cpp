// fuse-matmuls: a matrix product with the exchanges of its operands' last two dimensions, which it reads either way, the rows of a weight that it takes, and
// the elementwise ops behind it (bias, activation, residual), which then cost no traffic. The gradient of a weight takes that of the bias along: both read the
// rows of dy.

#include "compiler/passes/Cluster.h"
#include "compiler/passes/Passes.h"

using namespace mlir;
using namespace moec::ir;

namespace moec::compiler {

LogicalResult fuseMatmuls(func::FuncOp function) {
  for (MatmulOp product : SmallVector<MatmulOp>(function.getOps<MatmulOp>())) {
    Cluster cluster(product);
    for (OpOperand& operand : product->getOpOperands())
      cluster.addExchange(operand);
    cluster.addRowsOfWeight(product.getBMutable());
    if (auto exchange = product.getA().getDefiningOp<TransposeOp>(); exchange && cluster.contains(exchange))
      cluster.addSumsOfRows(exchange.getX());
    std::string reason;
    cluster.growForward(product.getResult(), reason);
    if (failed(cluster.outline("matmul", reason)))
      return failure();
  }
  return sortBody(function);
}

} // namespace moec::compiler
