#include "codegen/cpu/ProductSchedule.h"

#include <numeric>

namespace moec::codegen::cpu {
namespace {

constexpr int64_t kFewItems = 8; // so few that threads wait for each other

mlir::DictionaryAttr dictionary(mlir::MLIRContext* context, std::initializer_list<std::pair<llvm::StringRef, int64_t>> entries) {
  mlir::Builder builder(context);
  llvm::SmallVector<mlir::NamedAttribute> attributes;
  for (auto [name, value] : entries)
    attributes.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(value)));
  return builder.getDictionaryAttr(attributes);
}

std::optional<int64_t> integer(mlir::DictionaryAttr attr, llvm::StringRef name) {
  auto value = attr ? attr.getAs<mlir::IntegerAttr>(name) : nullptr;
  return value ? std::optional<int64_t>(value.getInt()) : std::nullopt;
}

std::optional<std::string> illegalBlock(const CpuTarget& target, DType dtype, int64_t rows, int64_t nr) {
  int64_t lanes = lanesOf(target, dtype);
  if (nr <= 0 || nr % lanes != 0)
    return "nr " + std::to_string(nr) + " is not a multiple of the " + std::to_string(lanes) + " lanes of " + target.name;
  if (rows <= 0 || rows * (nr / lanes) + nr / lanes + 1 > target.vectorRegisters)
    return "a block of " + std::to_string(rows) + " x " + std::to_string(nr) + " does not fit into the registers of " + target.name;
  return std::nullopt;
}

// One or two tiles high and wide: their sums, and what they are multiplied of, are the eight that there are.
std::optional<std::string> illegalTiles(const CpuTarget& target, DType dtype, const ProductSchedule& s) {
  if (target.tiles == TileKind::None)
    return target.name + " has no tiles";
  if (dtype != DType::BF16)
    return "tiles are of bf16";
  if ((s.rows != Tiles::kRows && s.rows != 2 * Tiles::kRows) || (s.nr != Tiles::kColumns && s.nr != 2 * Tiles::kColumns))
    return "a block of " + std::to_string(s.rows) + " x " + std::to_string(s.nr) + " is not one or two tiles high and wide";
  if (s.slice % Tiles::kDepth != 0)
    return "slice " + std::to_string(s.slice) + " is not a multiple of the " + std::to_string(Tiles::kDepth) + " that tiles are deep";
  return std::nullopt;
}

bool isWholeTiles(const Size& depth) { return depth.isConstant() && *depth.constant() > 0 && *depth.constant() % Tiles::kDepth == 0; }

// Two vectors a panel keep the units busy with the fewest loads; one vector wins where two would mostly multiply zeros. Of several products, as large but for
// their columns.
int64_t vectorsFor(std::initializer_list<int64_t> products, int64_t lanes) {
  double one = 0, two = 0;
  for (int64_t columns : products) {
    one += 1.1 * static_cast<double>(ceilDiv(columns, lanes));
    two += 2.0 * static_cast<double>(ceilDiv(columns, 2 * lanes));
  }
  return one < two ? 1 : 2;
}
int64_t vectorsFor(int64_t columns, int64_t lanes) { return vectorsFor({columns}, lanes); }

/// Whether calls make the panels of a weight that fills L2, or, of a transposed a, its gradient. Not where rows are known to be so many that they are read
/// often.
bool makesLargePanels(const ProductShape& shape) {
  constexpr int64_t few = 256;
  if ((shape.transposed ? shape.depth : shape.rows).constant().value_or(0) > few)
    return false;
  int64_t columns = shape.columns.constant().value_or(1024), others = (shape.transposed ? shape.rows : shape.depth).constant().value_or(1024);
  return shape.packedByCalls && columns * others * bytesOfSum(shape.dtype) >= kL2Bytes;
}

/// Vectors of a panel. Large ones that are made in every call are, with few rows, written and read once or twice, from memory: those of one vector are whole
/// lines of what they are made of, and their blocks nearly as fast where a unit takes a cycle for 64 bytes (Zen 4, 21 tokens: most products of language models'
/// steps take 0.7 to 0.8 of the time). Experts of large layers have rows enough: with 512 each, panels of two vectors take 2 to 5 % less. Columns of three
/// vectors are one panel, for which rows are read once.
int64_t vectorsOf(const ProductShape& shape, int64_t columns, int64_t lanes, const CpuTarget& target) {
  if (shape.packedNr)
    return std::max<int64_t>(1, *shape.packedNr / lanes);
  if (makesLargePanels(shape) && target.vectorBytes == 64)
    return 1;
  return ceilDiv(columns, lanes) == 3 && !shape.sharesWidth ? 3 : vectorsFor(columns, lanes);
}

} // namespace

