// Owner of the container, the atomic writer, digests and Program's files: every truncation and every flipped byte is found.

#include "runtime/core/Program.h"
#include "runtime/core/AtomicFile.h"
#include "runtime/core/Container.h"
#include "runtime/core/Digest.h"
#include "runtime/core/NearestName.h"
#include "tests/runtime/Faults.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace moec {
namespace {

namespace fs = std::filesystem;

class Folder {
public:
  Folder() : path(fs::temp_directory_path() / ("moec-test-" + std::to_string(getpid()))) { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Program sampleProgram() {
  Plan plan;
  plan.target = "cpu:x86-64-v3";
  plan.buffers = {{.name = "x", .kind = BufferKind::Input, .shape = {Size::symbol("T")}},
                  {.name = "y", .kind = BufferKind::Output, .shape = {Size::symbol("T")}}};
  plan.forward = {{.kernel = "k", .label = "l", .kind = "rows", .inputs = {0}, .outputs = {1}, .stages = {{1, 0, 1}}}};
  plan.inputs = {{.name = "x", .shape = {Size::symbol("T")}, .buffer = 0}};
  plan.outputs = {{.name = "y", .shape = {Size::symbol("T")}, .buffer = 1}};
  ProgramData data{"tiny", "build-1", {plan}, {}, {}};
  data.kernels["cpu:x86-64-v3/k"] = {1, 2, 3, 4, 5};
  data.ir["cpu:x86-64-v3"] = "module {}";
  return Program(std::move(data));
}

TEST(Digest, KnownAnswers) { // xxhsum -H128 of nothing and of "a"
  EXPECT_EQ(digestOf(std::string_view("")).hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digestOf(std::string_view("a")).hex(), "a96faf705af16834e6c632b61e964e1f");
}

TEST(Program, RoundTrips) {
  Program program = sampleProgram();
  std::vector<uint8_t> bytes = program.bytes();
  Program again = Program::parse(bytes);
  EXPECT_EQ(again.name(), "tiny");
  EXPECT_EQ(again.data().buildId, "build-1");
  EXPECT_EQ(again.data().kernels, program.data().kernels);
  EXPECT_EQ(again.data().ir, program.data().ir);
  ASSERT_NE(again.plan("cpu:x86-64-v3"), nullptr);
  EXPECT_EQ(toJson(*again.plan("cpu:x86-64-v3")), toJson(program.data().plans[0]));
  EXPECT_EQ(again.plan("cpu"), nullptr);
  EXPECT_EQ(again.bytes(), bytes);
  EXPECT_EQ(again.kernel("cpu:x86-64-v3", "k").size(), 5u);
  EXPECT_FAULT(again.kernel("cpu:x86-64-v3", "missing"), Fault::Data, "no kernel 'missing' for target 'cpu:x86-64-v3'");
}

TEST(Program, AnInferenceAndATrainingPlanOfOneTargetStandBesideEachOther) {
  ProgramData data = sampleProgram().data();
  Plan training = data.plans[0];
  training.purpose = Purpose::Training;
  training.forward[0].label = "step";
  data.plans.push_back(training);
  data.ir[irKey(training.target, Purpose::Training)] = "module @training {}";
  Program program = Program::parse(Program(data).bytes());
  ASSERT_NE(program.plan("cpu:x86-64-v3"), nullptr);
  ASSERT_NE(program.plan("cpu:x86-64-v3", Purpose::Training), nullptr);
  EXPECT_EQ(program.plan("cpu:x86-64-v3")->forward[0].label, "l");
  EXPECT_EQ(program.plan("cpu:x86-64-v3", Purpose::Training)->forward[0].label, "step");
  EXPECT_EQ(program.data().ir, data.ir);
  EXPECT_FAULT(requirePlans(sampleProgram().data(), Purpose::Training), Fault::Usage, "program tiny has no plan for training: compile it with --train");
}

TEST(Program, ItsVersionFollowsWhatItHolds) {
  auto manifest = [](const ProgramData& data) {
    std::vector<uint8_t> bytes = Program(data).bytes();
    return std::string(bytes.begin(), bytes.end());
  };
  ProgramData data = sampleProgram().data();
  EXPECT_NE(manifest(data).find("\"version\": 1"), std::string::npos); // what a moec without training reads
  data.plans[0].purpose = Purpose::Training;
  EXPECT_NE(manifest(data).find("\"version\": 2"), std::string::npos);
  data.plans[0].purpose = Purpose::Evaluation;
  EXPECT_NE(manifest(data).find("\"version\": 3"), std::string::npos);
  std::string_view newer = R"({"version": 4, "name": "a", "build_id": "b", "plans": []})";
  EXPECT_FAULT(Program::parse(Container::write({{"manifest", {reinterpret_cast<const uint8_t*>(newer.data()), newer.size()}}})), Fault::Data,
               "version 4 is newer than this moec reads (3)");
}

TEST(Program, RefusesNamesThatSteerATerminalAndBottomlessLists) {
  auto parse = [](std::string_view manifest) {
    return Program::parse(Container::write({{"manifest", {reinterpret_cast<const uint8_t*>(manifest.data()), manifest.size()}}}));
  };
  EXPECT_FAULT(parse(R"({"version": 1, "name": "a\u001b[31m", "build_id": "b", "plans": []})"), Fault::Data, "a text has control characters");
  EXPECT_FAULT(parse(R"({"version": 1, "name": "a", "build_id": "b", "plans": [], "\u0007": 1})"), Fault::Data, "a text has control characters");
  EXPECT_FAULT(parse(R"({"version": 1, "name": "a", "plans": )" + std::string(1 << 20, '[')), Fault::Data, "more than 32 levels deep");
  EXPECT_EQ(parse(R"({"version": 1, "name": "\u00e9/..", "build_id": "b", "plans": []})").name(), "\xc3\xa9/.."); // a name, never a path
}

TEST(Program, EveryTruncationIsAnError) {
  std::vector<uint8_t> bytes = sampleProgram().bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)); // its own block, so that a sanitizer sees its end
    Thrown thrown = thrownBy([&] { Program::parse(cut); });
    ASSERT_TRUE(thrown.thrown) << size;
    ASSERT_EQ(thrown.fault, Fault::Data) << size << thrown.message;
  }
  bytes.push_back(0);
  EXPECT_FAULT(Program::parse(bytes), Fault::Data, "bytes where");
}

TEST(Program, EveryFlippedByteIsAnError) {
  std::vector<uint8_t> bytes = sampleProgram().bytes();
  for (size_t i = 0; i < bytes.size(); ++i)
    for (uint8_t flip : {1, 0x80, 0xFF}) {
      bytes[i] ^= flip;
      Thrown thrown = thrownBy([&] { Program::parse(bytes); });
      bytes[i] ^= flip;
      ASSERT_TRUE(thrown.thrown) << i;
      ASSERT_EQ(thrown.fault, Fault::Data) << i << thrown.message;
    }
}

TEST(Program, NamesTheDamagedSection) {
  std::vector<uint8_t> bytes = sampleProgram().bytes();
  std::vector<uint8_t> cut(bytes.begin(), bytes.end() - 70); // the IR is last, 64 bytes behind the kernel
  EXPECT_FAULT(Program::parse(cut), Fault::Data, "truncated in section 'kernel/cpu:x86-64-v3/k'");
  bytes.back() ^= 1;
  EXPECT_FAULT(Program::parse(bytes), Fault::Data, "section 'ir/cpu:x86-64-v3' is damaged");
}

TEST(Container, RefusesNewerNamingBoth) {
  std::vector<uint8_t> bytes = Container::write({});
  uint32_t newer = 7;
  std::memcpy(bytes.data() + 8, &newer, 4);
  EXPECT_FAULT(Container::parse(bytes, "f"), Fault::Data, "f: format version 7 is newer than this moec reads (1)");
}

TEST(Container, HoldsEmptySectionsAndNone) {
  EXPECT_TRUE(Container::parse(Container::write({}), "f").sections().empty());
  std::vector<uint8_t> bytes = Container::write({{"a", {}}, {"b", {}}});
  Container container = Container::parse(bytes, "f");
  ASSERT_EQ(container.sections().size(), 2u);
  EXPECT_EQ(container.find("b")->bytes.size(), 0u);
  EXPECT_EQ(container.find("c"), nullptr);
  std::vector<uint8_t> twice = Container::write({{"a", {}}, {"a", {}}});
  EXPECT_FAULT(Container::parse(twice, "f"), Fault::Data, "appears twice");
}

TEST(Program, SavesAndLoads) {
  Folder folder;
  fs::path path = folder.path / "p.moec";
  sampleProgram().save(path);
  EXPECT_EQ(Program::load(path).bytes(), sampleProgram().bytes());
  EXPECT_FAULT(Program::load(folder.path / "absent.moec"), Fault::Data, "absent.moec");
  EXPECT_FAULT(Program::load(folder.path), Fault::Data, "not a file");
  std::ofstream(path, std::ios::binary) << "{}";
  EXPECT_FAULT(Program::load(path), Fault::Data, "too few");
}

TEST(AtomicFile, OldFileStaysUntilCommit) {
  Folder folder;
  fs::path path = folder.path / "f";
  writeFileAtomically(path, "old");
  chmod(path.c_str(), 0640);
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(contents(path), "old");
  }
  EXPECT_EQ(contents(path), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()), 1);
  fs::create_symlink("f", folder.path / "link");
  writeFileAtomically(folder.path / "link", "new");
  EXPECT_EQ(contents(path), "new");
  EXPECT_TRUE(fs::is_symlink(folder.path / "link"));
  EXPECT_EQ(fs::status(path).permissions(), fs::perms(0640));
}

TEST(AtomicFile, SaysWhatFailed) {
  Folder folder;
  EXPECT_FAULT(writeFileAtomically(folder.path / "no" / "f", "x"), Fault::System, "No such file");
  EXPECT_FAULT(writeFileAtomically(folder.path, "x"), Fault::System, "Is a directory");
  EXPECT_FAULT(writeFileAtomically("/dev/null", "x"), Fault::System, "/dev/null");
}

TEST(NearestName, Suggests) {
  std::vector<std::string> known{"top_k", "top_n", "switch", "gshard"};
  EXPECT_EQ(nearestName("topk", known), "top_k");
  EXPECT_EQ(nearestName("swithc", known), "switch");
  EXPECT_EQ(nearestName("attention", known), std::nullopt);
  EXPECT_EQ(nearestName("", known), std::nullopt);
  EXPECT_EQ(editDistance("ab", "ba"), 1u);
  EXPECT_EQ(editDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(didYouMean("gshrad", known), "; did you mean \"gshard\"?");
}

} // namespace
} // namespace moec
