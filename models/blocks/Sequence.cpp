#include "models/Site.h"
#include "models/blocks/Blocks.h"

namespace moec::models {

namespace {

mlir::Value build(Site& site, const Arguments& arguments, llvm::ArrayRef<mlir::Value> inputs) { return site.body(arguments, "body", inputs[0]); }

} // namespace

const Kind& sequenceBlock() {
  static const Kind kind{
      .name = "sequence",
      .doc = "Blocks one after the other. A list means the same; this one can have a name or a \"from\". Adds nothing "
             "to the names of parameters.",
      .source = "moec",
      .parameters = {{.name = "body", .type = ParameterType::Body, .required = true, .doc = "The blocks."}},
      .container = true,
      .inExperts = true,
      .byToken = true,
      .block = build,
  };
  return kind;
}

} // namespace moec::models
