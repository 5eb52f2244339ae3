// moe.kernel of kind `attention_grad`. With P the probabilities and dS = P (dy v^T - delta), delta = sum over keys of P (dy v^T), of each head; where there is
// dropout, dy v^T and the P of P^T dy are what it makes of them:
//   of few keys, one stage, for each (batch, head of keys): the panels in scratch; for each head that reads it, for each turn of queries:
//                                                           P, dS (turn, Nk) once; dq = scale dS k, dv += P^T dy, dk += scale dS^T q
//   of others, first for each (batch, head of keys, panel): keys and values as panels (panel, Dh, nr), keys as panels (column panel, Nk, nr)
//   then for each (batch, head, block of queries):          P, dS (queries, Nk) in scratch; dq = scale dS k; of each row its highest score, 1 / sum, delta
//   then for each (batch, head of keys, block of keys):     for each head that reads it, for each turn of queries:
//                                                           P, dS (turn, keys) again from those three; dv += P^T dy, dk += scale dS^T q
// Where a call alone knows how many keys there are, it decides which of the stages have items.
// Of few keys, the first turn's sums start from nothing, and the last one's go from the registers to the results. Its last query sees all keys, so that P and
// dS have an element for each of them. Results may be columns of a joined result.
// Scores of a key are the same bits in every stage (multiplyKeys), and so in what dq, dk and dv take of it.
// With a gradient of the bias, an item of stage 1 has all that adds to its rows, in order: a head's batch, or all heads' for a bias of all.
#include "codegen/cpu/AttentionBlocks.h"
#include "codegen/cpu/Kernels.h"
#include "codegen/cpu/VectorMath.h"

namespace moec::codegen::cpu {
namespace {

/// What an item keeps of a query's row for those who come after: three elements each.
enum Kept { kMost, kInverse, kDelta, kKept };

class AttentionGradWriter {
public:
  AttentionGradWriter(KernelBuilder& k, const AttentionGradPlan& gradients, const AttentionGradSchedule& schedule)
      : k(k), gradients(gradients), plan(gradients.forward), schedule(schedule), panels(plan.keys, plan.headDim, schedule.nr), computed(sumType(plan.dtype)),
        element(k.typeOf(computed)), lanes(k.lanes(computed)), registers{computed, schedule.rows, schedule.nr / lanes},
        ofHeads(isShort(gradients, schedule.keys)) {
    if (ofHeads.constant() == 1)
      return;
    Size heads = plan.batch * Size(plan.keyHeads) * ofBlocks();
    keyPanels = k.addWorkspace(bytesOf(computed, heads * panels.keyElements));
    valuePanels = k.addWorkspace(bytesOf(computed, heads * panels.keyElements));
    keyColumns = k.addWorkspace(bytesOf(computed, heads * panels.columnElements));
    keptRows = k.addWorkspace(bytesOf(computed, plan.batch * Size(plan.heads) * plan.queries * Size(kKept) * ofBlocks()));
  }

  void write() {
    if (ofHeads.constant() != 0)
      headStage();
    if (ofHeads.constant() == 1)
      return;
    packStage();
    queryStage();
    keyStage();
  }

private:
  void headStage();
  void packStage();
  void queryStage();
  void keyStage();
  Size ofBlocks() const { return Size(1) - ofHeads; }

  /// Of a head of keys: its keys and values as panels (panel, Dh, nr), its keys as panels (column panel, Nk, nr).
  struct Packed {
    Value keys, values, columns;
  };
  Packed packedOf(Value keyHead);
  void pack(const Packed& to, Value batch, Value head, Value panel);

