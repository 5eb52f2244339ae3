#pragma once
// The cache that tests share, so that what many compile is compiled once a run. Not for tests of compiling and of caches themselves.

#include <filesystem>

namespace moec::test {

/// A folder of the build, beside bin, as the commands have one (XDG_CACHE_HOME): kernels by content lie in moec/kernels. `./moecw test` begins with none.
inline std::filesystem::path sharedCache() { return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "test-cache"; }
inline std::filesystem::path sharedKernels() { return sharedCache() / "moec/kernels"; }

} // namespace moec::test
