// pack: w (.., N, K) to panels (.., ceil(N/nr), K, nr); an item is a block of panels.
//   for panel in item: for k: for r < nr: out[panel, k, r] = row n = panel * nr + r inside w ? w[n, k] : 0
// w may lie as (.., K, N), through moe.transpose: then a panel is runs of its rows; and a matrix w may be rows of the argument, through moe.slice. Panels may
// be of bf16 where w is f32, through moe.cast, and of codes and scales, through moe.quantize: then a panel of f32 stands in scratch first. In pairs, of bf16,
// a panel stands in scratch, too: its rows 2i and 2i+1 become one of 32-bit words.
#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/Product.h"
#include "codegen/cpu/QuantizePanel.h"
#include "codegen/cpu/Schedule.h"
#include "codegen/cpu/TurnPanel.h"

namespace moec::codegen::cpu {

namespace {

/// What the kernel packs, and as what.
struct PackPlan {
  DType dtype;            // of the argument
  ir::Sizes sizes;        // (.., N, K)
  bool exchanged = false; // the argument is (.., K, N)
  Size before = 0;        // elements of the argument that stand before w
  int64_t nr;
  DType panelType;   // of the result, or of the codes
  int64_t group = 0; // of codes: output 1 holds the scales
  bool inPairs = false;

