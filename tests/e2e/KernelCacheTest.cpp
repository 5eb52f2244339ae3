// Kernels' images by content: a changed model compiles only the kernels that changed, and whatever lies in the cache the program is the same to the byte.

#include "runtime/core/AtomicFile.h"
#include "runtime/core/Container.h"
#include "runtime/core/Error.h"
#include "tests/e2e/Support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <unistd.h>

namespace moec::test {

namespace fs = std::filesystem;
using testing::HasSubstr;

namespace {

constexpr const char* kSmall = R"({
  "name": "small",
  "inputs": {"x": {"shape": ["batch", 16]}},
  "model": [{"kind": "layer_norm"}, {"kind": "linear", "out": 8, "name": "y"}]
})";

std::vector<uint8_t> bytesOf(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), with);
}

class KernelCache : public testing::Test {
protected:
  TemporaryFolder folder;
  fs::path cache = folder.path() / "moec" / "kernels", model = folder.path() / "model.json";

  void write(const std::string& text) const { std::ofstream(model) << text; }
  CompileResult compile(const fs::path& kernelCache, const std::string& target = "cpu:x86-64-v3") const {
    CompileOptions options;
    options.targets = {target};
    options.kernelCache = kernelCache;
    return compileFile(model, options);
  }
  std::vector<fs::path> entries() const {
    std::vector<fs::path> result;
    for (auto& entry : fs::directory_iterator(cache))
      result.push_back(entry.path());
    std::sort(result.begin(), result.end());
    return result;
  }
};

} // namespace

TEST_F(KernelCache, AChangedLayerIsCompiledAlone) {
  std::vector<uint8_t> file = bytesOf(sourceDir() / "models/zoo/vit-moe.json");
  std::string text(file.begin(), file.end());
  write(text);
  CompileResult first = compile(cache);
  EXPECT_EQ(first.kernelsFromCache, 0);
  EXPECT_EQ(entries().size(), static_cast<size_t>(first.kernelsCompiled));

  CompileResult again = compile(cache);
  EXPECT_EQ(again.kernelsCompiled, 0);
  EXPECT_EQ(again.kernelsFromCache, first.kernelsCompiled);
  EXPECT_EQ(again.program->bytes(), first.program->bytes());

  write(replaced(text, "\"out\": 10", "\"out\": 12"));
  CompileResult changed = compile(cache), fresh = compile({});
  EXPECT_GE(changed.kernelsCompiled, 1);
  EXPECT_LE(changed.kernelsCompiled, 2) << "the product of the scores, and its weights' panels";
  EXPECT_EQ(changed.kernelsCompiled + changed.kernelsFromCache, fresh.kernelsCompiled);
  EXPECT_EQ(changed.program->bytes(), fresh.program->bytes());
  EXPECT_EQ(fresh.kernelsFromCache, 0);
  EXPECT_EQ(changed.badCacheEntries, 0);
  EXPECT_EQ(changed.cacheProblem, "");
}

TEST_F(KernelCache, AnEntryThatIsNotWholeOrOfSomethingElseIsAMiss) {
  write(kSmall);
  CompileResult whole = compile(cache);
  std::vector<fs::path> all = entries();
  ASSERT_GE(all.size(), 2u);
  std::vector<uint8_t> other = bytesOf(all.back()), program = whole.program->bytes();

  using Bytes = std::vector<uint8_t>;
  auto cut = [](auto size) { return [size](Bytes bytes) { return Bytes(bytes.begin(), bytes.begin() + static_cast<long>(size(bytes.size()))); }; };
  auto flip = [](auto place) {
    return [place](Bytes bytes) {
      bytes[place(bytes.size())] ^= 1;
      return bytes;
    };
  };
  // A whole container with one section changed: every digest is right.
  auto section = [](const std::string& name, const std::string& what, const std::string& with) {
    return [=](const Bytes& bytes) {
      Container parsed = Container::parse(bytes, "entry");
      auto sections = parsed.sections();
      const Container::Section* old = parsed.find(name);
      std::string text = replaced(std::string(old->bytes.begin(), old->bytes.end()), what, with);
      for (Container::Section& one : sections)
        if (one.name == name)
          one.bytes = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
      return Container::write(sections);
    };
  };
  const std::pair<const char*, std::function<Bytes(Bytes)>> damages[] = {
      {"empty", cut([](size_t) { return 0; })},
      {"cut in its header", cut([](size_t) { return 20; })},
      {"half", cut([](size_t size) { return size / 2; })},
      {"without its last byte", cut([](size_t size) { return size - 1; })},
      {"with a byte more", [](Bytes bytes) { return bytes.push_back(0), bytes; }},
      {"first byte flipped", flip([](size_t) { return 0; })},
      {"a byte of the middle flipped", flip([](size_t size) { return size / 2; })},
      {"last byte flipped", flip([](size_t size) { return size - 1; })},
      {"a program", [&](Bytes) { return program; }},
      {"of another version of moec", section("key", "moec kernel", "moec kernal")},
      {"stages missing", section("launch", "\"stages\"", "\"stagez\"")},
      {"a size that is none", section("launch", "\"items\":", "\"items\":\"?\",\"was\":")},
      {"no JSON", section("launch", "{", "")},
  };
  auto expectHealed = [&](const std::string& what, int bad) {
    CompileResult result = compile(cache);
    EXPECT_EQ(result.badCacheEntries, bad) << what;
    EXPECT_EQ(result.kernelsCompiled, bad) << what;
    EXPECT_EQ(result.program->bytes(), program) << what;
    EXPECT_EQ(compile(cache).kernelsFromCache, whole.kernelsCompiled) << what;
  };
  for (const auto& [what, damage] : damages) {
    for (const fs::path& entry : all)
      writeFileAtomically(entry, damage(bytesOf(entry)));
    expectHealed(what, whole.kernelsCompiled);
  }
  writeFileAtomically(all.front(), other);
  expectHealed("the entry of another kernel", 1);
}

