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

  Size rows() const { return sizes[sizes.size() - 2]; }
  Size panels() const { return Size::ceilDiv(rows(), Size(nr)); } // of a matrix
  Size matrices() const { return ir::product({sizes.begin(), sizes.end() - 2}); }
  Size count() const { return matrices() * panels(); }

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

/// `inside` elements of each of `depth` rows of a matrix into the rows of `count` panels, zeros behind. All panels take of a few rows before the next ones are
/// read: stretches of two kilobytes come from memory up to 2.5 times as fast as those of two lines, a row apart, and stretches of several rows of a panel go
/// there faster than those of one (AVX2, lines of 117 MB, two threads: 5.8 ms for 8.5).
void copyPanels(KernelBuilder& k, DType dtype, const Matrix& rows, Value depth, Value inside, Value count, int64_t nr, Value panels, bool lines) {
  constexpr int64_t together = 8;
  int64_t lanes = std::min(nr, k.lanes(dtype));
  auto placeOf = [&](Value panel, Value d) { return k.at(panels, k.mul(k.add(k.mul(panel, depth), d), nr), dtype); };
  auto copy = [&](Value from, Value to, Value elements) {
    k.vectorLoop(elements, lanes,
                 [&](Value r, Value mask) { k.storeElements(dtype, k.loadElements(dtype, k.at(from, r, dtype), lanes, mask), k.at(to, r, dtype), mask); });
  };
  auto copyWhole = [&](Value from, Value to) {
    if (!lines)
      return copy(from, to, k.index(nr));
    Values row;
    for (int64_t r = 0; r < nr; r += lanes)
      row.push_back(k.loadElements(dtype, k.at(from, k.index(r), dtype), lanes));
    k.storeLines(row, to);
  };
  Value whole = k.min(count, k.div(inside, nr)), rest = k.sub(inside, k.mul(whole, nr));
  k.loop(0, depth, together, [&](Value first) {
    Value last = k.min(k.add(first, together), depth);
    k.loop(k.index(0), whole, k.index(1), [&](Value panel) {
      k.loop(first, last, k.index(1), [&](Value d) { copyWhole(k.at(rows.base, k.add(k.mul(d, rows.stride), k.mul(panel, nr)), dtype), placeOf(panel, d)); });
    });
  });
  k.loop(whole, count, k.index(1), [&](Value panel) {
    k.loop(0, depth, 1, [&](Value d) {
      Value to = placeOf(panel, d);
      copy(k.at(rows.base, k.add(k.mul(d, rows.stride), k.mul(panel, nr)), dtype), to, rest);
      k.loop(rest, k.index(nr), k.index(1), [&](Value r) { k.storeElements(dtype, k.zero(k.typeOf(dtype)), k.at(to, r, dtype)); });
    });
  });
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

// Of exchanged weights as many panels as share a stretch of a row that memory gives fast, but pieces for some threads.
mlir::DictionaryAttr schedulePack(ir::KernelOp kernel, const CpuTarget& target) {
  constexpr int64_t stretch = 2048, pieces = 32;
  auto plan = PackPlan::of(kernel);
  if (failed(plan))
    return nullptr;
  int64_t rowBytes = plan->nr * static_cast<int64_t>(byteSize(plan->dtype)), depth = plan->sizes.back().constant().value_or(1024);
  int64_t block = std::clamp<int64_t>(4 * kItemBytes / std::max<int64_t>(depth * rowBytes, 1), 1, 256);
  if (plan->exchanged)
    block = std::max(block, std::min(stretch / rowBytes, plan->count().constant().value_or(pieces) / pieces));
  return BlockSchedule{block}.toAttr(kernel.getContext());
}

mlir::LogicalResult buildPack(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = PackPlan::of(kernel);
  auto schedule = BlockSchedule::of(kernel);
  if (failed(plan) || failed(schedule))
    return mlir::failure();
  int64_t nr = plan->nr, lanes = k.lanes(plan->dtype);
  if (plan->group && nr % lanes != 0)
    return kernel.emitError() << "internal: panels of codes are whole vectors of " << lanes << " columns: they have " << nr;
  Size depth = plan->sizes.back(), rows = plan->rows(), panels = plan->panels(), blocks = Size::ceilDiv(panels, Size(schedule->block));
  // What is read passes the caches, too.
  bool lines = k.storesLines(plan->panelType, {plan->count(), Size(2) * depth, Size(nr)}, nr / lanes);

  k.stage(plan->matrices() * blocks, plan->count() * depth * Size(nr), [&](Value item) {
    Value matrix = k.div(item, k.size(blocks)), first = k.mul(k.rem(item, k.size(blocks)), schedule->block);
    Value last = k.min(k.add(first, schedule->block), k.size(panels)), width = k.size(rows), height = k.size(depth);
    Value source = k.at(k.input(0), k.add(k.mul(matrix, k.size(rows * depth)), k.size(plan->before)), plan->dtype);
    auto panelAt = [&](Value panel) {
      Value number = k.add(k.mul(matrix, k.size(panels)), panel);
      return k.at(k.output(0), k.mul(number, k.mul(height, nr)), plan->panelType);
    };
    auto copy = [&](Value panel, Value count, Value to) {
      Value row = k.mul(panel, nr), inside = k.min(k.sub(width, row), k.mul(count, nr));
      copyPanels(k, plan->dtype, {k.at(source, row, plan->dtype), width}, height, inside, count, nr, to, lines);
    };
    if (plan->exchanged && !plan->inPairs)
      return copy(first, k.sub(last, first), panelAt(first));
    Value turned = plan->group ? k.scratch(bytesOf(plan->dtype, depth * Size(nr))) : Value();
    Value plain = plan->inPairs ? k.scratch(bytesOf(plan->panelType, depth * Size(nr))) : Value();
    k.loop(first, last, k.index(1), [&](Value panel) {
      Value row = k.mul(panel, nr), inside = k.min(k.sub(width, row), k.index(nr));
      Value result = panelAt(panel), to = plain ? plain : result;
      Matrix lying{k.at(source, k.mul(row, height), plan->dtype), height};
      if (plan->group) {
        turnPanel(k, plan->dtype, lying, height, inside, nr, turned, plan->dtype);
        Value number = k.add(k.mul(matrix, k.size(panels)), panel);
        Value scales = k.at(k.output(1), k.mul(number, k.size(Size::ceilDiv(depth, Size(plan->group)) * Size(nr))), DType::BF16);
        return quantizePanel(k, {turned, k.index(nr)}, height, inside, plan->group, {result, scales});
      }
      if (plan->exchanged)
        copy(panel, k.index(1), to);
      else
        turnPanel(k, plan->dtype, lying, height, inside, nr, to, plan->panelType, lines);
      if (plain)
        pairRows(k, plain, height, nr, result);
    });
  });
  return mlir::success();
}

} // namespace moec::codegen::cpu
