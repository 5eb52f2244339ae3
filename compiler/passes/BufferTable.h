#pragma once
// The plan's buffers as attributes of the module, so that the dump of phase `plan` says all that the phases behind it need.

#include "ir/dialect/Moe.h"

namespace moec::compiler {

inline constexpr llvm::StringLiteral buffersName = "moe.buffers"; // of the module: array of dictionaries
inline constexpr llvm::StringLiteral readsName = "reads";         // of a kernel: buffer of each operand
inline constexpr llvm::StringLiteral writesName = "writes";       // of a kernel: buffer of each result
inline constexpr llvm::StringLiteral symbolName = "symbol";       // of a kernel: its image, after emit
inline constexpr llvm::StringLiteral bufferName = "moe.buffer";   // of an argument or result of a called function, and of a parameter or state

mlir::DictionaryAttr toAttribute(const BufferInfo& buffer, mlir::MLIRContext* context);
/// Nothing, with a diagnostic at `where`, when the attribute is not a buffer.
std::optional<BufferInfo> bufferFrom(mlir::Attribute attribute, mlir::Location where);

/// Sizes as an array of canonical texts, and back.
mlir::ArrayAttr sizesAttribute(const std::vector<Size>& sizes, mlir::MLIRContext* context);
std::optional<std::vector<Size>> sizesFrom(mlir::Attribute attribute);

/// Bytes as lower-case hexadecimal digits, and back; nothing when the text is not that.
std::string hexOf(llvm::ArrayRef<uint8_t> bytes);
std::optional<std::vector<uint8_t>> bytesOf(llvm::StringRef text);

} // namespace moec::compiler