TEST_F(KernelCache, ATargetHasEntriesOfItsOwn) {
  write(kSmall);
  EXPECT_GT(compile(cache, "cpu:x86-64-v3").kernelsCompiled, 0);
  EXPECT_EQ(compile(cache, "cpu:x86-64-v4").kernelsFromCache, 0);
  CompileResult v4 = compile(cache, "cpu:x86-64-v4");
  EXPECT_EQ(v4.kernelsCompiled, 0);
  EXPECT_EQ(v4.program->bytes(), compile({}, "cpu:x86-64-v4").program->bytes());
}

TEST_F(KernelCache, CudaKernelsKeepWhatTheyTakeOfAGpu) {
  write(kSmall);
  CompileResult first;
  try {
    first = compile(cache, "cuda:sm_90a");
  } catch (const Error& error) {
    if (std::string(error.what()).find("CUDA targets need NVRTC") != std::string::npos)
      GTEST_SKIP() << "[SKIP] " << error.what();
    throw;
  }
  EXPECT_EQ(compile(cache, "cuda:sm_80").kernelsFromCache, 0);
  CompileResult again = compile(cache, "cuda:sm_90a");
  EXPECT_EQ(again.kernelsCompiled, 0);
  EXPECT_EQ(again.kernelsFromCache, first.kernelsCompiled);
  EXPECT_EQ(again.program->bytes(), first.program->bytes());
  for (const LaunchInfo& launch : again.program->data().plans[0].forward)
    for (const StageInfo& stage : launch.stages)
      EXPECT_GT(stage.grid->registers, 0) << stage.grid->function;
}

TEST_F(KernelCache, AFolderThatCannotBeMadeIsSaid) {
  write(kSmall);
  CompileResult plain = compile({});
  CompileResult result = compile(model / "kernels"); // the model is no folder
  EXPECT_THAT(result.cacheProblem, HasSubstr((model / "kernels").string() + ": cannot make the cache's folder: "));
  EXPECT_EQ(result.kernelsCompiled, plain.kernelsCompiled);
  EXPECT_EQ(result.program->bytes(), plain.program->bytes());
}

TEST_F(KernelCache, AFolderThatCannotBeWrittenIsRead) {
  write(kSmall);
  CompileResult plain = compile(cache);
  fs::remove(entries().front());
  constexpr auto kReadOnly =
      fs::perms::owner_read | fs::perms::owner_exec | fs::perms::group_read | fs::perms::group_exec | fs::perms::others_read | fs::perms::others_exec;
  fs::permissions(folder.path(), kReadOnly);
  fs::permissions(cache, kReadOnly);
  bool isRoot = geteuid() == 0;
  constexpr uid_t kNobody = 65534; // what root may write is not read-only
  if (isRoot && seteuid(kNobody) != 0)
    GTEST_SKIP() << "[SKIP] root that may not become another user can write every folder";
  CompileResult result = compile(cache);
  if (isRoot)
    ASSERT_EQ(seteuid(0), 0);
  fs::permissions(cache, fs::perms::owner_all);
  fs::permissions(folder.path(), fs::perms::owner_all);
  EXPECT_THAT(result.cacheProblem, HasSubstr(": cannot create the file: Permission denied"));
  EXPECT_EQ(result.kernelsCompiled, 1);
  EXPECT_EQ(result.kernelsFromCache, plain.kernelsCompiled - 1);
  EXPECT_EQ(result.program->bytes(), plain.program->bytes());
}

} // namespace moec::test