  static mlir::FailureOr<PackPlan> of(ir::KernelOp kernel);
};

mlir::FailureOr<PackPlan> PackPlan::of(ir::KernelOp kernel) {
  mlir::Block& body = kernel.getBody().front();
  mlir::ValueRange results = body.getTerminator()->getOperands();
  auto pack = results.empty() ? ir::PackOp() : results[0].getDefiningOp<ir::PackOp>();
  auto refuse = [&] {
    return kernel.emitError()
           << "internal: a kernel of kind \"pack\" holds one moe.pack of its argument or rows of it, of moe.transpose of its last two dimensions, "
              "of moe.cast of an argument of f32 to bf16, or one of each result of moe.quantize";
  };
  if (!pack)
    return refuse();
  PackPlan plan{dtypeOf(pack.getW()), ir::sizesOf(pack.getW()), false, 0, static_cast<int64_t>(pack.getNr()), dtypeOf(pack.getW())};
  plan.inPairs = pack.getPairs();
  if (plan.inPairs && plan.panelType != DType::BF16)
    return kernel.emitOpError("packs ") << name(plan.panelType) << " in pairs: they are of bf16";
  mlir::Value from = pack.getW();
  size_t ops = 2, given = 1;
  if (auto quantize = from.getDefiningOp<ir::QuantizeOp>()) {
    auto scales = results.size() == 2 ? results[1].getDefiningOp<ir::PackOp>() : ir::PackOp();
    if (from != quantize.getCodes() || !scales || scales.getW() != quantize.getScales() || scales.getNr() != pack.getNr())
      return refuse();
    plan.dtype = DType::F32;
    plan.group = static_cast<int64_t>(quantize.getGroup());
    from = quantize.getW();
    ops = 4, given = 2;
  } else if (auto cast = from.getDefiningOp<ir::CastOp>(); cast && plan.panelType == DType::BF16 && dtypeOf(cast.getX()) == DType::F32) {
    plan.dtype = DType::F32;
    from = cast.getX();
    ops = 3;
  } else if (mlir::Value x = exchangedFrom(from)) {
    plan.exchanged = true;
    from = x;
    ops = 3;
  }
  if (ir::SliceOp rows = rowsSlice(from)) {
    plan.before = Size::parse(rows.getStart().str()) * ir::sizesOf(from).back();
    from = rows.getX();
    ++ops;
  }
  if (!mlir::isa<mlir::BlockArgument>(from) || body.getOperations().size() != ops || results.size() != given)
    return refuse();
  return plan;
}

/// `inside` elements of each of `depth` rows of a matrix `stride` wide into the rows of a panel, zeros behind.
void copyPanel(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, int64_t nr, Value panel, bool lines) {
  int64_t lanes = std::min(nr, k.lanes(dtype));
  Value zero = k.zero(k.typeOf(dtype));
  auto part = [&] {
    k.loop(0, depth, 1, [&](Value d) {
      Value from = k.at(rows.base, k.mul(d, rows.stride), dtype), to = k.at(panel, k.mul(d, nr), dtype);
      k.vectorLoop(inside, lanes,
                   [&](Value r, Value mask) { k.storeElements(dtype, k.loadElements(dtype, k.at(from, r, dtype), lanes, mask), k.at(to, r, dtype), mask); });
      k.loop(inside, k.index(nr), k.index(1), [&](Value r) { k.storeElements(dtype, zero, k.at(to, r, dtype)); });
    });
  };
  if (!lines)
    return part();
  k.when(
      k.compare(ir::Predicate::EQ, inside, k.index(nr)),
      [&]() -> Values {
        k.loop(0, depth, 1, [&](Value d) {
          Value from = k.at(rows.base, k.mul(d, rows.stride), dtype), to = k.at(panel, k.mul(d, nr), dtype);
          for (int64_t r = 0; r < nr; r += lanes)
            k.storeLine(k.load(k.vectorOf(k.typeOf(dtype), lanes), k.at(from, k.index(r), dtype)), k.at(to, k.index(r), dtype));
        });
        return {};
      },
      [&]() -> Values { return part(), Values(); });
}

/// Rows 2i and 2i+1 of a panel of bf16 as words of both.
void pairRows(KernelBuilder& k, Value plain, Value depth, int64_t nr, Value panel) {
  int64_t lanes = k.lanes(DType::F32);
  mlir::Type half = k.builder().getI16Type();
  k.loop(0, depth, 2, [&](Value d) {
    Value row = k.at(plain, k.mul(d, nr), half), to = k.at(panel, k.mul(d, nr), half);
    k.vectorLoop(k.index(nr), lanes, [&](Value r, Value mask) {
      auto words = [&](int64_t i) {
        mlir::Type type = k.vectorOf(half, lanes);
        Value place = k.at(row, k.add(r, i * nr), half);
        return k.widenUnsigned(mask ? k.loadMasked(type, place, mask) : k.load(type, place), k.i32());
      };
      Value both = k.bitOr(words(0), k.shiftLeft(words(1), 16)), place = k.at(to, r, k.i32());
      mask ? k.storeMasked(both, place, mask) : k.store(both, place);
    });
  });
}

} // namespace

mlir::DictionaryAttr schedulePack(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = PackPlan::of(kernel);
  if (failed(plan))
    return nullptr;
  int64_t depth = plan->sizes.back().constant().value_or(1024);
  int64_t panelBytes = depth * plan->nr * static_cast<int64_t>(byteSize(plan->dtype));
  BlockSchedule schedule{std::clamp<int64_t>(4 * kItemBytes / std::max<int64_t>(panelBytes, 1), 1, 256)};
  return schedule.toAttr(kernel.getContext());
}

mlir::LogicalResult buildPack(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = PackPlan::of(kernel);
  auto schedule = BlockSchedule::of(kernel);
  if (failed(plan) || failed(schedule))
    return mlir::failure();
  int64_t nr = plan->nr, lanes = k.lanes(plan->dtype);
  if (plan->group && nr % lanes != 0)
    return kernel.emitError() << "internal: panels of codes are whole vectors of " << lanes << " columns: they have " << nr;
  const ir::Sizes& from = plan->sizes;
  Size depth = from.back(), rows = from[from.size() - 2], panels = Size::ceilDiv(rows, Size(nr)), all = panels;
  for (size_t i = 0; i + 2 < from.size(); ++i)
    all = all * from[i];
  bool lines = k.storesLines(plan->panelType, {all, depth, Size(nr)});

  k.stage(Size::ceilDiv(all, Size(schedule->block)), all * depth * Size(nr), [&](Value item) {
    Value first = k.mul(item, schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(all));
    Value turned = plan->group ? k.scratch(bytesOf(plan->dtype, depth * Size(nr))) : Value();
    Value plain = plan->inPairs ? k.scratch(bytesOf(plan->panelType, depth * Size(nr))) : Value();
    k.loop(first, last, k.index(1), [&](Value panel) {
      Value matrix = k.div(panel, k.size(panels)), width = k.size(rows), height = k.size(depth);
      Value row = k.mul(k.rem(panel, k.size(panels)), nr); // its first, within the matrix
      Value inside = k.min(k.sub(width, row), k.index(nr));
      Value source = k.at(k.input(0), k.add(k.mul(matrix, k.size(rows * depth)), k.size(plan->before)), plan->dtype);
      Value result = k.at(k.output(0), k.mul(panel, k.mul(height, nr)), plan->panelType), to = plain ? plain : result;
      Matrix lying{k.at(source, k.mul(row, height), plan->dtype), height};
      if (plan->group) {
        turnPanel(k, plan->dtype, lying, height, inside, nr, turned, plan->dtype);
        Value scales = k.at(k.output(1), k.mul(panel, k.size(Size::ceilDiv(depth, Size(plan->group)) * Size(nr))), DType::BF16);
        return quantizePanel(k, {turned, k.index(nr)}, height, inside, plan->group, {result, scales});
      }
      if (plan->exchanged)
        copyPanel(k, plan->dtype, {k.at(source, row, plan->dtype), width}, height, inside, nr, to, lines);
      else
        turnPanel(k, plan->dtype, lying, height, inside, nr, to, plan->panelType, lines);
      if (plain)
        pairRows(k, plain, height, nr, result);
    });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
