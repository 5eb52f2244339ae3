#include "runtime/io/SafeTensors.h"
#include "tests/cli/Process.h"
#include "tests/cli/ScaleProgram.h"

#include <nlohmann/json.hpp>

#include <limits>

using namespace moec;
using namespace moec::test;
using testing::HasSubstr;

namespace {

class CompiledProgram : public CommandTest {
protected:
  std::string program = path("scale.moec");
  std::string rows = file("x.json", "[[1, 2, 3], [4, 5, 6]]");

  void SetUp() override {
    CommandTest::SetUp();
    rows = file("x.json", "[[1, 2, 3], [4, 5, 6]]");
    scaleProgram().save(program);
  }
  std::string weights(std::vector<float> values, const std::string& name = "scale.weight") {
    int64_t size = static_cast<int64_t>(values.size());
    writeSafeTensors(path("w.safetensors"), {{name, Tensor::of(std::move(values), {size})}});
    return path("w.safetensors");
  }
};

TEST_F(CompiledProgram, RunPrintsATable) {
  Outcome outcome = moec({"run", program, "--weights", weights({1, 10, -0.5f}), "--input", "x=" + rows});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "y f32[2, 3]\n[0]  1  20  -1.5\n[1]  4  50    -3\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(CompiledProgram, RunPrintsJson) {
  Outcome outcome = moec({"run", program, "--init", "0", "--input", "x=" + rows, "--json", "--threads", "2"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "{\"target\": \"cpu:x86-64-v3\", \"outputs\": {\"y\": {\"dtype\": \"f32\", \"shape\": [2, 3], "
                         "\"values\": [[1, 2, 3], [4, 5, 6]]}}}\n");
}

TEST_F(CompiledProgram, RunWritesFiles) {
  Outcome outcome = moec({"run", program, "--init", "0", "--input", "x=" + rows, "--output", path("y.safetensors")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(readSafeTensors(path("y.safetensors")).at("y").toDoubles(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  expectFailure({"run", program, "--init", "0", "--input", "x=" + rows, "--output", path("y.csv")}, 2, "expected .npy, .safetensors or .json");
  expectFailure({"run", program, "--init", "0", "--input", "x=" + rows, "--output", "/nowhere/y.npy"}, 5, "/nowhere");
}

TEST_F(CompiledProgram, ResultsAreInputs) {
  std::vector<std::string> run{"run", program, "--init", "0", "--input", "x=" + rows};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), run.begin(), run.end());
    return more;
  };
  for (const char* name : {"y.json", "y.npy", "y.safetensors"}) {
    EXPECT_EQ(moec(with({"--output", path(name)})).code, 0);
    Outcome again = moec({"run", program, "--weights", weights({2, 2, 2}), "--input", "x=" + path(name)});
    EXPECT_EQ(again.code, 0) << name << again.err;
    EXPECT_EQ(again.out, "y f32[2, 3]\n[0]  2   4   6\n[1]  8  10  12\n") << name;
  }
}

TEST_F(CompiledProgram, InitialWeightsAreSaved) {
  for (const char* command : {"run", "inspect"}) {
    std::vector<std::string> arguments{command, program, "--init", "0", "--save-weights", path("saved.safetensors")};
    if (arguments[0] == "run")
      arguments.insert(arguments.end(), {"--input", "x=" + rows});
    Outcome outcome = moec(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(readSafeTensors(path("saved.safetensors")).at("scale.weight").toDoubles(), (std::vector<double>{1, 1, 1})) << command;
    EXPECT_EQ(moec({"run", program, "--weights", path("saved.safetensors"), "--input", "x=" + rows}).code, 0);
    fs::remove(path("saved.safetensors"));
  }
  expectFailure({"inspect", program, "--save-weights", path("w")}, 2, "--init");
}

TEST_F(CompiledProgram, WhatAWeightsFileIsIsNamed) {
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", std::string(MOEC_SOURCE) + "/examples/photo.png"}, 1,
                "photo.png: expected a safetensors file; found a PNG picture");
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", rows}, 1, "expected a safetensors file; found JSON text");
  // Its ninth byte is a header's first.
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", file("w.json", R"({"abc": {"d": 1}})")}, 1,
                "expected a safetensors file; found JSON text");
}

/// The file's fault, not the caller's.
TEST_F(CompiledProgram, ValuesThatTheModelRefusesAreOne) {
  ProgramData data = scaleProgram(true).data();
  Program(ProgramData(data)).save(program);
  writeSafeTensors(path("d.safetensors"), {{"noise", Tensor::of(std::vector<float>{7, 8, 9, 10}, {1, 4})}});
  expectFailure({"run", program, "--init", "0", "--draws", path("d.safetensors")}, 1, "'noise' is f32[1, 4], expected f32[batch, 3]");
  Plan& plan = data.plans[0];
  plan.buffers[0].dtype = plan.inputs[0].dtype = DType::I32;
  plan.inputs[0].isDraw = false;
  plan.inputs[0].name = "ids";
  plan.inputs[0].below = 10;
  Program(std::move(data)).save(program);
  expectFailure({"run", program, "--init", "0", "--input", "ids=" + file("ids.json", "[[1, 2, 12]]")}, 1, "input 'ids': element 2 is 12, expected 0 to 9");
}

TEST_F(CompiledProgram, ExplainAndInspectChooseAmongTargets) {
  scaleCudaProgram().save(program);
  EXPECT_THAT(moec({"explain", program, "--target", "cuda:sm_80"}).out, HasSubstr("scale for cuda:sm_80: 2 launches"));
  EXPECT_THAT(moec({"explain", program}).out, HasSubstr("scale for cpu:x86-64-v3: 1 launch a call"));
  for (const char* command : {"explain", "inspect"})
    expectFailure({command, program, "--target", "cuda:sm_90a"}, 2, "has no plan for target \"cuda:sm_90a\"; it is compiled for: cpu:x86-64-v3, cuda:sm_80");
  EXPECT_THAT(moec({"inspect", program}).out, HasSubstr("\nparameters\n  name          dtype  shape  elements\n  scale.weight  f32    [3]           3\n"));
}

TEST_F(CompiledProgram, WeightsAreANamedChoice) {
  expectFailure({"run", program, "--input", "x=" + rows}, 2, "has 1 parameter and no weights: give --weights FILE, or --init SEED");
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", path("none")}, 1, "cannot read");
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", weights({1, 2, 3}, "scale.wieght")}, 1, "scale.weight");
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", weights({1, 2})}, 1, "[2]");
  std::string nan = weights({1, std::numeric_limits<float>::quiet_NaN(), 3});
  expectFailure({"run", program, "--input", "x=" + rows, "--weights", nan}, 1, "scale.weight");
  EXPECT_EQ(moec({"run", program, "--input", "x=" + rows, "--weights", nan, "--allow-nonfinite"}).code, 0);
}

TEST_F(CompiledProgram, InputsAreChecked) {
  std::vector<std::string> run{"run", program, "--init", "0"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), run.begin(), run.end());
    return more;
  };
  expectFailure(with({}), 2, "input \"x\" is missing: give --input x=FILE");
  expectFailure(with({"--input", "x"}), 2, "--input x: expected NAME=VALUE");
  expectFailure(with({"--input", "y=" + rows}), 2, "the model has no input \"y\"");
  expectFailure(with({"--input", "x=" + rows, "--input", "x=" + rows}), 2, "x is given twice");
  expectFailure(with({"--input", "x=" + file("narrow", "[[1, 2]]")}), 1, "f32[1, 2], but input \"x\" takes f32[batch, 3]");
  expectFailure(with({"--input", "x=" + file("none", "[]")}), 1, "f32[0], but input \"x\" takes f32[batch, 3]");
  expectFailure(with({"--input", "x=" + rows, "--draws", rows}), 1, rows);
  expectFailure(with({"--input", "x=" + rows, "--target", "cpu"}), 2, "--target changes how a model is compiled");
  expectFailure(with({"--input", "x=" + rows, "--device", "gpu"}), 2, "gpu");
}