  struct QueryBlock {
    Value first, rows, end;   // end: keys that one of them sees
    Matrix q, dy;             // from its first query
    Matrix powers, scores;    // exp(..), and dy v^T, then dS: (queries, Nk)
    Matrix bias;              // sums of dS over the batch; null base without
    Value factors;            // (Nk) for what dropout makes of a row. There where powers are to become what dv takes: P, with dropout
    bool fetchesNext = false; // the head behind this one is the next to be done
    /// Whether nobody makes its scores again.
    bool isAll() const { return static_cast<bool>(factors); }
  };
  void gradientOfQueries(const QueryBlock& block, Value batch, Value head, const Packed& packed);
  void gradientOfRow(const QueryBlock& block, Value row, Value seen, Value bias, Value draw, Value kept);
  void storeBias(const QueryBlock& block, Value head);
  struct Turn {
    Value first, rows; // queries
    Value firstKey, keys;
    Matrix q, dy; // (turn, columns), zeros behind Dh up to whole panels
    Matrix powers, scores;
  };
  void addTurn(const Turn& turn, Value batch, Value head, Value dkTiles, Value dvTiles);
  /// Of a turn's weights (queries, keys) and its rows of q or dy.
  struct Product {
    const Matrix &weights, &rows;
    Value firstKey, keys, query, count; // query: of the first of `count` rows
  };
  /// Of a product, the rows that see key `first` or one behind it: those before are left out, as in every form, for zeros times what is no number are none.
  struct Seeing {
    Matrix ofKeys, rows; // from that key, and from the panel of columns
    Value count;
  };
  Seeing whoSee(const Product& product, Value first, Value panel);
  void addProduct(const Product& product, Value tiles);
  /// Sums over all queries that read a head of keys: where they are kept (column panel, keys, nr), and go to.
  struct KeySums {
    const Slice& result;
    double scale;
    Value tiles, batch, head;
  };
  void addLast(const KeySums& sums, const Product& product, Value isFirst, Value isLast);
  void zeroRows(Value tiles, Value first, Value last);
  Value zeroTiles();
  void scoresOfTurn(const Turn& turn, Value head, Value batchHead);
  void storeKeys(const Slice& result, Value tiles, Value batch, Value head, Value first, Value keys, double scale);

  /// Of column `column` of a head's row, among all rows of the batch.
  Value placeOf(const Slice& result, Value row, Value head, Value column) {
    return k.add(k.add(k.mul(row, k.size(result.width)), k.size(result.start)), k.add(k.mul(head, plan.headDim), column));
  }

  Matrix queryRows(const Slice& slice, const QueryBlock& block, Value batch, Value head);
  Matrix turnRows(const Slice& slice, Value batch, Value head, Value first, Value rows, int64_t most);
  Value panelsOf(unsigned workspace, const Size& elements, Value keyHead) { return k.at(k.workspace(workspace), k.mul(keyHead, k.size(elements)), element); }
  Value vectorAt(Value base, Value i) { return k.load(k.vectorOf(element, lanes), k.at(base, i, element)); }
  int64_t columns() const { return panels.columnPanels * schedule.nr; }
  int64_t line() const { return 64 / static_cast<int64_t>(byteSize(computed)); }
  /// Rows a line more than whole panels apart spread over L1.
  int64_t keyStride() const { return schedule.keys + line(); }
  int64_t columnStride() const { return (columns() + line() - 1) / line() * line() + line(); }

