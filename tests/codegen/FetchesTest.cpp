// Owner of: which lines products fetch of what is read behind them, of the next slices of their operands and of what they write. Values cannot tell.
#include "codegen/CeilDiv.h"
#include "codegen/cpu/ProductSchedule.h"
#include "ir/reference/Evaluate.h"
#include "ir/reference/Interpreter.h"
#include "tests/codegen/MemoryRecord.h"
#include "tests/codegen/ProductCheck.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

namespace moec::testing {
namespace {

/// Panels of whole lines, with 16 registers and with 32: figures follow from schedules, and those of other targets are cut otherwise.
const std::vector<std::string> kTargets{"cpu:x86-64-v3", "cpu:x86-64-v3+soft-avx512"};
const std::string kTarget = kTargets[0];

std::string text(int64_t value) { return std::to_string(value); }

//===--- what was done with the lines of a tensor ---===//

/// Sums over the items of lines, of each line that an item reads (or writes) and fetches.
struct Lines {
  int64_t used = 0;      // read, or written
  int64_t unfetched = 0; // of those, the ones that no fetch came before
  int64_t fetches = 0;   // all of them
  int64_t again = 0;     // of lines that the item had fetched before
  int64_t late = 0;      // of lines that it had used before
  int64_t unused = 0;    // lines that were fetched and never used by the item
  int64_t outside = 0;   // fetches of what is not the tensor's