TEST_F(CompiledProgram, DrawsComeFromAFile) {
  scaleProgram(true).save(program);
  writeSafeTensors(path("d.safetensors"), {{"noise", Tensor::of(std::vector<float>{7, 8, 9}, {1, 3})}});
  Outcome outcome = moec({"run", program, "--init", "0", "--draws", path("d.safetensors")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "y f32[1, 3]\n[0]  7  8  9\n");
  expectFailure({"run", program, "--init", "0"}, 2, "give --draws FILE with noise");
  writeSafeTensors(path("d.safetensors"), {{"nois", Tensor::of(std::vector<float>{7, 8, 9}, {1, 3})}});
  expectFailure({"run", program, "--init", "0", "--draws", path("d.safetensors")}, 1, "\"nois\" is no draw of the model; did you mean \"noise\"?");
}

TEST_F(CompiledProgram, ADamagedFileIsRefused) {
  std::string whole = slurp(program);
  for (size_t size : {size_t{9}, size_t{60}, whole.size() / 2, whole.size() - 1})
    expectFailure({"run", file("cut.moec", whole.substr(0, size)), "--init", "0", "--input", "x=" + rows}, 1, "cut.moec");
  std::string flipped = whole;
  flipped[whole.size() - 200] ^= 1;
  expectFailure({"inspect", file("bad.moec", flipped)}, 1, "bad.moec");
}

TEST_F(CompiledProgram, AKernelThatIsMissingIsNamed) {
  ProgramData data = scaleProgram().data();
  data.kernels.clear();
  Program(std::move(data)).save(program);
  expectFailure({"run", program, "--init", "0", "--input", "x=" + rows}, 1, "scale");
}

TEST_F(CompiledProgram, InspectCounts) {
  Outcome outcome = moec({"inspect", program, "--json", "--size", "batch=8"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["parameters"], 3);
  EXPECT_EQ(json["flops"], 24);
  EXPECT_EQ(json["bytes"], 8 * 24 + 12);
  EXPECT_EQ(json["sizes"]["batch"], 8);
  EXPECT_EQ(json["kernels"][0]["symbol"], "scale");
  EXPECT_EQ(json["kernels"][0]["image_bytes"], kernelImage().size());
  EXPECT_EQ(json["forward"][0]["layer"], "layers.0.scale");
  EXPECT_EQ(json["memory"]["parameters"], 12);
  // Without --size the model's own check sizes hold.
  EXPECT_EQ(nlohmann::json::parse(moec({"inspect", program, "--json"}).out)["flops"], 15);
  EXPECT_THAT(moec({"inspect", program}).out, HasSubstr("parameters  3\n"));
  expectFailure({"inspect", program, "--size", "bach=8"}, 2, "the model has no size \"bach\"; did you mean \"batch\"?");
  expectFailure({"inspect", program, "--size", "batch=0"}, 2, "expected a positive integer, found 0");
}

TEST_F(CompiledProgram, AFullDiskBehindStdoutIsFive) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"inspect", program, "--json"}, {"run", program, "--init", "0", "--input", "x=" + rows}}) {
    Outcome outcome = moec(command, "/dev/full");
    EXPECT_EQ(outcome.code, 5) << command[0];
    EXPECT_THAT(outcome.err, HasSubstr("cannot write the results to stdout")) << command[0];
  }
}

