#include "codegen/cpu/ElementPuller.h"

#include "codegen/cpu/Elementwise.h"
#include "codegen/cpu/Reduction.h"

#include "llvm/ADT/TypeSwitch.h"

namespace moec::codegen::cpu {

using ir::Predicate;

ElementPuller::ElementPuller(KernelBuilder& k) : k_(k) {
  unsigned stream = 0;
  for (mlir::Operation& op : k_.kernel().getBody().front())
    if (mlir::isa<ir::RandomOp>(op))
      streams_[&op] = stream++;
}

//===--- coordinates ---===//

Values ElementPuller::coordinatesOf(Value linear, const ir::Sizes& sizes) {
  Values at(sizes.size());
  for (size_t i = sizes.size(); i-- > 0;) {
    if (i == 0) {
      at[i] = linear;
    } else {
      at[i] = k_.rem(linear, k_.size(sizes[i]));
      linear = k_.div(linear, k_.size(sizes[i]));
    }
  }
  return at;
}

Value ElementPuller::linearOf(const Values& at, const ir::Sizes& sizes) {
  Value linear = k_.index(0);
  for (size_t i = 0; i < sizes.size(); ++i)
    linear = i == 0 ? at[0] : k_.add(k_.mul(linear, k_.size(sizes[i])), at[i]);
  return linear;
}

/// Coordinates of an operand whose shape broadcasts to that of `at`.
Values ElementPuller::broadcast(const Values& at, const ir::Sizes& from, KernelBuilder& k) {
  Values result;
  for (size_t i = 0; i < from.size(); ++i)
    result.push_back(from[i] == Size(1) ? k.index(0) : at[at.size() - from.size() + i]);
  return result;
}

/// Coordinates in `from` of the element that stands at `at` in `to`. Equal last dimensions keep theirs, so that only what
/// really changes is divided.
Values ElementPuller::reshape(const Values& at, const ir::Sizes& to, const ir::Sizes& from) {
  size_t same = 0;
  while (same < to.size() && same < from.size() && to[to.size() - 1 - same] == from[from.size() - 1 - same])
    ++same;
  ir::Sizes toHead(to.begin(), to.end() - same), fromHead(from.begin(), from.end() - same);
  Values head(at.begin(), at.end() - same);
  Values result = coordinatesOf(linearOf(head, toHead), fromHead);
  result.append(at.end() - same, at.end());
  return result;
}

ElementPuller::Place ElementPuller::placeOf(mlir::Value value, const Values& at) {
  Place place{value.getAsOpaquePointer()};
  for (Value coordinate : at)
    place.push_back(coordinate.getAsOpaquePointer());
  return place;
}

//===--- elements ---===//

Value ElementPuller::elementAt(mlir::Value value, const Values& at) {
  Place place = placeOf(value, at);
  if (auto known = known_.find(place); known != known_.end())
    return known->second;
  Value element;
  if (mlir::isa<mlir::BlockArgument>(value))
    element = loadAt(value, linearOf(at, ir::sizesOf(value)));
  else
    element = compute(value.getDefiningOp(), value, at);
  return known_[place] = element;
}

/// The element of an argument at a row-major index.
Value ElementPuller::loadAt(mlir::Value argument, Value linear) {
  DType dtype = dtypeOf(argument);
  unsigned number = mlir::cast<mlir::BlockArgument>(argument).getArgNumber();
  return k_.loadElements(dtype, k_.at(k_.input(number), linear, dtype), 1);
}

Value ElementPuller::compute(mlir::Operation* op, mlir::Value value, const Values& at) {
  ir::Sizes sizes = ir::sizesOf(value);
  return llvm::TypeSwitch<mlir::Operation*, Value>(op)
      .Case([&](ir::ReshapeOp reshaped) {
        if (mlir::isa<mlir::BlockArgument>(reshaped.getX())) // the same place in memory: nothing is divided
          return loadAt(reshaped.getX(), linearOf(at, sizes));
        return elementAt(reshaped.getX(), reshape(at, sizes, ir::sizesOf(reshaped.getX())));
      })
      .Case([&](ir::TransposeOp transpose) {
        Values from(at.size());
        for (auto [i, axis] : llvm::enumerate(transpose.getPermutation()))
          from[axis] = at[i];
        return elementAt(transpose.getX(), from);
      })
      .Case([&](ir::SliceOp slice) {
        Values from = at;
        from[slice.getAxis()] = k_.add(at[slice.getAxis()], k_.size(Size::parse(slice.getStart().str())));
        return elementAt(slice.getX(), from);
      })
      .Case([&](ir::SliceAtOp slice) { return sliceAt(slice, at); })
      .Case([&](ir::BroadcastOp wide) { return elementAt(wide.getX(), broadcast(at, ir::sizesOf(wide.getX()), k_)); })
      .Case([&](ir::EmbeddingOp embedding) {
        Values idAt(at.begin(), at.end() - 1);
        Value id = elementAt(embedding.getIds(), idAt);
        DType dtype = dtypeOf(embedding.getIds());
        id = dtype == DType::U8 ? k_.widenUnsigned(id, k_.i64()) : k_.toInteger(id, k_.i64());
        return elementAt(embedding.getTable(), {id, at.back()});
      })
      .Case([&](ir::RandomOp random) { return drawAt(k_, random.getDistribution(), dtypeOf(value), streams_.lookup(op), linearOf(at, sizes)); })
      .Case([&](ir::ConstantOp constant) {
        DType dtype = dtypeOf(value);
        auto attr = mlir::cast<mlir::DenseElementsAttr>(constant.getValue());
        Value place = attr.isSplat() ? k_.index(0) : linearOf(at, sizes);
        return k_.loadElements(dtype, k_.at(k_.constantData(attr), place, dtype), 1);
      })
      .Case([&](ir::SizeOp size) { return numberOf(k_, size); })
      .Case([&](ir::ConcatOp concatenation) { return concat(concatenation, at); })
      .Case([&](ir::ReduceOp reduction) { return reduce(reduction, at); })
      .Case([&](ir::RelativeBiasOp bias) { return relativeBias(bias, at); })
      .Case([&](ir::RotaryOp rotation) { return rotary(rotation, at); })
      .Default([&](mlir::Operation*) {
        llvm::SmallVector<Value> operands;
        for (mlir::Value operand : op->getOperands())
          operands.push_back(elementAt(operand, broadcast(at, ir::sizesOf(operand), k_)));
        return elementwise(k_, op, operands);
      });
}

/// A chain of branches over the operands; each reads only its own.
Value ElementPuller::concat(ir::ConcatOp op, const Values& at) {
  int64_t axis = op.getAxis();
  std::function<Value(size_t, Size)> pick = [&](size_t i, Size start) {
    mlir::Value x = op.getXs()[i];
    Size size = ir::sizesOf(x)[axis];
    auto own = [&] {
      Values from = at;
      from[axis] = k_.sub(at[axis], k_.size(start));
      // What is computed in a branch is not known outside of it.
      std::map<Place, Value> before = known_;
      Value element = elementAt(x, from);
      known_ = std::move(before);
      return element;
    };
    if (i + 1 == op.getXs().size())
      return own();
    Value here = k_.compare(Predicate::LT, at[axis], k_.size(start + size));
    return k_.when(here, [&] { return Values{own()}; }, [&] { return Values{pick(i + 1, start + size)}; })[0];
  };
  return pick(0, Size(0));
}

//===--- reductions: sums of floats in f64 ---===//

Values ElementPuller::withAxis(const Values& at, int64_t axis, Value position) {
  Values from = at;
  from.insert(from.begin() + axis, position);
  return from;
}

Value ElementPuller::reduce(ir::ReduceOp op, const Values& at) {
  Reduction reduction(k_, op);
  Size count = ir::sizesOf(op.getX())[op.getAxis()];
  Value sum;
  if (auto totals = totals_.find(op); totals != totals_.end()) {
    sum = k_.load(reduction.type(), k_.at(k_.workspace(totals->second), linearOf(at, ir::sizesOf(op.getResult())), reduction.type()));
  } else if (auto line = lines_.find(op.getResult()); line != lines_.end() && llvm::equal(llvm::drop_end(at), line_) && at.back() == position_) {
    sum = k_.load(reduction.type(), k_.at(line->second, k_.sub(at.back(), lineStart_), reduction.type()));
  } else {
    sum = reduceHere(op, at);
  }
  return reduction.finish(sum, count);
}

/// Along neighbours in memory several sums run side by side: one alone waits for each of its additions.
Value ElementPuller::reduceHere(ir::ReduceOp op, const Values& at) {
  constexpr int64_t sideBySide = 8;
  Reduction reduction(k_, op);
  ir::Sizes sizes = ir::sizesOf(mlir::Value(op.getX()));
  auto axis = static_cast<size_t>(op.getAxis());
  int64_t width = axis + 1 == sizes.size() && sizes[axis].constant().value_or(1) % sideBySide == 0 ? sideBySide : 1;
  Values starts(static_cast<size_t>(width), reduction.start());
  Values sums = k_.loop(k_.index(0), k_.size(sizes[axis]), k_.index(width), starts, [&](Value i, const Values& carried) {
    Values next;
    for (auto [j, sum] : llvm::enumerate(carried)) {
      std::map<Place, Value> before = known_;
      Value element = elementAt(op.getX(), withAxis(at, op.getAxis(), k_.add(i, static_cast<int64_t>(j))));
      known_ = std::move(before);
      next.push_back(reduction.next(sum, element));
    }
    return next;
  });
  for (size_t half = sums.size() / 2; half > 0; half /= 2)
    for (size_t j = 0; j < half; ++j)
      sums[j] = reduction.next(sums[j], sums[j + half]);
  return sums[0];
}

void ElementPuller::reduceAlongLine(mlir::Value value, const Values& at, const Piece& piece) {
  mlir::Operation* op = value.getDefiningOp();
  if (!op || at.empty())
    return;
  if (ir::isElementwise(op)) {
    // Operands of the same shape are read at the same place.
    for (mlir::Value operand : op->getOperands())
      if (ir::sizesOf(operand) == ir::sizesOf(value))
        reduceAlongLine(operand, at, piece);
    return;
  }
  auto reduction = mlir::dyn_cast<ir::ReduceOp>(op);
  if (!reduction || reduction.getAxis() + 1 == ir::sizesOf(reduction.getX()).size() || lines_.contains(value) || totals_.contains(op))
    return;
  Reduction rule(k_, reduction);
  Size count = ir::sizesOf(reduction.getX())[reduction.getAxis()];
  Value& sums = scratch_[value];
  if (!sums)
    sums = k_.scratch(piece.most * Size(static_cast<int64_t>(byteSize(Reduction::kSumType))));
  auto sumAt = [&](Value j) { return k_.at(sums, k_.sub(j, piece.begin), rule.type()); };
  k_.loop(piece.begin, piece.end, k_.index(1), [&](Value j) { k_.store(rule.start(), sumAt(j)); });
  k_.loop(0, k_.size(count), 1, [&](Value i) {
    k_.loop(piece.begin, piece.end, k_.index(1), [&](Value j) {
      Values from = at;
      from.back() = j;
      startElement();
      Value element = elementAt(reduction.getX(), withAxis(from, reduction.getAxis(), i));
      k_.store(rule.next(k_.load(rule.type(), sumAt(j)), element), sumAt(j));
    });
  });
  lines_[value] = sums;
  line_.assign(at.begin(), at.end() - 1);
  lineStart_ = piece.begin;
}

} // namespace moec::codegen::cpu
