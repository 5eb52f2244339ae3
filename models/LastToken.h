#pragma once
// Of scores for every token, those of the last one: what a text is continued by. Knows ops, no kinds.

#include "ir/dialect/Moe.h"

namespace moec::models {

/// The last token's row of a value (batch, tokens, width), as (batch, width), made at `builder`. What makes each token by itself and is used for the value
/// alone works on that token alone: of a long text, the product with the vocabulary is of one row.
mlir::Value lastToken(mlir::Value value, mlir::OpBuilder& builder);

} // namespace moec::models