TEST_F(CompiledProgram, InspectTakesItApart) {
  Outcome outcome = moec({"inspect", program, "--extract", path("parts")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(slurp(path("parts/cpu_x86-64-v3/kernels/scale.so")), kernelImage());
  EXPECT_EQ(slurp(path("parts/cpu_x86-64-v3/ir.mlir")), "module {}\n");
  EXPECT_EQ(nlohmann::json::parse(slurp(path("parts/manifest.json")))["name"], "scale");
}

TEST_F(CompiledProgram, InspectTakesCudaKernelsApartInTheirForms) {
  scaleCudaProgram().save(program);
  Outcome outcome = moec({"inspect", program, "--extract", path("parts")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(slurp(path("parts/cuda_sm_80/kernels/scale.cu")), "// text\n");
  EXPECT_EQ(slurp(path("parts/cuda_sm_80/kernels/scale.ptx")), ".version 9.0\n");
  EXPECT_EQ(slurp(path("parts/cuda_sm_80/kernels/scale.cubin")), std::string("\x7f"
                                                                             "ELF\0\1",
                                                                             6));
  EXPECT_FALSE(fs::exists(path("parts/cuda_sm_80/kernels/scale.so")));
  EXPECT_EQ(slurp(path("parts/cpu_x86-64-v3/kernels/scale.so")), kernelImage());
  ProgramData data = scaleCudaProgram().data();
  data.kernels["cuda:sm_80/scale"].resize(60);
  Program(std::move(data)).save(program);
  expectFailure({"inspect", program, "--extract", path("cut")}, 1, "scale: truncated");
}

TEST_F(CompiledProgram, InspectShowsWhatKernelsTakeOfAGpu) {
  scaleCudaProgram().save(program);
  Outcome outcome = moec({"inspect", program, "--target", "cuda:sm_80", "--size", "batch=7"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("targets     cpu:x86-64-v3, cuda:sm_80; choose with --target\n"));
  // 12 blocks of 4 warps, 2 of 32 (1000 threads are 31 and a bit), of 64.
  EXPECT_THAT(outcome.out, HasSubstr("functions of kernels, a launch each at batch=7\n"
                                     "  kind  function  layer              launches  blocks  threads  registers  "
                                     "spills    shared  blocks/SM  occupancy\n"
                                     "  rows  rows      layers.0.scale +1         2      28      128         40     0 "
                                     "B  6.75 KiB         12        75%\n"
                                     "        other                                       1     1000         10     0 B "
                                     "      0 B          2       100%\n"
                                     "no spills\n"));
  auto json = nlohmann::json::parse(moec({"inspect", program, "--target", "cuda:sm_80", "--json"}).out);
  EXPECT_EQ(json["target"], "cuda:sm_80");
  EXPECT_EQ(json["targets"], nlohmann::json({"cpu:x86-64-v3", "cuda:sm_80"}));
  EXPECT_EQ(json["kernels"][0]["layers"], nlohmann::json({"layers.0.scale", "layers.1.scale"}));
  EXPECT_EQ(json["kernels"][0]["functions"][0], nlohmann::json({{"function", "scale_rows"},
                                                                {"blocks", 20},
                                                                {"threads", 128},
                                                                {"registers", 40},
                                                                {"spill_bytes", 0},
                                                                {"stack_bytes", 16},
                                                                {"shared_bytes", 6912},
                                                                {"blocks_per_multiprocessor", 12},
                                                                {"occupancy", 0.75}}));
  scaleCudaProgram(24).save(program);
  outcome = moec({"inspect", program, "--target", "cuda:sm_80"});
  EXPECT_THAT(outcome.out, HasSubstr("\nspills: rows rows of layers.0.scale +1, 24 B a thread (scale)\n"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("no spills")));
}

TEST_F(CompiledProgram, InspectChoosesAmongItsTargets) {
  scaleCudaProgram().save(program);
  for (auto [flag, target] : {std::pair("cuda:sm_80", "cuda:sm_80"), {"cpu", "cpu:x86-64-v3"}, {"cpu:x86-64-v3", "cpu:x86-64-v3"}})
    EXPECT_EQ(nlohmann::json::parse(moec({"inspect", program, "--json", "--target", flag}).out)["target"], target);
  EXPECT_EQ(nlohmann::json::parse(moec({"inspect", program, "--json"}).out)["target"], "cpu:x86-64-v3");
  expectFailure({"inspect", program, "--target", "cuda:sm_90a"}, 2, "has no plan for target \"cuda:sm_90a\"; it is compiled for: cpu:x86-64-v3, cuda:sm_80");
}

TEST_F(CompiledProgram, ExplainNamesOpsAndReason) {
  Outcome outcome = moec({"explain", program});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("layers.0.scale\n"));
  EXPECT_THAT(outcome.out, HasSubstr("moe.mul"));
  EXPECT_THAT(outcome.out, HasSubstr("ends here: the model's output"));
  auto line = nlohmann::json::parse(moec({"explain", program, "--json"}).out);
  EXPECT_EQ(line["kernel"], "scale");
  EXPECT_EQ(line["ops"][0], "moe.mul");
}

TEST_F(CompiledProgram, InvarianceIsDemandedOfThePlanThatIsUsed) {
  std::vector<std::string> run{"run", program, "--init", "0", "--input", "x=" + rows, "--invariant"}, bench{"bench", program, "--invariant"};
  EXPECT_THAT(moec({"inspect", program}).out,
              HasSubstr("bits        do not depend on threads; whether a row's do on its neighbours, this program does not say\n"));
  const char* unsaid = "--invariant: the plan for cpu:x86-64-v3 does not say whether a row's bits depend on its neighbours: compile the model again";
  for (const auto& command : std::vector<std::vector<std::string>>{run, bench, {"inspect", program, "--invariant"}, {"explain", program, "--invariant"}})
    expectFailure(command, 2, unsaid);

  // A plan that couples is nothing to who uses another.
  ProgramData data = scaleCudaProgram().data();
  data.plans[0].invariant = true;
  data.plans[1].couplings = {{.label = "layers.1.scale", .why = "mul pairs rows of a call with each other"}};
  Program(ProgramData(data)).save(program);
  EXPECT_EQ(moec(run).code, 0) << moec(run).err;
  EXPECT_THAT(moec({"inspect", program, "--invariant"}).out, HasSubstr("bits        a row's do not depend on its neighbours\n"));
  const char* coupled = "on cuda:sm_80 a row's bits depend on its neighbours: layers.1.scale: mul pairs rows of a call with each other";
  for (const char* command : {"inspect", "explain"})
    expectFailure({command, program, "--invariant", "--target", "cuda:sm_80"}, 2, coupled);
  EXPECT_THAT(moec({"inspect", program, "--target", "cuda:sm_80"}).out, HasSubstr("a row's do on its neighbours:\n            layers.1.scale: mul pairs rows"));

  std::swap(data.plans[0].invariant, data.plans[1].invariant);
  std::swap(data.plans[0].couplings, data.plans[1].couplings);
  Program(std::move(data)).save(program);
  expectFailure(run, 2, "on cpu:x86-64-v3 a row's bits depend on its neighbours: layers.1.scale: mul pairs");

  for (auto [flag, sums] : {std::pair("--train", "gradients"), std::pair("--evaluate", "losses")})
    expectFailure({"inspect", program, "--invariant", flag}, 2,
                  fmt::format("--invariant is for inference and generation: {} are sums over the rows of a call; leave it or {} out", sums, flag));
}

TEST_F(CompiledProgram, CompileRefusesAProgram) { expectFailure({"compile", program}, 2, "is compiled already"); }

} // namespace