// The sums, one row of the panel and one element of a must fit into the registers; 32-register targets take the element from memory.
int64_t mostRows(const CpuTarget& target, int64_t vectors) {
  int64_t sums = target.vectorRegisters - vectors - (target.vectorRegisters > 16 ? 2 : 1);
  return std::min<int64_t>(12, sums / vectors);
}

std::optional<std::string> ProductSchedule::illegal(const CpuTarget& target, DType dtype) const {
  if (auto why = tiles ? illegalTiles(target, dtype, *this) : illegalBlock(target, dtype, rows, nr))
    return why;
  if (rowBlock <= 0 || rowBlock % rows != 0)
    return "row_block " + std::to_string(rowBlock) + " is not a multiple of rows " + std::to_string(rows);
  if (dtype == DType::BF16 && !packRows)
    return "rows of bf16 are copied first: pack_rows must be 1";
  if (slice <= 0 || panels <= 0)
    return "slice " + std::to_string(slice) + " and panels " + std::to_string(panels) + " must be positive";
  return std::nullopt;
}

mlir::DictionaryAttr ProductSchedule::attr(mlir::MLIRContext* context) const {
  mlir::DictionaryAttr entries =
      dictionary(context, {{"rows", rows}, {"nr", nr}, {"slice", slice}, {"row_block", rowBlock}, {"panels", panels}, {"pack_rows", packRows}});
  if (!tiles)
    return entries;
  mlir::NamedAttrList all(entries);
  all.set("tiles", mlir::Builder(context).getI64IntegerAttr(1));
  return all.getDictionary(context);
}

std::optional<ProductSchedule> ProductSchedule::from(mlir::DictionaryAttr attr) {
  auto rows = integer(attr, "rows"), nr = integer(attr, "nr"), slice = integer(attr, "slice"), rowBlock = integer(attr, "row_block"),
       panels = integer(attr, "panels"), packRows = integer(attr, "pack_rows");
  if (!rows || !nr || !slice || !rowBlock || !panels || !packRows)
    return std::nullopt;
  return ProductSchedule{*rows, *nr, *slice, *rowBlock, *panels, *packRows != 0, integer(attr, "tiles").value_or(0) != 0};
}

mlir::FailureOr<ProductSchedule> productScheduleOf(ir::KernelOp kernel, const CpuTarget& target, DType dtype, const ProductOperand& b) {
  if (!isFloat(dtype))
    return kernel.emitOpError("multiplies matrices of ") << name(dtype) << ": the CPU's products are f32, f64 and bf16";
  auto schedule = ProductSchedule::from(kernel.getScheduleAttr());
  if (!schedule)
    return kernel.emitOpError("has no complete schedule: rows, nr, slice, row_block, panels and pack_rows are needed");
  if (auto why = schedule->illegal(target, dtype))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  if (b.nr && *b.nr != schedule->nr)
    return kernel.emitOpError("has panels of ") << *b.nr << " columns and a schedule for " << schedule->nr;
  if (schedule->tiles != b.inPairs)
    return kernel.emitOpError() << (b.inPairs ? "has panels in pairs and a schedule without tiles"
                                              : "has a schedule with tiles and weights that do not lie in pairs");
  if (b.inPairs && !isWholeTiles(b.depth))
    return kernel.emitOpError("multiplies a depth of ") << b.depth.str() << " by tiles: it must be a multiple of " << Tiles::kDepth;
  if (b.scaled && schedule->slice % b.scaled->size != 0)
    return kernel.emitOpError("has scales for each ") << b.scaled->size << " of the depth and a schedule of slices of " << schedule->slice;
  return *schedule;
}

