#include "runtime/train/OutFolder.h"

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Error.h"
#include "runtime/io/MappedFile.h"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace moec::train {
namespace {

namespace fs = std::filesystem;

constexpr const char *kModel = "model.json", *kConfig = "train.json";
constexpr const char* kTokenizers[] = {"tokenizer.model", "tokenizer.json"}; // Tokenizer::fileName()

fs::path fullPath(const fs::path& path) { return path.empty() ? path : fs::absolute(path).lexically_normal(); }

/// A file that has these bytes already stays as it is.
void writeWhereItDiffers(const fs::path& path, std::string_view text) {
  if (std::error_code code; fs::exists(path, code)) {
    MappedFile old = MappedFile::open(path);
    if (std::string_view(reinterpret_cast<const char*>(old.bytes().data()), old.bytes().size()) == text)
      return;
  }
  writeFileAtomically(path, text);
}

} // namespace

void writeOutFolder(const Config& config, const data::OpenedData& data) {
  std::error_code code;
  fs::create_directories(config.out, code);
  if (code)
    throw Error(Fault::System, fmt::format("{}: cannot make the folder: {}", config.out.string(), code.message()));
  if (!config.model.empty()) {
    MappedFile model = MappedFile::open(config.model);
    writeWhereItDiffers(config.out / kModel, {reinterpret_cast<const char*>(model.bytes().data()), model.bytes().size()});
  }
  if (fs::exists(config.out / kConfig, code)) // a training that was begun here before, and another tokenizer's
    for (const char* name : kTokenizers)
      if (!data.tokenizer || data.tokenizer->fileName() != name)
        fs::remove(config.out / name, code);
  if (data.tokenizer && !data.tokenizer->fileName().empty())
    writeWhereItDiffers(config.out / data.tokenizer->fileName(), data.tokenizer->fileBytes());
  Config kept = config;
  for (fs::path* path : {&kept.data.path, &kept.data.validationPath, &kept.weights, &kept.record, &kept.replay})
    *path = fullPath(*path);
  if (data::isTokenizerFile(kept.data.tokenizer))
    kept.data.tokenizer = fullPath(kept.data.tokenizer).string();
  writeWhereItDiffers(config.out / kConfig, toJson(kept));
}

Config readOutFolder(const fs::path& out) {
  std::error_code code;
  if (!fs::exists(out / kConfig, code))
    throw Error(Fault::Usage, fmt::format("{} holds no training: there is no {}", out.string(), (out / kConfig).string()));
  Config config;
  readConfig(out / kConfig, config);
  config.out = out;
  if (fs::exists(out / kModel, code))
    config.model = out / kModel;
  for (const char* name : kTokenizers)
    if (fs::exists(out / name, code))
      config.data.tokenizerInHand = data::openTokenizer(out / name);
  return config;
}

void removeUnfinished(const fs::path& out) {
  std::error_code code;
  std::vector<fs::path> halves;
  for (fs::directory_iterator entry(out, code), end; !code && entry != end; entry.increment(code)) {
    std::string name = entry->path().filename().string();
    if (name.ends_with(".part") &&
        (name.starts_with("model.json.") || name.starts_with("train.json.") || name.starts_with("tokenizer.") || name.starts_with("metrics.jsonl.")))
      halves.push_back(entry->path()); // AtomicFile's
  }
  for (const fs::path& half : halves)
    fs::remove(half, code);
}

FolderLock::FolderLock(const fs::path& out) {
  std::error_code made;
  fs::create_directories(out, made);
  handle_ = open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle_ < 0)
    throw Error(Fault::System, fmt::format("{}: cannot open the folder: {}", out.string(), made ? made.message() : std::generic_category().message(errno)));
  if (flock(handle_, LOCK_EX | LOCK_NB) != 0) {
    int code = errno;
    close(handle_);
    if (code == EWOULDBLOCK)
      throw Error(Fault::Usage, fmt::format("{}: another training is writing there", out.string()));
    throw Error(Fault::System, fmt::format("{}: cannot lock the folder: {}", out.string(), std::generic_category().message(code)));
  }
}

FolderLock::~FolderLock() { close(handle_); }

} // namespace moec::train
