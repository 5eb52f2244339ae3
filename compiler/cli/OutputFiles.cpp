#include "compiler/cli/OutputFiles.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

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
  for (const auto& [flag, file] : outputs) {
    if (!file)
      continue;
    std::error_code code;
    bool isPlain = !std::filesystem::exists(*file, code) || std::filesystem::is_regular_file(*file, code); // not /dev/null
    for (size_t i = 0; isPlain && i < taken.size(); ++i)
      if (isSameFile(*file, taken[i].second))
        throw Error(Fault::Usage, i < read ? fmt::format("{} would write over {}, {}; name another file", flag, taken[i].first, file->string())
                                           : fmt::format("{} and {} name one file, {}", taken[i].first, flag, file->string()));
    if (std::filesystem::is_directory(*file, code))
      throw Error(Fault::System, fmt::format("{} {}: it is a folder; name a file", flag, file->string()));
    taken.emplace_back(flag, *file);
    path folder = file->parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder, code))
      throw Error(Fault::System, fmt::format("{} {}: there is no folder {}", flag, file->string(), folder.string()));
  }
}

} // namespace moec::cli