namespace {

// A transposed a: its block and the run of b's columns are copied slice by slice, and their sums stay in L2 beside them and beside what is fetched for the
// next slice. b's copy pays once for each row of the block, a's once for each column of the run. A narrow b needs no copy: then pieces are blocks of rows, and
// a, which is wider, is read once. Runs of the depth are pieces enough: each reads its rows once.
void cutTransposed(ProductSchedule& s, const ProductShape& shape, int64_t bytes) {
  constexpr int64_t most = 192, width = 512, fewest = 16; // rows of an item, bytes of its columns, items
  int64_t rows = std::max<int64_t>(1, shape.rows.constant().value_or(most)), all = ceilDiv(std::max<int64_t>(1, shape.columns.constant().value_or(1024)), s.nr);
  s.slice = 128;
  // Blocks are about equal, and of few an even number, for two threads take half of them each.
  int64_t blocks = ceilDiv(rows, most);
  if (blocks > 1 && blocks < kFewItems)
    blocks = 2 * ceilDiv(blocks, 2);
  s.rowBlock = ceilDiv(ceilDiv(rows, blocks), s.rows) * s.rows;
  s.panels = std::clamp<int64_t>(width / (s.nr * bytes), 1, all);
  // A product of few rows, as a gate's, is deep: its threads need pieces too.
  bool bIsNarrow = all * s.nr * bytes <= kNarrowBytes && rows * bytes > kNarrowBytes;
  if (bIsNarrow)
    s.rowBlock = std::min(s.rowBlock, ceilDiv(std::max<int64_t>(64, rows / 4), s.rows) * s.rows);
  else if (!shape.inRuns)
    s.panels = std::max<int64_t>(1, std::min(s.panels, all * blocks * std::max<int64_t>(1, shape.matrices.constant().value_or(1)) / fewest));
  s.panels = ceilDiv(all, ceilDiv(all, s.panels));
  s.packRows = true;
}

// About 512 columns an item, whose sums take half of L2 where the depth is several slices: enough work for each copy of its rows. Of few rows less, so
// that threads get pieces.
void cutPanels(ProductSchedule& s, const ProductShape& shape, int64_t columns) {
  int64_t all = ceilDiv(std::max<int64_t>(1, columns), s.nr), blocks = ceilDiv(shape.rows.constant().value_or(4096), s.rowBlock);
  int64_t pieces = std::max<int64_t>(4, all * blocks * std::max<int64_t>(1, shape.matrices.constant().value_or(1)) / 16);
  s.panels = ceilDiv(all, ceilDiv(all, std::clamp<int64_t>(512 / s.nr, 1, pieces)));
}

/// Whether a product goes by tiles: always where it can, whatever its rows are, so that their bits do not depend on it.
bool takesTiles(const ProductShape& shape, const CpuTarget& target) {
  bool fits = !shape.packedNr || *shape.packedNr == Tiles::kColumns || *shape.packedNr == 2 * Tiles::kColumns;
  return target.tiles != TileKind::None && shape.dtype == DType::BF16 && shape.inPairs && !shape.transposed && fits && isWholeTiles(shape.depth);
}

// A panel's slice of 512 is 32 KiB: it stays in L1, which rows pass by. Shorter slices load and store sums more often, and to store a tile takes nearly as long
// as to multiply one (hand-written kernels lost 20 % with 256). Machines with tiles have an L2 of 2 MiB.
ProductSchedule chooseTiles(const ProductShape& shape) {
  constexpr int64_t mostSlice = 512, mostBlock = 256;
  int64_t columns = shape.columns.constant().value_or(1024), depth = *shape.depth.constant(), rows = shape.rows.constant().value_or(mostBlock);
  ProductSchedule s;
  s.tiles = s.packRows = true;
  s.nr = shape.packedNr.value_or(vectorsFor(columns, Tiles::kColumns) * Tiles::kColumns);
  s.rows = rows <= Tiles::kRows ? Tiles::kRows : 2 * Tiles::kRows;
  s.slice = ceilDiv(ceilDiv(depth, ceilDiv(depth, mostSlice)), Tiles::kDepth) * Tiles::kDepth;
  s.rowBlock = ceilDiv(std::clamp<int64_t>(rows, 1, mostBlock), s.rows) * s.rows;
  cutPanels(s, shape, columns);
  return s;
}

} // namespace

