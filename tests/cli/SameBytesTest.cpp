// A program's bytes are a function of the model's bytes, its file's name, the options, the compiler and the machine: not of where the model lies, and
// not of what is cached.

#include "tests/cli/Process.h"

using namespace moec::test;

namespace {

class SameBytes : public CommandTest {
protected:
  /// The program of a copy of the model in a folder of its own, with a cache of its own.
  std::string compiled(const std::string& model, const std::string& where, const std::vector<std::string>& options) {
    fs::create_directories(folder / where);
    fs::path copy = folder / where / fs::path(model).filename();
    fs::copy_file(model, copy, fs::copy_options::overwrite_existing);
    environment = {{"XDG_CACHE_HOME", path("cache of " + where)}};
    std::vector<std::string> arguments{"compile", copy.string(), "-o", path(where + "/out.moec")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::string bytes = slurp(path(where + "/out.moec"));
    EXPECT_FALSE(bytes.empty());
    EXPECT_EQ(bytes.find(folder.string()), std::string::npos) << "the program names the folder that the model lay in";
    return bytes;
  }
};

TEST_F(SameBytes, WhereverTheModelLies) {
  for (const char* name : {"batched-experts", "vit-moe"}) {
    std::string model = std::string(MOEC_SOURCE "/models/zoo/") + name + ".json";
    std::string plain = compiled(model, "a", {});
    EXPECT_TRUE(plain == compiled(model, "b/deeper", {})) << name;
    fs::remove_all(path("cache of b/deeper/moec/programs"));
    EXPECT_TRUE(plain == compiled(model, "b/deeper", {})) << name << ", from its kernels";
    std::string lines = compiled(model, "a", {"-g"});
    EXPECT_TRUE(lines == compiled(model, "b/deeper", {"-g"})) << name << " -g";
    EXPECT_TRUE(lines == compiled(model, "a", {"-g", "--no-cache"})) << name << " -g, compiled again";
    EXPECT_FALSE(lines == plain) << name;
  }
}

} // namespace
