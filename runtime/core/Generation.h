#pragma once
// Names that plans for generation share with those who call them.

namespace moec {

/// The input, i64 [], that says how many tokens of each sequence stand before those of the call. Its rule "below" is the context.
inline constexpr const char* kPositionInput = "generate.position";

} // namespace moec
