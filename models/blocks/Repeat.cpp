#include "models/Site.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) {
  mlir::Value x = inputs[0];
  int64_t times = arguments.integer("times");
  for (int64_t i = 0; x && i < times; ++i)
    x = site.body(arguments, "body", x, std::to_string(i));
  return x;
}

} // namespace

const Kind& repeatBlock() {
  static const Kind kind{
      .name = "repeat",
      .doc = "The body several times, each time with parameters of its own: \"layers.0.\", \"layers.1.\" ... when it "
             "is named layers.",
      .source = "moec",
      .parameters =
          {
              {.name = "times", .required = true, .most = 10000, .doc = "How often."},
              {.name = "body", .type = ParameterType::Body, .required = true, .doc = "What is repeated."},
          },
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
