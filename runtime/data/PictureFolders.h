#pragma once
// What a folder of pictures looks like from outside.

#include <filesystem>

namespace moec::data {

/// By its name: .png, .jpg or .jpeg.
bool isPictureFile(const std::filesystem::path& path);
/// Does a picture stand in the folder, or at most `depth` - 1 folders below it?
bool holdsPictures(const std::filesystem::path& folder, int depth);

} // namespace moec::data