ProductSchedule chooseProduct(const ProductShape& shape, const CpuTarget& target) {
  if (takesTiles(shape, target))
    return chooseTiles(shape);
  int64_t bytes = bytesOfSum(shape.dtype), lanes = lanesOf(target, shape.dtype);
  int64_t columns = shape.columns.constant().value_or(1024), depth = std::max<int64_t>(1, shape.depth.constant().value_or(1024));
  ProductSchedule s;
  int64_t vectors = vectorsOf(shape, columns, lanes, target);
  s.nr = vectors * lanes;
  s.rows = mostRows(target, vectors);
  if (shape.transposed) {
    cutTransposed(s, shape, bytes);
    return s;
  }
  // Equal slices: a panel's slice takes at most an eighth of L2. Slices that stay in L1 were no faster (x86-64-v3: 76 % against 82 % of the FMA rate at
  // depth 1024): panels are read in order, and each slice loads and stores the sums once more.
  int64_t width = std::max(s.nr, (makesLargePanels(shape) ? 2 : 1) * lanes); // panels of one vector that calls make are no deeper or taller
  int64_t most = std::max<int64_t>(64, kL2Bytes / 8 / (width * bytes));
  int64_t multiple = std::lcm(shape.group, int64_t{4});
  s.slice = ceilDiv(ceilDiv(depth, ceilDiv(depth, most)), multiple) * multiple;
  // A slice of an item's rows takes at most half of L2, and their sums over one panel half of L1.
  int64_t block = std::min(kL2Bytes / 2 / (s.slice * bytes), kL1Bytes / 2 / (width * bytes));
  // Of panels that L1 holds beside them, rows come from L2 for the first one alone.
  if (s.slice >= depth && columns > s.nr && columns * depth * bytes <= kL1Bytes / 2)
    block = std::min(block, kL1Bytes / 2 / (s.slice * bytes));
  block = std::min(block, std::max<int64_t>(s.rows, shape.rows.constant().value_or(block)));
  s.rowBlock = std::max<int64_t>(1, (block + s.rows - 1) / s.rows) * s.rows;
  cutPanels(s, shape, columns);
  // Rows a multiple of 1 KB apart fall onto each other in L1.
  s.packRows = shape.gathered || shape.dtype == DType::BF16 || (columns >= 64 && depth * bytes % 1024 == 0);
  return s;
}

Size panelsOfItem(const ProductSchedule& schedule, const Size& blocks, const Size& all) {
  return Size::min(schedule.panels, Size::max(1, Size::floorDiv(blocks * all, kFewItems)));
}

Size rowsOfItem(const ProductSchedule& schedule, const Size& matrices, const Size& all, bool bStays) {
  Size blocks = Size::max(1, Size::ceilDiv(all, schedule.rowBlock));
  if (bStays)
    blocks = Size::max(blocks, Size::ceilDiv(kFewItems, Size::max(1, matrices)));
  return Size::max(schedule.rows, Size::ceilDiv(Size::ceilDiv(all, blocks), schedule.rows) * Size(schedule.rows));
}

std::optional<std::string> AttentionSchedule::illegal(const CpuTarget& target, DType dtype) const {
  if (auto why = illegalBlock(target, dtype, rows, nr))
    return why;
  if (queries <= 0)
    return "queries " + std::to_string(queries) + " must be positive";
  return std::nullopt;
}

mlir::DictionaryAttr AttentionSchedule::attr(mlir::MLIRContext* context) const {
  return dictionary(context, {{"rows", rows}, {"nr", nr}, {"queries", queries}});
}

std::optional<AttentionSchedule> AttentionSchedule::from(mlir::DictionaryAttr attr) {
  auto rows = integer(attr, "rows"), nr = integer(attr, "nr"), queries = integer(attr, "queries");
  if (!rows || !nr || !queries)
    return std::nullopt;
  return AttentionSchedule{*rows, *nr, *queries};
}

AttentionSchedule chooseAttention(DType dtype, const Size& queries, const Size& keys, int64_t headDim, const CpuTarget& target) {
  int64_t lanes = lanesOf(target, dtype);
  AttentionSchedule s;
  // Panels end in zeros, causal ones in keys that are not seen: narrow panels in fewer. Of 32 registers a block of 12 sums of one vector hides the latency of a
  // multiply-add, and its loads keep up where a unit takes a cycle for 64 bytes (Zen 4: 10 to 30 % less time with 7 to 128 keys). With vectors of 32 bytes,
  // of which two are multiplied in a cycle, they do not (10 to 25 % more).
  int64_t vectors = target.vectorBytes == 64 ? 1 : vectorsFor({headDim, keys.constant().value_or(1024)}, lanes);
  s.nr = vectors * lanes;
  s.rows = mostRows(target, vectors);
  // The scores of an item stay in L2 up to about a thousand keys; where an item takes all of a head, no queries are left for a short block.
  int64_t all = queries.constant().value_or(kBlockQueries);
  bool fewOfBoth = all <= kFewKeys && keys.constant().value_or(kFewKeys + 1) <= kFewKeys;
  s.queries = fewOfBoth ? ceilDiv(std::max<int64_t>(all, 1), s.rows) * s.rows : std::max<int64_t>(1, std::min(kBlockQueries, all) / s.rows) * s.rows;
  return s;
}

