#pragma once
// Names of targets as a user gives them, and as programs store them.

#include <string>
#include <vector>

namespace moec::compiler {

/// "cpu" becomes this machine's best level; none given: this machine's, the level alone where it has tiles too, and x86-64-v3. Best first, each once. Error(Usage) for an unknown name.
std::vector<std::string> resolveTargets(const std::vector<std::string>& names);

} // namespace moec::compiler
