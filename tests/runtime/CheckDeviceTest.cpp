// Owner of the check device: it finds planted faults where they are and nowhere else.

#include "runtime/device/check/CheckDevice.h"
#include "runtime/device/cpu/CpuDevice.h"
#include "tests/runtime/Faults.h"
#include "tests/runtime/TinyProgram.h"

#include <cmath>

namespace moec {
namespace {

/// The CPU with one kernel replaced by its faulty form.
class FaultyDevice : public CpuDevice {
public:
  FaultyDevice(std::string kernel, int fault) : CpuDevice({.threads = 1}), kernel_(std::move(kernel)), fault_(fault) {}
  std::unique_ptr<Executable> load(const Program& program, Purpose purpose) override {
    ProgramData data = program.data();
    data.kernels[data.plans[0].target + "/" + kernel_] = tinyImage(fault_);
    return CpuDevice::load(Program(std::move(data)), purpose);
  }

private:
  std::string kernel_;
  int fault_;
};

CheckReport checkTiny(std::shared_ptr<Device> a) {
  Program program(tinyProgramData());
  return check(program, std::move(a), std::make_shared<CpuDevice>(DeviceOptions{.threads = 2}), initialWeights(program.data().plans[0], 1),
               {{"x", tinyTokens(50, 4)}}, {.seed = 1, .step = 2});
}

TEST(CheckDevice, EqualDevicesPass) {
  CheckReport report = checkTiny(std::make_shared<CpuDevice>(DeviceOptions{.threads = 3}));
  EXPECT_TRUE(report.passed()) << report.describeFailures();
  ASSERT_EQ(report.launches.size(), 4u);
  EXPECT_EQ(report.launches[0].list, LaunchList::Prepare);
  EXPECT_EQ(report.launches[2].label, "experts");
  EXPECT_EQ(report.launches[2].kind, "expert_up");
  ASSERT_EQ(report.outputs.size(), 2u);
  EXPECT_EQ(report.outputs[1].tolerance, 1e-12);
}

TEST(CheckDevice, AWrongSumIsFoundInItsLaunchAlone) {
  CheckReport report = checkTiny(std::make_shared<FaultyDevice>("tiny_up", 1));
  EXPECT_FALSE(report.passed());
  EXPECT_TRUE(report.launches[0].passed);
  EXPECT_TRUE(report.launches[1].passed);
  EXPECT_FALSE(report.launches[2].passed);
  EXPECT_EQ(report.launches[2].buffer, "rows");
  EXPECT_GT(report.launches[2].worst, 1e-4);
  EXPECT_LT(report.launches[2].worst, 0.011);
  EXPECT_TRUE(report.launches[3].passed); // it began from B's rows
  EXPECT_FALSE(report.outputs[0].passed);
  EXPECT_NE(report.describeFailures().find("forward launch 1, experts (expert_up): buffer 'rows' differs by"), std::string::npos);
}

TEST(CheckDevice, AFlippedChoiceIsFoundAndReplayed) {
  CheckReport report = checkTiny(std::make_shared<FaultyDevice>("tiny_route", 2));
  EXPECT_FALSE(report.launches[1].passed);
  EXPECT_EQ(report.launches[1].tolerance, 0);
  EXPECT_TRUE(report.launches[2].passed);
  EXPECT_TRUE(report.launches[3].passed);
  for (const OutputCheck& output : report.outputs) // B's routing stands in A's way from end to end
    EXPECT_TRUE(output.passed) << output.name;
}

/// An expert-1 row (twice its tokens' numbers) whose elements 1 and 2 are `first` and `second`; weights of 1.
CheckReport checkTinyRow(float first, float second) {
  Program program(tinyProgramData());
  Tensor x = tinyTokens(50, 4), w(DType::F32, {kTinyWidth});
  std::ranges::fill(w.as<float>(), 1.0f);
  int64_t row = 0;
  while (x.as<float>()[static_cast<size_t>(row * kTinyWidth)] < -0.5f || x.as<float>()[static_cast<size_t>(row * kTinyWidth)] >= 0.5f)
    ++row;
  x.as<float>()[static_cast<size_t>(row * kTinyWidth + 1)] = first;
  x.as<float>()[static_cast<size_t>(row * kTinyWidth + 2)] = second;
  auto cpu = [] { return std::make_shared<CpuDevice>(DeviceOptions{.threads = 1}); };
  return check(program, cpu(), cpu(), {{"w", w}}, {{"x", x}}, {.seed = 1, .step = 2});
}

// Rows overflow to both infinities, which are equal; their sum is NaN on both devices.
TEST(CheckDevice, ANanOfBothIsAFindingWhereItIsMade) {
  CheckReport report = checkTinyRow(3e38f, -3e38f);
  EXPECT_FALSE(report.passed());
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(report.launches[i].passed) << i;
  EXPECT_EQ(report.launches[3].nans, 1);
  EXPECT_NE(report.describeFailures().find("buffer 'total' is NaN on both devices at 1 elements, and no input is: nothing is compared there"),
            std::string::npos)
      << report.describeFailures();
  EXPECT_EQ(report.describeFailures().find("differs"), std::string::npos);
}

TEST(CheckDevice, ANanThatComesInMayGoOut) {
  CheckReport report = checkTinyRow(NAN, 1);
  EXPECT_TRUE(report.passed()) << report.describeFailures();
}

TEST(CheckDevice, ServesASession) {
  auto device = std::make_shared<CheckDevice>(std::make_shared<FaultyDevice>("tiny_up", 1), std::make_shared<CpuDevice>(DeviceOptions{.threads = 1}));
  Session session(Program(tinyProgramData()), device);
  session.init(1);
  session.run({{"x", tinyTokens(9, 1)}});
  const CheckReport& report = dynamic_cast<CheckExecutable&>(session.executable()).report();
  EXPECT_EQ(report.launches.size(), 4u);
  EXPECT_FALSE(report.passed());
}

using Buffers = std::vector<BufferCheck>;

LaunchCheck launchOf(Buffers buffers) {
  LaunchCheck check;
  check.buffers = std::move(buffers);
  check.judge();
  return check;
}

TEST(CheckReport, NothingIsHeldToMoreDigitsThanItHas) {
  auto launch = [](const char* buffer, double worst) { return launchOf({{buffer, worst, 1e-5}}); };
  auto output = [](double worst) { return OutputCheck{"y", worst, 1e-5, worst <= 1e-5, ResultKind::State}; };
  CheckReport report{{launch("a", 1e-4), launch("b", 1e-4), launch("c", 1e-4), launch("d", 1e-4), launch("e", 0.5)}, {output(1e-4), output(1e-4)}};
  report.allowForRounding(
      {{launch("a", 2e-5), launch("b", 1e-7), launch("other", 2e-5), launch("d", INFINITY), launch("e", 0.5)}, {output(2e-5), output(1e-7)}});
  auto isAllowed = [&](size_t i) { return report.launches[i].passed; };
  EXPECT_TRUE(isAllowed(0));  // roundings move it as far
  EXPECT_FALSE(isAllowed(1)); // they do not
  EXPECT_FALSE(isAllowed(2)); // of another buffer
  EXPECT_FALSE(isAllowed(3)); // no number
  EXPECT_FALSE(isAllowed(4)); // another choice
  EXPECT_TRUE(report.outputs[0].passed);
  EXPECT_FALSE(report.outputs[1].passed);
  EXPECT_DOUBLE_EQ(report.launches[0].tolerance, roundingFactor * 2e-5);
  EXPECT_DOUBLE_EQ(report.launches[1].tolerance, 1e-5);
}

TEST(CheckReport, EachOutputOfALaunchIsAllowedForByItself) {
  // Two outputs of one name, as a launch's temporaries have them: the first, and worse, has no more digits; of the second all are wanted.
  Buffers found = {{"rows", 1e-4, 1e-5}, {"rows", 5e-5, 1e-5}}, moved = {{"rows", 2e-5, 1e-5}, {"rows", 1e-7, 1e-5}};
  CheckReport report{{launchOf(found), launchOf({{"a", 1e-4, 1e-5}, {"b", 5e-5, 1e-5}})}, {}};
  // Of the second launch roundings move the other output most.
  report.allowForRounding({{launchOf(moved), launchOf({{"a", 2e-5, 1e-5}, {"b", 4e-5, 1e-5}})}, {}});
  EXPECT_FALSE(report.launches[0].passed);
  EXPECT_DOUBLE_EQ(report.launches[0].worst, 5e-5);
  EXPECT_DOUBLE_EQ(report.launches[0].tolerance, 1e-5);
  EXPECT_EQ(report.describeFailures(), "forward launch -1,  (): buffer 'rows' differs by 5.0e-05, allowed 1.0e-05\n");
  EXPECT_TRUE(report.launches[1].passed);
}

TEST(RelativeError, CountsWhatIsNotFinite) {
  auto f = [](std::vector<double> values) { return Tensor::of<double>(values, {static_cast<int64_t>(values.size())}); };
  EXPECT_EQ(relativeError(f({1, 2}), f({1, 2})), 0);
  EXPECT_EQ(relativeError(f({1, 2.5}), f({1, 2})), 0.25);
  EXPECT_EQ(relativeError(f({NAN, INFINITY, 1}), f({NAN, INFINITY, 1})), 0);
  EXPECT_EQ(relativeError(f({NAN}), f({1})), INFINITY);
  EXPECT_EQ(relativeError(f({INFINITY}), f({-INFINITY})), INFINITY);
  EXPECT_EQ(relativeError(f({1e-30}), f({0})), INFINITY);
  EXPECT_EQ(relativeError(f({1, 7}), f({1, 2}), 1), 0);
  EXPECT_FAULT(relativeError(f({1}), f({1, 2})), Fault::Internal, "compared");
}

} // namespace
} // namespace moec
