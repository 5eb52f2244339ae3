#pragma once
// The kinds' tables as text: a JSON Schema for editors, and models/README.md.

#include <string>

namespace moec::models {

/// JSON Schema (draft 2020-12) of a model file, indented, with a newline at its end.
std::string modelSchema();
/// models/README.md: every kind with its parameters and its source.
std::string modelsReadme();

} // namespace moec::models
