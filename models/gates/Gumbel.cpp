#include "models/gates/Gumbel.h"

namespace moec::models {

mlir::Value withGumbel(Site& site, std::string_view name, mlir::Value x, double scale) {
  if (!x || scale == 0)
    return x;
  Ops& ops = site.ops();
  mlir::Type element = site.routerElement();
  auto log = [&](mlir::Value value) { return ops.unary<ir::LogOp>(ops.binary<ir::MaxOp>(value, ops.constant({1}, {1e-20}, element))); };
  mlir::Value draws = ops.random(ir::Distribution::Uniform, site.part(name).path(), ir::sizesOf(x), element);
  mlir::Value noise = ops.unary<ir::NegOp>(log(ops.unary<ir::NegOp>(log(draws))));
  return ops.add(x, ops.mul(noise, ops.constant({1}, {scale}, element)));
}

} // namespace moec::models
