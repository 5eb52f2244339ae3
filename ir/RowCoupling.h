#pragma once
// What an op says of the rows of a call: whether a row of its result can depend on other rows of its operands, as the op's meaning has it. Knows no kernel.

#include "ir/dialect/Moe.h"

#include <optional>
#include <string>

namespace moec::ir {

/// What counts the rows of a call: the first dimension of an input, as "batch".
struct RowSymbol {
  std::string name;
  /// Of generation, whose symbol counts the new tokens of each text: the tokens of a text see each other, and where they stand.
  bool ofTokens = false;
};

/// Whether a size counts rows: it grows with the symbol.
bool countsRows(const Size& size, const RowSymbol& rows);
/// Whether a value has a dimension that does; a !moe.routing always has.
bool hasRows(mlir::Value value, const RowSymbol& rows);

/// Why a row of the op's results depends on other rows of its operands, or on where it stands among them ("adds up the rows of a call"); nothing where it
/// does not. An op that is not known here couples.
std::optional<std::string> couplingOf(mlir::Operation* op, const RowSymbol& rows);

} // namespace moec::ir
