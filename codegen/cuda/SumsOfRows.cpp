#include "codegen/cuda/SumsOfRows.h"

#include "codegen/cuda/ElementText.h"

namespace moec::codegen::cuda {

namespace {

constexpr int64_t kPiece = 256; // rows
constexpr int64_t kFew = 1024;  // rows that are not worth a launch for their pieces
constexpr int kThreads = 256;

std::string argument(KernelText& k, mlir::Value value) { return k.input(mlir::cast<mlir::BlockArgument>(value).getArgNumber()); }
Size slabsOf(const Size& columns) { return Size::ceilDiv(columns, 32); }
Size piecesOf(const SumOfRows& sum) { return Size::ceilDiv(sum.count, kPiece); }

/// Rows [begin, end) of `pointer` (.., columns), summed up at `column`, into `to`[`place` + column].
struct ColumnSum {
  std::string pointer, begin, end;
  DType type;
  Size columns;
  std::string to, place;
  DType toType;

  /// `parts`: shared, of 32 doubles for each warp.
  void print(KernelText& k, Lines& lines, std::string_view parts) const {
    k.use("sums.cuh");
    lines.line("const double sum = sumOfRows({}, (int)({}), (int)({}), column < {},", parts, begin, end, k.size(columns));
    lines.line("    [&](int row) {{ return {}; }});", loadText(type, pointer, fmt::format("(long long)row * {} + column", k.size(columns))));
    lines.line("if (threadIdx.x < 32 && column < {})", k.size(columns));
    lines.line("  {}", storeText(toType, to, place.empty() ? "column" : fmt::format("{} + column", place), fmt::format("({})sum", registerType(toType))));
  }
};

} // namespace

//===--- beside a product ---===//

mlir::FailureOr<SumsBeside> SumsBeside::of(KernelText& k) {
  SumsOfRows sums = SumsOfRows::of(k.kernel());
  for (const SumOfRows& sum : sums.sums)
    if (failed(rowsInput(k.kernel(), sum)))
      return mlir::failure();
  return SumsBeside(k, std::move(sums));
}

Size SumsBeside::blocks() const {
  Size blocks = 0;
  for (const SumOfRows& sum : sums_.sums)
    blocks = blocks + Size(sum.groups) * slabsOf(sum.columns);
  return blocks;
}

void SumsBeside::printSum(Lines& lines, const SumOfRows& sum, const Size& firstBlock) const {
  std::string slabs = k_->size(slabsOf(sum.columns));
  lines.line("const long long index = blockIdx.x - {}, column = index % {} * 32 + threadIdx.x % 32;", k_->size(firstBlock), slabs);
  ColumnSum column{argument(*k_, sum.rows), "0", k_->size(sum.count), sum.dtype, sum.columns, k_->output(sum.result), "", sum.dtype};
  if (sum.routing) {
    std::string offsets = argument(*k_, sum.routing);
    lines.line("const long long expert = index / {};", slabs);
    column.begin = offsets + "[expert]";
    column.end = offsets + "[expert + 1]";
    column.place = fmt::format("expert * {}", k_->size(sum.columns));
  }
  column.print(*k_, lines, "room.parts");
  lines.line("return;");
}

void SumsBeside::print(Lines& lines, int threads) const {
  if (empty()) {
    lines.line("__shared__ Tile::Shared shared;");
    lines.line("const long long block = blockIdx.x;");
    return;
  }
  k_->declare(fmt::format("union Room {{\n  Tile::Shared tile;\n  double parts[{}][32];\n}};\n", threads / 32));
  lines.line("__shared__ Room room;");
  Size first = 0;
  for (const SumOfRows& sum : sums_.sums) {
    Size end = first + Size(sum.groups) * slabsOf(sum.columns);
    lines.open("if (blockIdx.x < {})", k_->size(end));
    printSum(lines, sum, first);
    lines.close();
    first = end;
  }
  lines.line("Tile::Shared& shared = room.tile;");
  lines.line("const long long block = blockIdx.x - {};", k_->size(first));
}

//===--- over the rows of a kernel ---===//

SumsOverRows::SumsOverRows(KernelText& k, std::vector<SumOfRows> sums) : k_(k), sums_(std::move(sums)) {
  for (const SumOfRows& sum : sums_) {
    bool isArgument = mlir::isa<mlir::BlockArgument>(sum.rows);
    pointers_.push_back(isArgument ? argument(k_, sum.rows) : k_.addWorkspace(sum.dtype, sum.count * sum.columns));
    bool areFew = sum.count.constant().value_or(kFew + 1) <= kFew;
    partials_.push_back(areFew ? "" : k_.addWorkspace(DType::F64, piecesOf(sum) * sum.columns));
  }
}

struct SumsOverRows::Step {
  std::string pointer;
  DType type;
  Size columns, rows, pieces, pieceRows;
  std::string to;
  DType toType;

  Size blocks() const { return pieces * slabsOf(columns); }
};

void SumsOverRows::addStage(std::string_view name, std::string_view summary, const std::vector<Step>& steps) {
  Lines lines;
  lines.line("__shared__ double parts[{}][32];", kThreads / 32);
  Size first = 0, operations = 0;
  for (const Step& step : steps) {
    std::string slabs = k_.size(slabsOf(step.columns)), rows = k_.size(step.rows), pieceRows = k_.size(step.pieceRows);
    lines.open("if (blockIdx.x >= {} && blockIdx.x < {})", k_.size(first), k_.size(first + step.blocks()));
    lines.line("const long long index = blockIdx.x - {}, column = index % {} * 32 + threadIdx.x % 32, piece = index / {};", k_.size(first), slabs, slabs);
    lines.line("const long long begin = piece * {0}, end = begin + {0} < {1} ? begin + {0} : {1};", pieceRows, rows);
    ColumnSum{step.pointer, "begin", "end", step.type, step.columns, step.to, fmt::format("piece * {}", k_.size(step.columns)), step.toType}.print(k_, lines,
                                                                                                                                                   "parts");
    lines.close();
    first = first + step.blocks();
    operations = operations + step.rows * step.columns;
  }
  k_.stage({.name = std::string(name), .summary = std::string(summary), .blocks = first, .threads = kThreads, .operations = operations, .body = lines.str()});
}

void SumsOverRows::addStages() {
  std::vector<Step> pieces, totals;
  for (auto [i, sum] : llvm::enumerate(sums_)) {
    Size count = piecesOf(sum);
    if (!partials_[i].empty())
      pieces.push_back({pointers_[i], sum.dtype, sum.columns, sum.count, count, kPiece, partials_[i], DType::F64});
    Step total{pointers_[i], sum.dtype, sum.columns, sum.count, 1, sum.count, k_.output(sum.result), sum.dtype};
    if (!partials_[i].empty())
      total = {partials_[i], DType::F64, sum.columns, count, 1, count, k_.output(sum.result), sum.dtype};
    totals.push_back(total);
  }
  if (!pieces.empty())
    addStage("pieces", fmt::format("A block sums up 32 columns of {} rows.", kPiece), pieces);
  addStage("sums", "A block sums up 32 columns.", totals);
}

} // namespace moec::codegen::cuda
