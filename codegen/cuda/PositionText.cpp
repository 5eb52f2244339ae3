// ElementText: the ops that depend on where a token stands.
#include "codegen/analysis/Positions.h"
#include "codegen/cuda/ElementText.h"

namespace moec::codegen::cuda {

std::string ElementText::tableOf(mlir::Operation* op, std::string_view type, const std::vector<std::string>& elements) {
  std::string& table = tables_[op];
  if (table.empty()) {
    table = fmt::format("table{}", k_.freshTable());
    k_.declare(fmt::format("__constant__ const {} {}[{}] = {{{}}};", type, table, elements.size(), fmt::join(elements, ", ")));
  }
  return table;
}

std::string ElementText::relativeBias(ir::RelativeBiasOp op, const Coordinates& at) {
  RelativeBuckets buckets = RelativeBuckets::of(op);
  std::string relative = fresh("relative"), distance = fresh("distance"), bucket = fresh("bucket");
  ir::Sizes sizes = ir::sizesOf(op.getResult());
  std::string query = at[1]; // stands at query + keys - queries, or behind the position
  if (op.getPosition())
    query += " + " + element(op.getPosition(), {});
  else if (!(sizes[1] == sizes[2]))
    query += fmt::format(" + {} - {}", k_.size(sizes[2]), k_.size(sizes[1]));
  out_->line("const long long {} = (long long)({}) - ({});", relative, at[2], query);
  out_->line("const long long {} = {}-{};", distance, buckets.bidirectional ? fmt::format("{0} > 0 ? {0} : ", relative) : "", relative);
  out_->line("int {} = 0;", bucket);
  if (!buckets.starts.empty()) {
    std::vector<std::string> starts;
    for (int32_t start : buckets.starts)
      starts.push_back(std::to_string(start));
    std::string table = tableOf(op, "int", starts);
    for (int64_t step = int64_t{1} << buckets.steps >> 1; step > 0; step /= 2)
      out_->line("{0} += {1} >= {2}[{0} + {3}] ? {4} : 0;", bucket, distance, table, step - 1, step);
  }
  if (buckets.bidirectional)
    out_->line("{} += {} > 0 ? {} : 0;", bucket, relative, buckets.count);
  return element(op.getTable(), {bucket, at[0]});
}

std::string ElementText::rotary(ir::RotaryOp op, const Coordinates& at) {
  k_.use("rotary.cuh");
  std::vector<double> turns = rotaryTurns(op);
  int64_t half = static_cast<int64_t>(turns.size());
  std::vector<std::string> texts;
  for (double turn : turns)
    texts.push_back(literal(DType::F64, turn));
  std::string table = tableOf(op, "double", texts);
  std::string column = fresh("column"), pair = fresh("pair"), first = fresh("first"), other = fresh("other"), of = fresh("turn");
  bool interleaved = op.getInterleaved();
  out_->line("const int {} = (int)(({}) % {});", column, at[2], 2 * half);
  out_->line("const int {} = {} {} {};", pair, column, interleaved ? "/" : "%", interleaved ? 2 : half);
  out_->line("const bool {} = {};", first, interleaved ? fmt::format("{} % 2 == 0", column) : fmt::format("{} < {}", column, half));
  out_->line("const int {0} = {1} ? {2} + {3} : {2} - {3};", other, first, at[2].find(' ') == std::string::npos ? at[2] : "(" + at[2] + ")",
             interleaved ? 1 : half);
  std::string place = op.getPosition() ? fmt::format("{} + {}", at[1], element(op.getPosition(), {})) : at[1];
  out_->line("const SineCosine {} = sineCosine((double)({}) * {}[{}]);", of, place, table, pair);
  std::string own = element(op.getX(), at), partner = element(op.getX(), {at[0], at[1], other});
  std::string turned = fresh("turned");
  out_->line("const double {} = (double){} * {}.sine;", turned, partner, of);
  DType type = dtypeOf(op.getResult());
  std::string text = fmt::format("({})((double){} * {}.cosine + ({} ? {}{} : {}{}))", registerType(type), own, of, first, op.getInverse() ? "" : "-", turned,
                                 op.getInverse() ? "-" : "", turned);
  return define(type, "rotated", type == DType::BF16 ? fmt::format("toFloat(toBfloat16({}))", text) : text);
}

std::string ElementText::sliceAt(ir::SliceAtOp op, const Coordinates& at) {
  Coordinates from = at;
  from[0] = fmt::format("{} + {}", at[0], element(op.getPosition(), {}));
  return element(op.getX(), from);
}

} // namespace moec::codegen::cuda
