#include "models/Layers.h"
#include "models/blocks/Blocks.h"

#include <fmt/format.h>

#include <cmath>

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value queries = inputs[0], keys = inputs.back();
  if (!site.expects(queries, 3, "(batch, tokens, width)") || !site.expects(keys, 3, "(batch, tokens, width)"))
    return {};
  std::optional<int64_t> width = site.width(queries);
  if (!width)
    return {};
  int64_t buckets = arguments.integer("buckets"), farthest = arguments.integer("max_distance");
  bool bidirectional = arguments.flag("bidirectional");
  if (bidirectional && buckets % 2 != 0)
    return site.error(arguments.at("buckets"), fmt::format("{} buckets in two directions: an even number is needed", buckets));
  int64_t single = (bidirectional ? buckets / 2 : buckets) / 2; // distances with a bucket of their own
  if (single < 1 || farthest <= single)
    return site.error(arguments.at(single < 1 ? "buckets" : "max_distance"),
                      fmt::format("of {} buckets{} {} are of one distance each: at least 1 must be, and \"max_distance\" "
                                  "must be larger; it is {}",
                                  buckets, bidirectional ? " in two directions" : "", single, farthest));
  Init init{Init::Kind::Normal, 0, 1 / std::sqrt(static_cast<double>(*width))};
  mlir::Value table = site.sharedParameter(arguments, "weight", {buckets, arguments.integer("heads")}, init);
  if (site.isGenerating() && inputs.size() > 1)
    return site.error("a model that continues texts attends to its own tokens, and this bias is of two values");
  Size seen = site.isGenerating() ? Size(site.context()) : ir::sizesOf(keys)[1];
  return site.ops().relativeBias(table, site.tokensBefore(), ir::sizesOf(queries)[1], seen, farthest, bidirectional);
}

} // namespace

const Kind& relativeBiasBlock() {
  static const Kind kind{
      .name = "relative_bias",
      .doc = "A learned number for each head and each distance from query to key, as (heads, queries, keys): what an "
             "attention's \"bias\" names. One value may serve all layers of a stack, as T5's does. Takes the tokens "
             "that ask and, where they are others, those that are attended to; only their numbers matter, and the last of "
             "both stand at one position. Near distances have a bucket each, farther ones share buckets that grow as "
             "their logarithm. Begins normal with deviation "
             "1/sqrt(width).",
      .source = "Raffel et al. 2019 (arXiv 1910.10683); transformers 5.24 (SwitchTransformersAttention.compute_bias)",
      .parameters =
          {
              {.name = "heads", .required = true, .most = 65536, .doc = "How many heads."},
              {.name = "buckets", .fallback = "32", .most = 65536, .doc = "Rows of the table."},
              {.name = "max_distance", .fallback = "128", .doc = "From this distance on all share the last bucket."},
              {.name = "bidirectional",
               .type = ParameterType::Bool,
               .fallback = "true",
               .doc = "Half of the buckets for keys behind the query? Otherwise all of those have distance 0."},
              {.name = "weight",
               .type = ParameterType::Text,
               .doc = "The path of another block's parameter of the same shape, which this one uses as its table."},
          },
      .optionalInputs = 1,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
