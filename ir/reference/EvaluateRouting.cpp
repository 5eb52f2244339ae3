#include "ir/reference/Elements.h"
#include "ir/reference/Evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moec::reference {

Selection select(const Tensor& scores, int64_t k) {
  int64_t tokens = scores.shape()[0], experts = scores.shape()[1];
  std::vector<double> values = scores.toDoubles();
  std::vector<int32_t> chosen, order(experts);
  for (int64_t t = 0; t < tokens; ++t) {
    const double* row = values.data() + t * experts;
    std::iota(order.begin(), order.end(), 0);
    // Largest first, NaN below everything, ties to the lowest index.
    std::sort(order.begin(), order.end(), [row](int32_t a, int32_t b) {
      bool aNan = std::isnan(row[a]), bNan = std::isnan(row[b]);
      if (aNan != bNan)
        return bNan;
      return row[a] != row[b] && !aNan ? row[a] > row[b] : a < b;
    });
    chosen.insert(chosen.end(), order.begin(), order.begin() + k);
  }
  Tensor best = moved(scores, {tokens, k}, [&](int64_t i) { return i / k * experts + chosen[i]; });
  return {best, Tensor::of(chosen, {tokens, k})};
}

/// Where the tokens of an assignment stand: their group, and the first of the experts that they choose among; -1 for rows
/// behind the count of `within`.
struct Standing {
  int64_t group = 0, firstExpert = 0;
};

static Standing standingOf(int64_t token, int64_t tokens, const Routing* within, const AssignRule& rule) {
  if (!within)
    return {token / (tokens / rule.groups), 0};
  if (token >= within->kept())
    return {0, -1};
  int64_t outer = within->rows[token] / within->choices;
  return {outer / (within->tokens / rule.groups), within->expertOf(token) * (rule.experts / within->experts)};
}

Routing assign(const Tensor& indices, const Tensor* keep, const Routing* within, const AssignRule& rule) {
  int64_t tokens = indices.shape()[0], choices = indices.shape()[1], grouped = within ? within->tokens : tokens;
  int64_t offered = within ? rule.experts / within->experts : rule.experts;
  if (rule.groups < 1 || grouped % rule.groups != 0)
    throw Error(Fault::Data, "assign: " + std::to_string(grouped) + " tokens are no " + std::to_string(rule.groups) + " equal groups");
  std::span<const int32_t> expert = indices.as<const int32_t>();
  std::span<const uint8_t> kept = keep ? keep->as<const uint8_t>() : std::span<const uint8_t>();
  std::vector<std::vector<int32_t>> lists(rule.experts * rule.groups); // expert by expert, group by group
  for (int64_t i = 0; i < tokens * choices; ++i) {
    int64_t row = rule.priority == Priority::TokenMajor ? i : i % tokens * choices + i / tokens;
    Standing standing = standingOf(row / choices, tokens, within, rule);
    if (standing.firstExpert < 0 || (keep && !kept[row]) || expert[row] == -1)
      continue;
    if (expert[row] < -1 || expert[row] >= offered)
      throw Error(Fault::Data, "assign: there is no expert " + std::to_string(expert[row]) + " of " + std::to_string(offered));
    std::vector<int32_t>& list = lists[(standing.firstExpert + expert[row]) * rule.groups + standing.group];
    if (!rule.capacity || static_cast<int64_t>(list.size()) < *rule.capacity)
      list.push_back(static_cast<int32_t>(row));
  }
  std::vector<std::vector<int32_t>> joined(rule.experts);
  for (size_t i = 0; i < lists.size(); ++i)
    joined[i / rule.groups].insert(joined[i / rule.groups].end(), lists[i].begin(), lists[i].end());
  return routingOf(joined, tokens, choices, rule.bound);
}

Routing expertsOf(const Routing& routing, int64_t from, int64_t count) {
  std::vector<std::vector<int32_t>> lists;
  for (int64_t expert = from; expert < from + count; ++expert)
    lists.emplace_back(routing.rows.begin() + routing.offsets[expert], routing.rows.begin() + routing.offsets[expert + 1]);
  return routingOf(lists, routing.tokens, routing.choices, routing.bound);
}