  KernelBuilder& k;
  const AttentionGradPlan& gradients;
  const AttentionPlan& plan;
  const AttentionGradSchedule& schedule;
  HeadPanels panels;
  DType computed;
  mlir::Type element;
  int64_t lanes;
  RegisterBlock registers;
  Size ofHeads;                                                          // 1 where an item makes all of a head of keys, and nobody makes it again; else 0
  int64_t tileKeys = 0;                                                  // rows of the stage's tiles
  unsigned keyPanels = 0, valuePanels = 0, keyColumns = 0, keptRows = 0; // workspaces
};

AttentionGradWriter::Packed AttentionGradWriter::packedOf(Value keyHead) {
  return {panelsOf(keyPanels, panels.keyElements, keyHead), panelsOf(valuePanels, panels.keyElements, keyHead),
          panelsOf(keyColumns, panels.columnElements, keyHead)};
}

void AttentionGradWriter::pack(const Packed& to, Value batch, Value head, Value panel) {
  Matrix keys = headOf(k, plan, plan.k, plan.keys, batch, head);
  packKeys(k, plan, schedule.nr, keys, panel, to.keys);
  packKeys(k, plan, schedule.nr, headOf(k, plan, plan.v, plan.keys, batch, head), panel, to.values);
  packColumns(k, plan, schedule.nr, keys, panel, to.columns);
}

void AttentionGradWriter::packStage() {
  Size heads = plan.batch * Size(plan.keyHeads);
  k.stage(heads * panels.keyPanels * ofBlocks(), heads * plan.keys * Size(3 * plan.headDim), [&](Value item) {
    Value panel = k.rem(item, k.size(panels.keyPanels)), keyHead = k.div(item, k.size(panels.keyPanels));
    pack(packedOf(keyHead), k.div(keyHead, plan.keyHeads), k.rem(keyHead, plan.keyHeads), panel);
  });
}

//===--- queries ---===//

void AttentionGradWriter::queryStage() {
  Size blocks = Size::ceilDiv(plan.queries, schedule.queries), heads = plan.batch * Size(plan.heads);
  Size stride = panels.keyPanels * Size(schedule.nr) + Size(line());
  bool ofBias = gradients.dbias.has_value(), ofAllHeads = ofBias && plan.bias->ofAllHeads;
  Size items = blocks * (!ofBias ? heads : ofAllHeads ? Size(1) : Size(plan.heads));
  k.stage(items * ofBlocks(), heads * plan.queries * plan.keys * Size(6 * plan.headDim), [&](Value item) {
    Value owner = k.div(item, k.size(blocks)), first = k.mul(k.rem(item, k.size(blocks)), schedule.queries);
    QueryBlock block;
    block.first = first;
    block.rows = k.min(k.index(schedule.queries), k.sub(k.size(plan.queries), first));
    block.end = seenBy(k, plan, k.sub(k.add(first, block.rows), 1));
    auto buffer = [&] { return Matrix{k.scratch(bytesOf(computed, Size(schedule.queries) * stride)), k.size(stride)}; };
    block.powers = buffer();
    block.scores = buffer();
    auto ofHead = [&](Value batch, Value head) {
      block.q = queryRows(plan.q, block, batch, head);
      block.dy = queryRows(gradients.dy, block, batch, head);
      gradientOfQueries(block, batch, head, packedOf(keyHeadOf(k, plan, batch, head)));
    };
    if (!ofBias)
      return ofHead(k.div(owner, plan.heads), k.rem(owner, plan.heads));
    block.bias = buffer();
    Value zeros = k.zero(k.vectorOf(element, lanes));
    k.loop(0, k.mul(block.rows, k.size(stride)), lanes, [&](Value i) { k.store(zeros, k.at(block.bias.base, i, element)); });
    k.loop(0, ofAllHeads ? k.size(heads) : k.size(plan.batch), 1,
           [&](Value i) { ofAllHeads ? ofHead(k.div(i, plan.heads), k.rem(i, plan.heads)) : ofHead(i, owner); });
    storeBias(block, owner);
  });
}

Matrix AttentionGradWriter::queryRows(const Slice& slice, const QueryBlock& block, Value batch, Value head) {
  Matrix rows = headOf(k, plan, slice, plan.queries, batch, head);
  rows.base = k.at(rows.base, k.mul(block.first, rows.stride), plan.dtype);
  if (plan.dtype == DType::BF16) // widened once, not for each panel of keys
    rows = copyRows(k, plan.dtype, block.rows, schedule.queries, Size(plan.headDim),
                    [&](Value row) { return k.at(rows.base, k.mul(row, rows.stride), plan.dtype); });
  return rows;
}

void AttentionGradWriter::gradientOfQueries(const QueryBlock& block, Value batch, Value head, const Packed& packed) {
  Value queries = k.size(plan.queries);
  auto rowsOf = [&](const Slice& slice) { return headOf(k, plan, slice, plan.keys, batch, k.div(head, plan.sharing())); };
  multiplyKeys(k, plan, registers, block.first, block.rows, block.q, rowsOf(plan.k), packed.keys, k.index(0), block.end, block.powers);
  multiplyKeys(k, plan, registers, block.first, block.rows, block.dy, rowsOf(plan.v), packed.values, k.index(0), block.end, block.scores);
  Value firstRow = k.add(k.mul(k.add(k.mul(batch, plan.heads), head), queries), block.first);
  k.loop(0, block.rows, 1, [&](Value row) {
    Value query = k.add(block.first, row);
    if (block.fetchesNext)
      for (const Slice* slice : {&plan.q, &plan.k})
        fetchNextHead(k, plan, *slice, slice == &plan.q ? plan.queries : plan.keys, batch, head, plan.heads, query, k.index(0), plan.headDim);
    gradientOfRow(block, row, seenBy(k, plan, query), biasOf(k, plan, head, query), drawOf(k, plan, k.add(k.mul(batch, plan.heads), head), query),
                  block.isAll() ? Value() : k.at(k.workspace(keptRows), k.mul(k.add(firstRow, row), kKept), element));
  });
  if (!gradients.dq)
    return;
  Matrix tile{k.scratch(bytesOf(computed, std::max(schedule.queries, schedule.turn) * schedule.nr)), k.index(schedule.nr)};
  Value keys = packed.columns, scale = k.real(k.vectorOf(element, lanes), plan.scale);
  k.loop(0, k.index(panels.columnPanels), 1, [&](Value panel) {
    Value start = k.mul(panel, schedule.nr), there = k.min(k.index(schedule.nr), k.sub(k.index(plan.headDim), start));
    auto resultOf = [&](Value row) { return placeOf(*gradients.dq, k.add(k.mul(batch, queries), k.add(block.first, row)), head, start); };
    auto scaled = [&](Value, Value sum) { return k.mul(sum, scale); };
    auto fetchNext = [&](Value row, int64_t column) {
      if (block.fetchesNext)
        for (const Slice* slice : {&gradients.dy, &plan.v})
          fetchNextHead(k, plan, *slice, slice == &plan.v ? plan.keys : plan.queries, batch, head, plan.heads, k.add(block.first, row), k.add(start, column),
                        1);
    };
    bool isWhole = plan.headDim % schedule.nr == 0;
    inCausalRows(k, plan, block.rows, [&](Value first, Value count) {
      HeadRows result(
          k, plan.dtype, k.output(gradients.dq->input), [&](Value row) { return resultOf(k.add(first, row)); }, scaled,
          [&](Value row, int64_t column) { fetchNext(k.add(first, row), column); });
      PanelOfTile to{{k.at(keys, k.mul(start, k.size(plan.keys)), element), k.index(schedule.nr)},
                     {k.at(tile.base, k.mul(first, schedule.nr), element), tile.stride},
                     {},
                     isWhole ? &result : nullptr,
                     panel};
      Value seen = seenBy(k, plan, k.sub(k.add(block.first, k.add(first, count)), 1));
      multiply(k, registers, count, {k.at(block.scores.base, k.mul(first, block.scores.stride), element), block.scores.stride}, to, seen, false);
    });
    if (isWhole)
      return;
    k.loop(0, block.rows, 1, [&](Value row) {
      Value place = resultOf(row);
      k.vectorLoop(there, lanes, [&](Value i, Value mask) {
        Value sum = vectorAt(tile.base, k.add(k.mul(row, schedule.nr), i));
        k.storeElements(plan.dtype, k.mul(sum, scale), k.at(k.output(gradients.dq->input), k.add(place, i), plan.dtype), mask);
      });
    });
  });
}

void AttentionGradWriter::gradientOfRow(const QueryBlock& block, Value row, Value seen, Value bias, Value draw, Value kept) {
  Value powers = k.at(block.powers.base, k.mul(row, block.powers.stride), element), scores = k.at(block.scores.base, k.mul(row, block.scores.stride), element);
  SoftmaxSums softmax = softmaxRow(k, plan, powers, seen, block.end, bias);
  Value inverse = k.div(k.real(element, 1), softmax.sum), zero = k.index(0);
  // Of the vector in which `seen` ends, the exponentials behind it are zeros.
  Value delta = k.loop(zero, seen, k.index(lanes), {k.zero(k.vectorOf(element, lanes))}, [&](Value i, const Values& carried) {
    Value score = vectorAt(scores, i);
    if (draw) {
      Value factors = dropoutFactors(k, plan, k.add(draw, i), k.mask(k.sub(seen, i), lanes));
      score = k.mul(score, factors);
      k.store(score, k.at(scores, i, element));
      if (block.isAll())
        k.store(factors, k.at(block.factors, i, element));
    }
    return Values{k.fma(vectorAt(powers, i), score, carried[0])};
  })[0];
  delta = k.mul(k.sumLanes(delta), inverse);
  if (kept) {
    k.store(softmax.most, k.at(kept, k.index(kMost), element));
    k.store(inverse, k.at(kept, k.index(kInverse), element));
    k.store(delta, k.at(kept, k.index(kDelta), element));
  }
  inverse = k.broadcast(inverse, lanes);
  delta = k.broadcast(delta, lanes);
  zeroUnseen(k, plan, scores, seen, block.end);
  // Zeros behind `seen`, also where the row's own numbers are none.
  auto makeShares = [&](Value i, Value inside) { // inside: null for all lanes
    auto orZero = [&](Value value) { return inside ? k.choose(inside, value, k.zero(value.getType())) : value; };
    Value share = orZero(k.mul(vectorAt(powers, i), inverse)), score = orZero(k.mul(share, k.sub(vectorAt(scores, i), delta)));
    k.store(score, k.at(scores, i, element));
    if (block.isAll())
      k.store(draw ? k.mul(share, vectorAt(block.factors, i)) : share, k.at(powers, i, element));
    if (block.bias.base) {
      Value place = k.at(block.bias.base, k.add(k.mul(row, block.bias.stride), i), element);
      k.store(k.add(k.load(k.vectorOf(element, lanes), place), score), place);
    }
  };
  Value whole = k.sub(seen, k.rem(seen, lanes));
  k.loop(zero, whole, k.index(lanes), [&](Value i) { makeShares(i, {}); });
  k.loop(whole, seen, k.index(lanes), [&](Value i) { makeShares(i, k.mask(k.sub(seen, i), lanes)); });
}

void AttentionGradWriter::storeBias(const QueryBlock& block, Value head) {
  Value keys = k.size(plan.keys), firstRow = k.add(k.mul(head, k.size(plan.queries)), block.first); // head 0 of a bias of all
  k.loop(0, block.rows, 1, [&](Value row) {
    Value sums = k.at(block.bias.base, k.mul(row, block.bias.stride), element);
    Value to = k.at(k.output(*gradients.dbias), k.mul(k.add(firstRow, row), keys), plan.dtype);
    k.vectorLoop(keys, lanes, [&](Value i, Value mask) { k.storeElements(plan.dtype, vectorAt(sums, i), k.at(to, i, plan.dtype), mask); });
  });
}

//===--- keys ---===//

void AttentionGradWriter::keyStage() {
  if (!gradients.dk && !gradients.dv)
    return;
  Size blocks = Size::ceilDiv(plan.keys, schedule.keys), heads = plan.batch * Size(plan.keyHeads);
  tileKeys = schedule.keys;
  k.stage(heads * blocks * ofBlocks(), plan.batch * Size(plan.heads) * plan.queries * plan.keys * Size(8 * plan.headDim), [&](Value item) {
    Value keyHead = k.div(item, k.size(blocks)), batch = k.div(keyHead, plan.keyHeads), ofKeys = k.rem(keyHead, plan.keyHeads);
    Turn turn;
    turn.firstKey = k.mul(k.rem(item, k.size(blocks)), schedule.keys);
    turn.keys = k.min(k.index(schedule.keys), k.sub(k.size(plan.keys), turn.firstKey));
    auto buffer = [&] { return Matrix{k.scratch(bytesOf(computed, schedule.turn * keyStride())), k.index(keyStride())}; };
    turn.powers = buffer();
    turn.scores = buffer();
    Value tiles = zeroTiles(), dvTiles = zeroTiles(), queries = k.size(plan.queries);
    // Causal: queries before see none of these keys.
    Value start = plan.causal ? k.max(k.index(0), k.sub(k.add(turn.firstKey, queries), k.size(plan.keys))) : k.index(0);
    k.loop(0, k.index(plan.sharing()), 1, [&](Value share) {
      Value head = k.add(k.mul(ofKeys, plan.sharing()), share);
      k.loop(start, queries, k.index(schedule.turn), [&](Value first) {
        Turn next = turn;
        next.first = first;
        next.rows = k.min(k.index(schedule.turn), k.sub(queries, first));
        next.q = turnRows(plan.q, batch, head, first, next.rows, schedule.turn);
        next.dy = turnRows(gradients.dy, batch, head, first, next.rows, schedule.turn);
        addTurn(next, batch, head, tiles, dvTiles);
      });
    });
    if (gradients.dk)
      storeKeys(*gradients.dk, tiles, batch, ofKeys, turn.firstKey, turn.keys, plan.scale);
    if (gradients.dv)
      storeKeys(*gradients.dv, dvTiles, batch, ofKeys, turn.firstKey, turn.keys, 1);
  });
}

Matrix AttentionGradWriter::turnRows(const Slice& slice, Value batch, Value head, Value first, Value rows, int64_t most) {
  Matrix all = headOf(k, plan, slice, plan.queries, batch, head), copy{k.scratch(bytesOf(computed, most * columnStride())), k.index(columnStride())};
  copyBlock(k, plan.dtype, {k.at(all.base, k.mul(first, all.stride), plan.dtype), all.stride}, rows, k.index(plan.headDim), schedule.nr, copy);
  return copy;
}

void AttentionGradWriter::addTurn(const Turn& turn, Value batch, Value head, Value dkTiles, Value dvTiles) {
  Value keyHead = keyHeadOf(k, plan, batch, head), end = k.add(turn.firstKey, turn.keys);
  auto times = [&](const Matrix& rows, const Slice& slice, unsigned panelsHere, const Matrix& result) {
    multiplyKeys(k, plan, registers, turn.first, turn.rows, rows, headOf(k, plan, slice, plan.keys, batch, k.div(head, plan.sharing())),
                 panelsOf(panelsHere, panels.keyElements, keyHead), turn.firstKey, end, result);
  };
  times(turn.q, plan.k, keyPanels, turn.powers);
  times(turn.dy, plan.v, valuePanels, turn.scores);
  scoresOfTurn(turn, head, k.add(k.mul(batch, plan.heads), head));
  addProduct({turn.scores, turn.q, turn.firstKey, turn.keys, turn.first, turn.rows}, dkTiles);
  addProduct({turn.powers, turn.dy, turn.firstKey, turn.keys, turn.first, turn.rows}, dvTiles);
}

AttentionGradWriter::Seeing AttentionGradWriter::whoSee(const Product& product, Value first, Value panel) {
  const auto& [weights, rows, firstKey, keys, query, count] = product;
  Value unseen = k.min(count, k.max(k.index(0), k.sub(firstWhoSees(k, plan, k.add(firstKey, first)), query)));
  return {{k.at(weights.base, k.add(k.mul(unseen, weights.stride), first), element), k.index(1), weights.stride},
          {k.at(rows.base, k.add(k.mul(unseen, rows.stride), k.mul(panel, schedule.nr)), element), rows.stride},
          k.sub(count, unseen)};
}

/// tiles (column panel, keys, nr) += the transpose of weights (count, keys) . rows (count, Dh).
void AttentionGradWriter::addProduct(const Product& product, Value tiles) {
  k.loop(0, k.index(panels.columnPanels), 1, [&](Value panel) {
    inCausalRows(k, plan, product.keys, [&](Value first, Value piece) {
      Seeing seeing = whoSee(product, first, panel);
      Matrix tile{k.at(tiles, k.mul(k.add(k.mul(panel, tileKeys), first), schedule.nr), element), k.index(schedule.nr)};
      multiply(k, registers, piece, seeing.ofKeys, seeing.rows, seeing.count, tile, true);
    });
  });
}

/// addProduct of the first and the last turn too: sums start from nothing where `isFirst`, and go to the result where `isLast`. One turn of all has neither,
/// and no tiles.
void AttentionGradWriter::addLast(const KeySums& sums, const Product& product, Value isFirst, Value isLast) {
  Value factor = k.real(k.vectorOf(element, lanes), sums.scale), firstKey = k.mul(sums.batch, k.size(plan.keys));
  k.loop(0, k.index(panels.columnPanels), 1, [&](Value panel) {
    Value start = k.mul(panel, schedule.nr);
    inCausalRows(k, plan, product.keys, [&](Value first, Value piece) {
      HeadRows to(
          k, plan.dtype, k.output(sums.result.input), [&](Value key) { return placeOf(sums.result, k.add(firstKey, k.add(first, key)), sums.head, start); },
          [&](Value, Value sum) { return sums.scale == 1 ? sum : k.mul(sum, factor); });
      Seeing seeing = whoSee(product, first, panel);
      PanelOfTile columns{seeing.rows, {}, {}, &to, panel, isLast};
      if (sums.tiles)
        columns.tile = {k.at(sums.tiles, k.mul(k.add(k.mul(panel, tileKeys), first), schedule.nr), element), k.index(schedule.nr)};
      multiply(k, registers, piece, seeing.ofKeys, columns, seeing.count, static_cast<bool>(sums.tiles), isFirst);
    });
  });
}

/// Rows [first, last) of tiles (column panel, keys, nr).
void AttentionGradWriter::zeroRows(Value tiles, Value first, Value last) {
  Value zeros = k.zero(k.vectorOf(element, lanes));
  k.loop(0, k.index(panels.columnPanels), 1, [&](Value panel) {
    Value start = k.mul(panel, tileKeys * schedule.nr);
    k.loop(k.add(start, k.mul(first, schedule.nr)), k.add(start, k.mul(last, schedule.nr)), k.index(lanes),
           [&](Value i) { k.store(zeros, k.at(tiles, i, element)); });
  });
}

Value AttentionGradWriter::zeroTiles() {
  Value tiles = k.scratch(bytesOf(computed, tileKeys * columns()));
  zeroRows(tiles, k.index(0), k.index(tileKeys));
  return tiles;
}

void AttentionGradWriter::scoresOfTurn(const Turn& turn, Value head, Value batchHead) {
  mlir::Type vector = k.vectorOf(element, lanes);
  k.loop(0, turn.rows, 1, [&](Value row) {
    Value query = k.add(turn.first, row), kept = k.at(k.workspace(keptRows), k.mul(k.add(k.mul(batchHead, k.size(plan.queries)), query), kKept), element);
    auto ofRow = [&](Kept which) { return k.broadcast(k.load(element, k.at(kept, k.index(which), element)), lanes); };
    Value most = ofRow(kMost), inverse = ofRow(kInverse), delta = ofRow(kDelta);
    Value powers = k.at(turn.powers.base, k.mul(row, turn.powers.stride), element), scores = k.at(turn.scores.base, k.mul(row, turn.scores.stride), element);
    Value bias = biasOf(k, plan, head, query), draw = drawOf(k, plan, batchHead, query);
    Value seen = k.max(k.index(0), k.min(turn.keys, k.sub(seenBy(k, plan, query), turn.firstKey)));
    zeroUnseen(k, plan, powers, seen, turn.keys);
    zeroUnseen(k, plan, scores, seen, turn.keys);
    k.loop(k.index(0), seen, k.index(lanes), [&](Value i) {
      Value s = k.mul(vectorAt(powers, i), k.real(vector, plan.scale)), inside = k.mask(k.sub(seen, i), lanes);
      if (bias)
        s = k.add(s, k.loadElements(plan.dtype, k.at(bias, k.add(turn.firstKey, i), plan.dtype), lanes, inside));
      Value share = k.choose(inside, k.mul(expOfNegative(k, k.sub(s, most)), inverse), k.zero(vector));
      Value weights = share, score = vectorAt(scores, i);
      if (draw) {
        Value factors = dropoutFactors(k, plan, k.add(draw, k.add(turn.firstKey, i)), inside);
        weights = k.mul(share, factors);
        score = k.mul(score, factors);
      }
      k.store(weights, k.at(powers, i, element));
      k.store(k.choose(inside, k.mul(share, k.sub(score, delta)), k.zero(vector)), k.at(scores, i, element));
    });
  });
}

void AttentionGradWriter::storeKeys(const Slice& result, Value tiles, Value batch, Value head, Value first, Value keys, double scale) {
  Value factor = k.real(k.vectorOf(element, lanes), scale);
  k.loop(0, k.index(panels.columnPanels), 1, [&](Value panel) {
    Value start = k.mul(panel, schedule.nr), there = k.min(k.index(schedule.nr), k.sub(k.index(plan.headDim), start));
    Value tile = k.at(tiles, k.mul(panel, tileKeys * schedule.nr), element);
    k.loop(0, keys, 1, [&](Value key) {
      Value place = placeOf(result, k.add(k.mul(batch, k.size(plan.keys)), k.add(first, key)), head, start);
      k.vectorLoop(there, lanes, [&](Value i, Value mask) {
        Value sum = vectorAt(tile, k.add(k.mul(key, schedule.nr), i));
        k.storeElements(plan.dtype, scale == 1 ? sum : k.mul(sum, factor), k.at(k.output(result.input), k.add(place, i), plan.dtype), mask);
      });
    });
  });
}

//===--- few keys ---===//

void AttentionGradWriter::headStage() {
  Size heads = plan.batch * Size(plan.keyHeads);
  int64_t most = mostShortKeys(plan, /*isGradient=*/true), stride = most + schedule.nr; // up to whole panels
  stride = (stride + line() - 1) / line() * line() + line();
  tileKeys = most;
  HeadPanels mostPanels(most, plan.headDim, schedule.nr);
  k.stage(heads * ofHeads, plan.batch * Size(plan.heads) * plan.queries * plan.keys * Size(10 * plan.headDim), [&](Value keyHead) {
    Value batch = k.div(keyHead, plan.keyHeads), ofKeys = k.rem(keyHead, plan.keyHeads), queries = k.size(plan.queries), keys = k.size(plan.keys);
    auto scratch = [&](const Size& elements) { return k.scratch(bytesOf(computed, elements)); };
    Packed packed{scratch(mostPanels.keyElements), scratch(mostPanels.keyElements), scratch(mostPanels.columnElements)};
    k.loop(0, k.size(panels.keyPanels), 1, [&](Value panel) { pack(packed, batch, ofKeys, panel); });
    bool isWhole = plan.headDim % schedule.nr == 0,
         isOnce = isWhole && plan.sharing() == 1 && plan.queries.constant().value_or(schedule.turn + 1) <= schedule.turn;
    auto tilesOf = [&](const std::optional<Slice>& result) {
      if (!result || isOnce)
        return Value();
      if (!isWhole)
        return zeroTiles();
      // Of keys that the first turn does not see.
      Value tiles = scratch(tileKeys * columns()), unseen = seenBy(k, plan, k.sub(k.min(k.index(schedule.turn), queries), 1));
      if (plan.causal)
        zeroRows(tiles, unseen, keys);
      return tiles;
    };
    Value dkTiles = tilesOf(gradients.dk), dvTiles = tilesOf(gradients.dv);
    QueryBlock block;
    block.powers = {scratch(schedule.turn * stride), k.index(stride)};
    block.scores = {scratch(schedule.turn * stride), k.index(stride)};
    block.factors = scratch(stride);
    block.fetchesNext = plan.sharing() == 1;
    k.loop(0, k.index(plan.sharing()), 1, [&](Value share) {
      Value head = k.add(k.mul(ofKeys, plan.sharing()), share);
      k.loop(0, queries, schedule.turn, [&](Value first) {
        block.first = first;
        block.rows = k.min(k.index(schedule.turn), k.sub(queries, first));
        block.end = seenBy(k, plan, k.sub(k.add(first, block.rows), 1));
        block.q = turnRows(plan.q, batch, head, first, block.rows, schedule.turn);
        block.dy = turnRows(gradients.dy, batch, head, first, block.rows, schedule.turn);
        gradientOfQueries(block, batch, head, packed);
        Value isFirst, isLast;
        if (!isOnce) {
          isFirst = k.compare(ir::Predicate::EQ, k.add(share, first), k.index(0));
          isLast =
              k.bitAnd(k.compare(ir::Predicate::EQ, share, k.index(plan.sharing() - 1)), k.compare(ir::Predicate::GE, k.add(first, schedule.turn), queries));
        }
        auto add = [&](const Slice& result, double scale, Value tiles, const Matrix& weights, const Matrix& rows) {
          Product product{weights, rows, k.index(0), block.end, first, block.rows};
          isWhole ? addLast({result, scale, tiles, batch, ofKeys}, product, isFirst, isLast) : addProduct(product, tiles);
        };
        if (gradients.dk)
          add(*gradients.dk, plan.scale, dkTiles, block.scores, block.q);
        if (gradients.dv)
          add(*gradients.dv, 1, dvTiles, block.powers, block.dy);
      });
    });
    if (isWhole)
      return;
    if (gradients.dk)
      storeKeys(*gradients.dk, dkTiles, batch, ofKeys, k.index(0), keys, plan.scale);
    if (gradients.dv)
      storeKeys(*gradients.dv, dvTiles, batch, ofKeys, k.index(0), keys, 1);
  });
}

} // namespace

mlir::LogicalResult buildAttentionGrad(KernelBuilder& k, ir::KernelOp kernel) {
  auto plan = AttentionGradPlan::of(kernel);
  if (failed(plan))
    return mlir::failure();
  auto schedule = AttentionGradSchedule::from(kernel.getScheduleAttr());
  if (!schedule)
    return kernel.emitOpError("has no complete schedule: rows, nr, queries, keys and turn are needed");
  if (auto why = schedule->illegal(k.target(), plan->forward.dtype))
    return kernel.emitOpError("has an illegal schedule: ") << *why;
  AttentionGradWriter(k, *plan, *schedule).write();
  return mlir::success();
}

mlir::DictionaryAttr scheduleAttentionGrad(ir::KernelOp kernel, const CpuTarget& target) {
  auto plan = AttentionGradPlan::of(kernel);
  if (failed(plan))
    return {};
  const AttentionPlan& forward = plan->forward;
  return chooseAttentionGrad(forward.dtype, forward.queries, forward.keys, forward.headDim, target).attr(kernel.getContext());
}

} // namespace moec::codegen::cpu