std::optional<std::string> CachedAttentionSchedule::illegal(const CpuTarget& target, DType dtype) const {
  if (auto why = illegalBlock(target, dtype, rows, nr))
    return why;
  if (keys <= 0 || keys % lanesOf(target, dtype) != 0)
    return "keys " + std::to_string(keys) + " is not a multiple of the " + std::to_string(lanesOf(target, dtype)) + " lanes of " + target.name;
  return std::nullopt;
}

mlir::DictionaryAttr CachedAttentionSchedule::attr(mlir::MLIRContext* context) const {
  return dictionary(context, {{"rows", rows}, {"nr", nr}, {"keys", keys}});
}

std::optional<CachedAttentionSchedule> CachedAttentionSchedule::from(mlir::DictionaryAttr attr) {
  auto rows = integer(attr, "rows"), nr = integer(attr, "nr"), keys = integer(attr, "keys");
  if (!rows || !nr || !keys)
    return std::nullopt;
  return CachedAttentionSchedule{*rows, *nr, *keys};
}

CachedAttentionSchedule chooseCachedAttention(DType dtype, int64_t context, int64_t headDim, const CpuTarget& target) {
  int64_t lanes = lanesOf(target, dtype), vectors = vectorsFor(headDim, lanes);
  // A block of keys and its values stay in L1 or near it while the rows pass.
  int64_t keys = std::min<int64_t>(64, ceilDiv(context, lanes) * lanes);
  return {mostRows(target, vectors), vectors * lanes, keys};
}

std::optional<std::string> AttentionGradSchedule::illegal(const CpuTarget& target, DType dtype) const {
  if (auto why = illegalBlock(target, dtype, rows, nr))
    return why;
  if (queries <= 0 || turn <= 0)
    return "queries " + std::to_string(queries) + " and turn " + std::to_string(turn) + " must be positive";
  if (keys <= 0 || keys % nr != 0)
    return "keys " + std::to_string(keys) + " is not a multiple of nr " + std::to_string(nr);
  return std::nullopt;
}

mlir::DictionaryAttr AttentionGradSchedule::attr(mlir::MLIRContext* context) const {
  return dictionary(context, {{"rows", rows}, {"nr", nr}, {"queries", queries}, {"keys", keys}, {"turn", turn}});
}

std::optional<AttentionGradSchedule> AttentionGradSchedule::from(mlir::DictionaryAttr attr) {
  auto rows = integer(attr, "rows"), nr = integer(attr, "nr"), queries = integer(attr, "queries"), keys = integer(attr, "keys"), turn = integer(attr, "turn");
  if (!rows || !nr || !queries || !keys || !turn)
    return std::nullopt;
  return AttentionGradSchedule{*rows, *nr, *queries, *keys, *turn};
}

AttentionGradSchedule chooseAttentionGrad(DType dtype, const Size& queries, const Size& keys, int64_t headDim, const CpuTarget& target) {
  AttentionSchedule forward = chooseAttention(dtype, queries, keys, headDim, target);
  AttentionGradSchedule s{forward.rows, forward.nr, 0, 0, 0};
  // Two buffers of scores where the forward has one.
  s.queries = std::max<int64_t>(1, std::min<int64_t>(24, forward.queries) / s.rows) * s.rows;
  int64_t all = queries.constant().value_or(kBlockQueries);
  s.turn = all <= kFewKeys ? ceilDiv(std::max<int64_t>(all, 1), s.rows) * s.rows : kBlockQueries / s.rows * s.rows;
  s.keys = ceilDiv(std::clamp<int64_t>(keys.constant().value_or(kFewKeys), 1, kFewKeys), s.nr) * s.nr;
  return s;
}

} // namespace moec::codegen::cpu