Routing drop(const Routing& routing, const Tensor& keep) {
  std::span<const uint8_t> kept = keep.as<const uint8_t>();
  std::vector<std::vector<int32_t>> lists(routing.experts);
  for (int64_t row = 0; row < routing.kept(); ++row)
    if (kept[routing.rows[row]])
      lists[routing.expertOf(row)].push_back(routing.rows[row]);
  return routingOf(lists, routing.tokens, routing.choices, routing.bound);
}

Tensor expertCounts(const Routing& routing) {
  std::vector<int32_t> counts;
  for (int64_t expert = 0; expert < routing.experts; ++expert)
    counts.push_back(routing.offsets[expert + 1] - routing.offsets[expert]);
  return Tensor::of(std::move(counts), {routing.experts});
}

Tensor dispatch(const Tensor& x, const Routing& routing) {
  int64_t width = x.shape()[1];
  return moved(x, {routing.rowCount(), width}, [&](int64_t i) -> int64_t {
    int64_t row = i / width;
    return row < routing.kept() ? routing.rows[row] / routing.choices * width + i % width : -1;
  });
}

Tensor groupedMatmul(const Tensor& rows, const Tensor& w, const Routing& routing) {
  int64_t depth = rows.shape()[1], columns = w.shape()[1];
  std::vector<double> left = rows.toDoubles(), right = w.toDoubles(), values(routing.rowCount() * columns, 0.0);
  for (int64_t row = 0; row < routing.kept(); ++row) {
    const double* matrix = right.data() + routing.expertOf(row) * columns * depth;
    for (int64_t n = 0; n < columns; ++n)
      values[row * columns + n] = std::inner_product(&left[row * depth], &left[row * depth] + depth, matrix + n * depth, 0.0);
  }
  return fromDoubles(std::move(values), {routing.rowCount(), columns}, rows.dtype());
}

Tensor expertRows(const Tensor& table, const Routing& routing) {
  int64_t width = table.shape()[1];
  return moved(table, {routing.rowCount(), width}, [&](int64_t i) -> int64_t {
    int64_t row = i / width;
    return row < routing.kept() ? routing.expertOf(row) * width + i % width : -1;
  });
}

Tensor rowWeights(const Tensor& weights, const Routing& routing) {
  return moved(weights, {routing.rowCount(), 1}, [&](int64_t row) -> int64_t { return row < routing.kept() ? routing.rows[row] : -1; });
}

Tensor choiceValues(const Tensor& column, const Routing& routing) {
  return moved(column, {routing.tokens, routing.choices}, [&](int64_t place) -> int64_t { return routing.slots[place]; });
}

Tensor expertSums(const Tensor& rows, const Routing& routing) {
  int64_t width = rows.shape()[1];
  std::vector<double> values = rows.toDoubles(), result(routing.experts * width, 0.0);
  for (int64_t row = 0; row < routing.kept(); ++row)
    for (int64_t n = 0; n < width; ++n)
      result[routing.expertOf(row) * width + n] += values[row * width + n];
  return fromDoubles(std::move(result), {routing.experts, width}, rows.dtype());
}

Tensor combine(const Tensor& rows, const Routing& routing, const Tensor& weights) {
  int64_t width = rows.shape()[1];
  std::vector<double> values = rows.toDoubles(), weight = weights.toDoubles(), results(routing.tokens * width, 0.0);
  for (int64_t place = 0; place < routing.pairCount(); ++place) { // token by token, in choice order
    int64_t row = routing.slots[place], token = place / routing.choices;
    for (int64_t d = 0; row >= 0 && d < width; ++d)
      results[token * width + d] += weight[place] * values[row * width + d];
  }
  return fromDoubles(std::move(results), {routing.tokens, width}, rows.dtype());
}

} // namespace moec::reference
