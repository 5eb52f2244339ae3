#include "compiler/cli/bench/BenchReport.h"

#include "compiler/cli/bench/ForeignText.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace moec::cli {

namespace {

double sumOf(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double leastOf(const std::vector<double>& values) { return values.empty() ? 0 : *std::ranges::min_element(values); }

void add(bench::Work& to, const bench::Work& work) {
  to.flops32 += work.flops32;
  to.flops64 += work.flops64;
  to.bytes += work.bytes;
}

/// Launches as they come; `seconds` a repetition each.
struct Gathered {
  BenchKernel kernel;
  std::vector<double> seconds;
  double arithmetic = 0, memory = 0; // bounds by each side

  void add(const BenchLaunch& launch, const bench::Peaks& peaks) {
    ++kernel.launches;
    if (std::ranges::find(kernel.layers, launch.layer) == kernel.layers.end())
      kernel.layers.push_back(launch.layer);
    cli::add(kernel.work, launch.work);
    bench::Bound bound = boundOf(launch.work, peaks);
    (bound.side == bench::Bound::Side::Memory ? memory : arithmetic) += bound.seconds;
    kernel.bound.inTurn += bound.inTurn;
    seconds.resize(launch.seconds.size());
    for (size_t i = 0; i < seconds.size(); ++i)
      seconds[i] += launch.seconds[i];
  }

  BenchKernel finish(double timeOfCalls) {
    kernel.bound.seconds = arithmetic + memory;
    kernel.bound.side = memory > arithmetic ? bench::Bound::Side::Memory : bench::Bound::Side::Arithmetic;
    kernel.best = leastOf(seconds);
    kernel.median = bench::spreadOf(seconds).median;
    kernel.share = timeOfCalls > 0 ? sumOf(seconds) / timeOfCalls : 0;
    return kernel;
  }
};

} // namespace

double BenchTimes::best() const { return leastOf(seconds); }

double BenchTimes::tokensPerSecond() const {
  double median = spread().median;
  return median > 0 ? static_cast<double>(tokens) / median : 0;
}

bool BenchReport::hasLimits() const {
  return std::ranges::any_of(benchmarks, [](const BenchTimes& times) { return !times.limits.empty(); });
}

bench::Peaks BenchReport::peaks() const {
  std::vector<bench::LimitSample> samples;
  for (const BenchTimes& times : benchmarks)
    samples.insert(samples.end(), times.limits.begin(), times.limits.end());
  return bench::peaksOf(cpu, samples);
}

std::vector<BenchKernel> kernelsOf(const BenchTimes& times, const bench::Peaks& peaks) {
  if (times.launches.empty())
    return {};
  std::vector<Gathered> gathered;
  Gathered sum;
  sum.kernel.kind = "sum";
  for (const BenchLaunch& launch : times.launches) {
    auto found = std::ranges::find(gathered, launch.kernel, [](const Gathered& one) { return one.kernel.kernel; });
    if (found == gathered.end()) {
      gathered.emplace_back().kernel.kernel = launch.kernel;
      found = gathered.end() - 1;
      found->kernel.kind = launch.kind;
    }
    found->add(launch, peaks);
    sum.add(launch, peaks);
  }
  double timeOfCalls = sumOf(times.clocked);
  std::vector<BenchKernel> kernels;
  for (Gathered& one : gathered)
    kernels.push_back(one.finish(timeOfCalls));
  std::ranges::sort(kernels, {}, [](const BenchKernel& kernel) { return std::pair(-kernel.share, kernel.kernel); });
  kernels.push_back(sum.finish(timeOfCalls));
  return kernels;
}

double outsideShare(const BenchTimes& times) {
  double calls = sumOf(times.clocked), launches = 0;
  for (const BenchLaunch& launch : times.launches)
    launches += sumOf(launch.seconds);
  return calls > 0 ? (calls - launches) / calls : 0;
}

bench::Work workOf(const Plan& plan, const LaunchInfo& launch, const Bindings& sizes) {
  int64_t greatest = -1;
  bool isDouble = false;
  for (const auto* buffers : {&launch.inputs, &launch.outputs})
    for (int buffer : *buffers) {
      const BufferInfo& info = plan.buffers[static_cast<size_t>(buffer)];
      if (int64_t bytes = bytesOf(info, sizes); isFloat(info.dtype) && bytes > greatest) {
        greatest = bytes;
        isDouble = info.dtype == DType::F64;
      }
    }
  auto flops = static_cast<double>(launch.flops.evaluate(sizes)), bytes = static_cast<double>(launch.bytes.evaluate(sizes));
  return isDouble ? bench::Work{0, flops, bytes} : bench::Work{flops, 0, bytes};
}

std::string sizeText(const Bindings& sizes) {
  std::string text;
  for (const auto& [name, value] : sizes)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", shownWord(name), value);
  return text;
}

} // namespace moec::cli
