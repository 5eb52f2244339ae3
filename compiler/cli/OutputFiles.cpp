#include "compiler/cli/OutputFiles.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace moec::cli {

namespace {

using std::filesystem::path;

bool isSameFile(const path& a, const path& b) {
  std::error_code code;
  if (std::filesystem::equivalent(a, b, code))
    return true;
  return std::filesystem::weakly_canonical(a, code) == std::filesystem::weakly_canonical(b, code) && !code;
}

/// The files that the command reads, each with the words for it.
std::vector<std::pair<std::string, path>> sourcesOf(const CommonOptions& options) {
  std::vector<std::pair<std::string, path>> sources{{"the model", options.file}};
  if (options.weights)
    sources.emplace_back("--weights", *options.weights);
  if (options.draws)
    sources.emplace_back("--draws", *options.draws);
  if (options.replay)
    sources.emplace_back("--replay", *options.replay);
  for (const std::string& input : options.inputs)
    if (size_t equals = input.find('='); equals != std::string::npos)
      sources.emplace_back("--input " + input.substr(0, equals), input.substr(equals + 1));
  return sources;
}

} // namespace

void checkOutputFiles(const CommonOptions& options, std::vector<OutputFile> outputs) {
  outputs.push_back({"--trace", options.trace});
  outputs.push_back({"--save-weights", options.saveWeights});
  std::vector<std::pair<std::string, path>> taken = sourcesOf(options);
  size_t read = taken.size();
  for (const auto& [flag, file, isFolder, isAddedTo] : outputs) {
    if (!file || file->empty())
      continue;
    std::error_code code;
    std::filesystem::file_status there = std::filesystem::status(*file, code);
    if (isFolder) {
      if (std::filesystem::exists(there) && !std::filesystem::is_directory(there))
        throw Error(Fault::Usage, fmt::format("{} {}: it is a file; name a folder", flag, file->string()));
      continue;
    }
    if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there))
      throw Error(Fault::Usage, fmt::format("{} {}: it is {}; name a file", flag, file->string(),
                                            std::filesystem::is_directory(there) ? "a folder" : "a device or a pipe, which no file takes the place of"));
    for (size_t i = 0; i < taken.size(); ++i)
      if (isSameFile(*file, taken[i].second))
        throw Error(Fault::Usage, i < read ? fmt::format("{} would write over {}, {}; name another file", flag, taken[i].first, file->string())
                                           : fmt::format("{} and {} name one file, {}", taken[i].first, flag, file->string()));
    taken.emplace_back(flag, *file);
    path folder = file->has_parent_path() ? file->parent_path() : ".";
    if (!std::filesystem::is_directory(folder, code))
      throw Error(Fault::System, fmt::format("{} {}: there is no folder {}", flag, file->string(), folder.string()));
    if (std::filesystem::exists(there) && isAddedTo)
      continue;
    if (std::filesystem::is_symlink(*file, code)) // what it points to is replaced, by a file made beside that
      folder = std::filesystem::weakly_canonical(*file, code).parent_path();
    if (access(folder.c_str(), W_OK) != 0)
      throw Error(Fault::System, fmt::format("{} {}: nothing can be written into {}: {}", flag, file->string(), folder.string(), std::strerror(errno)));
  }
}

} // namespace moec::cli