  bool operator==(const Lines&) const = default;
};
void PrintTo(const Lines& of, std::ostream* stream) {
  *stream << fmt::format("{} used, {} of them unfetched, {} fetches, {} again, {} late, {} unused, {} outside", of.used, of.unfetched, of.fetches, of.again,
                         of.late, of.unused, of.outside);
}

struct Fetches {
  int locality = 2;
  bool forWriting = false;
};

Lines linesOf(const MemoryRecord& record, size_t tensor, const Fetches& fetches = {}, Access use = Access::Read) {
  Lines result;
  for (const RecordedItem& item : record.items) {
    std::set<int64_t> fetched, used;
    for (const MemoryAccess& access : item.accesses)
      for (int64_t line = access.first.line; access.first.tensor == tensor && line < access.first.line + access.lines; ++line) {
        if (access.kind == use && used.insert(line).second) {
          ++result.used;
          result.unfetched += !fetched.contains(line);
        } else if (access.kind == Access::Fetch && access.locality == fetches.locality && access.forWriting == fetches.forWriting) {
          ++result.fetches;
          result.again += !fetched.insert(line).second;
          result.late += used.contains(line);
          result.outside += record.isOutside({tensor, line});
        }
      }
    for (int64_t line : fetched)
      result.unused += !used.contains(line);
  }
  return result;
}

/// Each line once, before it is read, and nothing else.
Lines eachOnce(const MemoryRecord& record, size_t tensor) {
  int64_t used = linesOf(record, tensor).used;
  return {.used = used, .fetches = used};
}

//===--- updates of weights ---===//

mlir::Value number(KernelMaker& maker, DType type, double value) {
  mlir::Type element = type == DType::F64 ? maker.builder().getF64Type() : maker.builder().getF32Type();
  return maker.make<ir::ConstantOp>(mlir::DenseElementsAttr::get(mlir::RankedTensorType::get({}, element), maker.builder().getFloatAttr(element, value)));
}

struct Case {
  const char* name;
  DType type;
  int64_t matrices, depth, columns, width; // the weight is (matrices, columns, width), of `depth` rows each
  bool depthIsKnown = false;
  bool oneVector = false; // panels of one vector: where a target has few registers, turns of the depth are one by one
};
void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

constexpr unsigned kDy = 0, kX = 1, kSquares = 2, kParameter = 3;

/// What stands behind a gradient: two states, in the memory of which their new values lie, with a root and a division.
llvm::SmallVector<mlir::Value> update(KernelMaker& maker, mlir::Value gradient, mlir::Value squares, mlir::Value parameter) {
  squares = maker.make<ir::AddOp>(squares, maker.make<ir::MulOp>(gradient, gradient));
  mlir::Value root = maker.make<ir::AddOp>(maker.make<ir::SqrtOp>(squares), number(maker, codegen::dtypeOf(gradient), 0.5));
  return {squares, maker.make<ir::SubOp>(parameter, maker.make<ir::DivOp>(gradient, root))};
}

/// `isLight`: of one state alone, so little that sums go from the registers to it.
MemoryRecord recordOf(const Case& c, const std::string& target, bool isLight = false) {
  auto context = makeContext();
  KernelMaker maker(*context);
  auto tensor = [&](const std::string& rows, int64_t columns) { return maker.tensor(c.type, {text(c.matrices), rows, text(columns)}); };
  auto turned = [&](mlir::Value rows) { return maker.make<ir::TransposeOp>(rows, maker.builder().getDenseI64ArrayAttr({0, 2, 1})); };
  std::string depth = c.depthIsKnown ? text(c.depth) : "t";
  mlir::Value dy = tensor(depth, c.columns), x = tensor(depth, c.width), gradient = maker.make<ir::MatmulOp>(turned(dy), turned(x));
  std::vector<Tensor> inputs{randomTensor(c.type, {c.matrices, c.depth, c.columns}, 1), randomTensor(c.type, {c.matrices, c.depth, c.width}, 2)};
  mlir::Value squares = tensor(text(c.columns), c.width);
  llvm::SmallVector<mlir::Value> results =
      isLight ? llvm::SmallVector<mlir::Value>{maker.make<ir::SubOp>(squares, gradient)} : update(maker, gradient, squares, tensor(text(c.columns), c.width));
  llvm::SmallVector<codegen::InPlace> inPlace;
  for (unsigned state = 0; state < results.size(); ++state) {
    inputs.push_back(randomTensor(c.type, {c.matrices, c.columns, c.width}, 3 + state));
    inPlace.push_back({state, kSquares + state});
  }
  ir::KernelOp kernel = maker.finish("weight_update", results);
  if (c.oneVector) {
    const codegen::cpu::CpuTarget& cpu = *codegen::cpu::findTarget(target);
    std::string error;
    auto schedule = codegen::cpu::ProductSchedule::from(codegen::makeEmitter(target, error)->chooseSchedule(kernel));
    schedule->nr = codegen::cpu::lanesOf(cpu, c.type);
    schedule->rows = codegen::cpu::mostRows(cpu, 1);
    schedule->rowBlock = codegen::ceilDiv(c.columns, schedule->rows) * schedule->rows;
    kernel.setScheduleAttr(schedule->attr(context.get()));
  }
  return recordMemory(kernel, target, inputs, {{{"t", c.depth}}}, inPlace);
}

class FetchesOfUpdates : public ::testing::TestWithParam<Case> {};

TEST_P(FetchesOfUpdates, eachLineOfTheStatesOnceBeforeItIsRead) {
  for (const std::string& target : kTargets) {
    MemoryRecord record = recordOf(GetParam(), target);
    for (size_t state : {kSquares, kParameter})
      EXPECT_EQ(linesOf(record, state), eachOnce(record, state)) << target << ", tensor " << state;
  }
}

const Case kUpdates[] = {
    // Rows that fall onto each other in L1: what is fetched is 24 rows ahead.
    {"twoKiBApart", DType::F32, 2, 40, 48, 512},
    {"fourKiBApart", DType::F32, 1, 40, 48, 1024},
    {"eightKiBApart", DType::F32, 1, 40, 48, 2048},
    {"fourteenKiBApart", DType::F32, 1, 40, 48, 3584},
    {"ofF64Apart", DType::F64, 1, 40, 48, 512},
    {"severalMatrices", DType::F32, 3, 40, 48, 1024},
    {"severalSlices", DType::F32, 1, 300, 72, 1024},
    {"severalItemsOfRows", DType::F32, 1, 26, 400, 1024},
    {"rowsThatAreNoWholeBlocks", DType::F32, 1, 40, 50, 1024},
    {"rowsABitMoreThanTheLead", DType::F32, 1, 40, 26, 1024},
    {"fewerRowsThanTheLead", DType::F32, 2, 40, 13, 1024},
    {"oneBlockOfRows", DType::F32, 2, 40, 6, 1024},
    {"threeRows", DType::F32, 2, 40, 3, 1024},
    {"depthOfOne", DType::F32, 1, 1, 50, 1024},
    {"shortDepth", DType::F32, 1, 10, 50, 1024},
    {"shortDepthOfF64", DType::F64, 1, 23, 50, 512},
    {"knownDepth", DType::F32, 1, 40, 50, 1024, true},
    {"shortKnownDepth", DType::F32, 1, 10, 50, 1024, true},
    // Rows that do not: a block of registers fetches its own.
    {"notApart", DType::F32, 2, 40, 48, 112},
    {"notApartNoWholeBlocks", DType::F32, 2, 40, 50, 112},
    {"notApartOfF64", DType::F64, 2, 40, 50, 56},
    {"notApartSeveralSlices", DType::F32, 2, 300, 50, 112},
    {"narrow", DType::F32, 2, 40, 50, 16},
};

INSTANTIATE_TEST_SUITE_P(Shapes, FetchesOfUpdates, ::testing::ValuesIn(kUpdates), [](const auto& info) { return std::string(info.param.name); });

/// Panels of one vector: where that is half of a line, two panels have it. Turns of the depth are one by one there, where a target has few registers.
TEST(FetchesBehindUpdates, ofPanelsOfOneVector) {
  for (const Case& c : {Case{"", DType::F32, 1, 60, 50, 1024, false, true}, Case{"", DType::F64, 1, 60, 50, 512, false, true}}) {
    MemoryRecord record = recordOf(c, kTarget);
    int64_t panels = 64 / codegen::cpu::findTarget(kTarget)->vectorBytes;
    for (size_t state : {kSquares, kParameter}) {
      Lines lines = linesOf(record, state);
      EXPECT_EQ(lines.used, 3200);
      EXPECT_EQ(lines.fetches, panels * lines.used);
      EXPECT_EQ(lines.unfetched + lines.unused + lines.outside, 0) << ::testing::PrintToString(lines);
    }
  }
}

/// Rows begin anywhere in a line there: with those of a panel's row the line that it ends in is fetched, and so may be one line behind the tensor.
TEST(FetchesBehindUpdates, ofRowsThatShareLines) {
  for (const Case& c : {Case{"", DType::F32, 2, 40, 50, 60}, Case{"", DType::F32, 2, 40, 50, 300}, Case{"", DType::F64, 2, 40, 50, 60},
                        Case{"", DType::F32, 2, 40, 50, 1020}, Case{"", DType::F32, 2, 40, 50, 7}}) {
    MemoryRecord record = recordOf(c, kTarget);
    for (size_t state : {kSquares, kParameter}) {
      Lines lines = linesOf(record, state);
      EXPECT_GE(lines.used, record.lines[state]);
      EXPECT_EQ(lines.unfetched, 0) << "rows of " << c.width;
      EXPECT_LE(lines.outside, 1) << "rows of " << c.width;
      EXPECT_LE(lines.unused, c.matrices * c.columns) << "rows of " << c.width << ": at most one for each row";
    }
  }
}

/// Where rows do not fall onto each other, a block of registers fetches a row in a turn of its depth. What is multiplied in fewer turns than it has rows is
/// read so soon that the others would come no earlier.
TEST(FetchesBehindUpdates, ofADepthThatIsShorterThanABlockOfRegisters) {
  MemoryRecord record = recordOf({"", DType::F32, 2, 3, 48, 112}, kTarget); // six rows in a block
  for (size_t state : {kSquares, kParameter})
    EXPECT_EQ(linesOf(record, state), (Lines{.used = 2 * 48 * 7, .unfetched = 2 * 24 * 7, .fetches = 2 * 24 * 7}));
}

/// So does an expert without rows: it has no products. Where rows fall onto each other theirs are fetched all the same, some before all are read.
TEST(FetchesBehindUpdates, ofExpertsWithFewRowsAndWithNone) {
  constexpr int64_t experts = 3, rows = 34, columns = 50;
  std::vector<int32_t> chosen(rows, 1); // none of the first, four of the last
  std::fill_n(chosen.begin(), 4, 2);
  for (auto [width, isApart] : {std::pair<int64_t, bool>{1024, true}, {112, false}}) {
    auto context = makeContext();
    KernelMaker maker(*context);
    mlir::Value dy = maker.tensor(DType::F32, {"t", text(columns)}), x = maker.tensor(DType::F32, {"t", text(width)});
    mlir::Value gradient = maker.make<ir::GroupedWeightGradOp>(dy, x, maker.routing(experts, "t", 1));
    auto state = [&] { return maker.tensor(DType::F32, {text(experts), text(columns), text(width)}); };
    mlir::Value squares = state(), parameter = state();
    std::vector<Tensor> inputs{randomTensor(DType::F32, {rows, columns}, 1), randomTensor(DType::F32, {rows, width}, 2), routingTensor(chosen, experts, 1)};
    for (uint32_t seed : {3, 4})
      inputs.push_back(randomTensor(DType::F32, {experts, columns, width}, seed));
    MemoryRecord record =
        recordMemory(maker.finish("weight_update", update(maker, gradient, squares, parameter)), kTarget, inputs, {{{"t", rows}}}, {{0, 3}, {1, 4}});
    for (size_t tensor : {3, 4}) {
      Lines lines = linesOf(record, tensor);
      EXPECT_EQ(lines.again + lines.late + lines.unused + lines.outside, 0) << ::testing::PrintToString(lines);
      EXPECT_EQ(lines.used, record.lines[tensor]);
      if (isApart)
        EXPECT_EQ(lines.unfetched, 0);
      else
        EXPECT_GE(lines.unfetched, record.lines[tensor] / experts);
      EXPECT_GT(lines.fetches, 0);
    }
  }
}

/// The sums of a small weight's runs are added up in a stage of their own, which has no products to fetch beside; one run has none either.
TEST(FetchesBehindUpdates, ofSmallWeightsInRunsThereAreNone) {
  for (int64_t depth : {40, 600}) {
    MemoryRecord record = recordOf({"", DType::F32, 1, depth, 50, 112}, kTarget);
    for (size_t state : {kSquares, kParameter})
      EXPECT_EQ(linesOf(record, state), (Lines{.used = 350, .unfetched = 350}));
  }
}

/// Sums that go from the registers to the results: their lines are fetched for writing, before the products.
TEST(FetchesBehindUpdates, ofSumsThatAreInRegisters) {
  for (const Case& c : {Case{"", DType::F32, 1, 40, 50, 1024}, Case{"", DType::F32, 2, 300, 50, 112}, Case{"", DType::F64, 2, 40, 50, 56}}) {
    MemoryRecord record = recordOf(c, kTarget, /*isLight=*/true);
    Fetches forWriting{3, true};
    int64_t used = linesOf(record, kSquares, forWriting, Access::Write).used;
    EXPECT_EQ(used, record.lines[kSquares]);
    for (Access use : {Access::Read, Access::Write})
      EXPECT_EQ(linesOf(record, kSquares, forWriting, use), (Lines{.used = used, .fetches = used}));
    EXPECT_EQ(linesOf(record, kSquares).fetches, 0);
  }
}

//===--- slices of the operands of gradients ---===//

/// Of 301 rows slices are 104, 104 and 93: beside the products of one the next one is fetched into L2, and sixteen rows before it is copied a row into L1.
TEST(FetchesOfSlices, areOfTheNextOne) {
  constexpr int64_t depth = 301, slice = 104, ahead = 16, width = 1024, inRow = width / 16;
  for (int64_t columns : {72, 180, 182}) { // few blocks of registers fetch their columns row by row; many a row or two each, line by line
    MemoryRecord record = recordOf({"", DType::F32, 1, depth, columns, width}, kTarget);
    Lines x = linesOf(record, kX), dy = linesOf(record, kDy);
    EXPECT_EQ(x.unfetched, slice * inRow) << "all but the first slice, which no products stand before";
    EXPECT_EQ(x.again + x.late, 0);
    EXPECT_LE(x.outside, 3 * inRow) << "turns of the depth are four";
    EXPECT_EQ(x.unused, x.outside);
    auto items = static_cast<int64_t>(record.items.size());
    EXPECT_EQ(dy.unfetched, items * slice * columns / 16);
    EXPECT_EQ(dy.late, 0);
    Lines copied = linesOf(record, kX, {3});
    EXPECT_EQ(copied.unfetched, ahead * inRow) << "of the first slice, too";
    EXPECT_EQ(copied.unused, ahead * inRow) << "behind the last row";
    int64_t vectors = 64 / codegen::cpu::findTarget(kTarget)->vectorBytes; // each asks for its line
    EXPECT_EQ(copied.fetches, vectors * copied.used);
  }
}

//===--- products of rows and weights ---===//

struct Product {
  const char* name;
  DType type;
  int64_t rows, columns, depth;
  bool isPacked = true;
  std::optional<WeightsAs> as = {};
};
void PrintTo(const Product& one, std::ostream* stream) { *stream << one.name; }

constexpr size_t kWeights = 1;

/// y = gelu(a w) * r + s, r and s of y's shape and the last arguments.
MemoryRecord recordOf(const Product& p, const std::string& target) {
  auto context = makeContext();
  auto write = [&](KernelMaker& maker, const Weights& weights) {
    mlir::Value a = maker.tensor(p.type, {"m", text(p.depth)}), w = weights(maker, p.type, {p.columns, p.depth});
    mlir::Value scale = maker.tensor(p.type, {"m", text(p.columns)}), added = maker.tensor(p.type, {"m", text(p.columns)});
    mlir::Value y = maker.make<ir::GeluOp>(maker.make<ir::MatmulOp>(a, w));
    return maker.finish("matmul", {maker.make<ir::AddOp>(maker.make<ir::MulOp>(y, scale), added)});
  };
  std::vector<Tensor> inputs{randomTensor(p.type, {p.rows, p.depth}, 1)};
  Tensor w = randomTensor(p.type, {p.columns, p.depth}, 2);
  std::optional<int64_t> nr;
  if (p.isPacked) {
    KernelMaker plain(*context);
    std::string error;
    nr = codegen::makeEmitter(target, error)->chooseSchedule(write(plain, Weights(std::nullopt))).getAs<mlir::IntegerAttr>("nr").getInt();
  }
  if (p.as) {
    reference::Quantized quantized = reference::quantize(w, p.as->group);
    inputs.push_back(reference::pack(quantized.codes, *nr));
    inputs.push_back(reference::pack(quantized.scales, *nr));
  } else {
    inputs.push_back(nr ? reference::pack(w, *nr) : w);
  }
  for (uint32_t seed : {3, 4})
    inputs.push_back(randomTensor(p.type, {p.rows, p.columns}, seed));
  KernelMaker maker(*context);
  return recordMemory(write(maker, Weights(nr, p.as)), target, inputs, {{{"m", p.rows}}});
}

class FetchesBehindProducts : public ::testing::TestWithParam<Product> {};

TEST_P(FetchesBehindProducts, eachLineOnceBeforeItIsRead) {
  MemoryRecord record = recordOf(GetParam(), kTarget);
  size_t last = record.lines.size() - 2; // before the result
  for (size_t tensor : {last - 1, last})
    EXPECT_EQ(linesOf(record, tensor), eachOnce(record, tensor)) << "tensor " << tensor;
}

const Product kProducts[] = {
    {"apart", DType::F32, 50, 1024, 64},
    {"apartOfF64", DType::F64, 26, 512, 64},
    {"apartShortDepth", DType::F32, 12, 512, 12},
    {"notApart", DType::F32, 48, 304, 64},
    {"notApartOfF64", DType::F64, 50, 304, 64},
    {"severalSlices", DType::F32, 50, 256, 2048, false},
    {"plainWeights", DType::F32, 20, 512, 64, false},
    {"codes", DType::F32, 50, 512, 64, true, WeightsAs{WeightsAs::Kind::Int8, 32}},
    {"codesNotApart", DType::F32, 48, 304, 64, true, WeightsAs{WeightsAs::Kind::Int8, 32}},
};

INSTANTIATE_TEST_SUITE_P(Shapes, FetchesBehindProducts, ::testing::ValuesIn(kProducts), [](const auto& info) { return std::string(info.param.name); });

/// Rows of at most 256 bytes the machine foresees, and few rows are read as soon as they are multiplied.
TEST(FetchesBehindProductsOf, narrowRowsAndFewRowsAreNone) {
  MemoryRecord narrow = recordOf(Product{"", DType::F32, 50, 64, 64}, kTarget);
  EXPECT_EQ(linesOf(narrow, 2), (Lines{.used = 200, .unfetched = 200}));
  MemoryRecord few = recordOf(Product{"", DType::F32, 50, 304, 64}, kTarget); // the last two of blocks of twelve
  EXPECT_EQ(linesOf(few, 2), (Lines{.used = 50 * 19, .unfetched = 2 * 19, .fetches = 48 * 19}));
}

/// Panels that L1 does not hold: those behind one, which an item's rows meet next, are fetched into L2 by the first two blocks of registers, half of them each,
/// and behind the item's last one the first one of the next item. Into L1 all are 4 KiB ahead.
TEST(FetchesOfPanels, areOfTheNextOne) {
  constexpr int64_t depth = 520, rows = 20, ahead = 64;
  MemoryRecord record = recordOf(Product{"", DType::F32, rows, 512, depth}, kTarget);
  int64_t panel = depth, items = 0;
  for (const RecordedItem& item : record.items)
    items += llvm::any_of(item.accesses, [](const MemoryAccess& access) { return access.first.tensor == kWeights; });
  Lines all = linesOf(record, kWeights), first = linesOf(record, kWeights, {3});
  EXPECT_EQ(all, (Lines{.used = 32 * panel, .unfetched = items * panel, .fetches = 32 * panel, .unused = items * panel, .outside = panel}));
  EXPECT_EQ(first.unfetched, items * ahead);
  EXPECT_EQ(first.unused, items * ahead);
}

/// Panels that a call makes of a plain weight: what the next one is made of.
TEST(FetchesOfPanels, areOfWhatTheyAreMadeOf) {
  MemoryRecord record = recordOf(Product{"", DType::F32, 20, 1024, 64, false}, kTarget);
  constexpr int64_t panel = 64;
  auto items = static_cast<int64_t>(record.items.size());
  int64_t used = 64 * panel;
  EXPECT_EQ(linesOf(record, kWeights), (Lines{.used = used, .unfetched = items * panel, .fetches = used - items * panel}));
}

} // namespace
} // namespace moec::testing
