#include "bench/gpu/SideBySide.h"

#include "bench/gpu/Cublas.h"
#include "bench/gpu/ExpertLayer.h"
#include "bench/gpu/Figures.h"
#include "bench/gpu/TorchLayer.h"
#include "runtime/core/Error.h"
#include "runtime/core/Tolerance.h"
#include "runtime/device/check/CheckReport.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace moec::bench {
namespace {

constexpr int64_t kChoices = 2; // of S1

/// moec's layer, and the part of it that cuBLAS does too.
class OwnLayer {
public:
  OwnLayer(const Gpu& gpu, const Program& program, const Bindings& sizes) : model_(gpu, program, sizes), timer_(gpu.context, model_.stream()) {
    std::vector<std::string> kinds;
    for (size_t i = 0; i < model_.plan().forward.size(); ++i)
      if (const std::string& kind = model_.plan().forward[i].kind; kind != "gate") {
        experts_.push_back(i);
        kinds.push_back(kind);
      }
    expertsName = fmt::format("moec: {}", fmt::join(kinds, ", "));
    model_.forward();
  }
  void forward() { model_.forward(); }
  /// Seconds of a call's launches but the gate's, which stand before the others.
  double experts() {
    for (size_t i = 0; i < experts_.front(); ++i)
      model_.launch(i);
    return timer_.seconds([&] {
      for (size_t i : experts_)
        model_.launch(i);
    });
  }
  LoadedModel& model() { return model_; }
  const StreamTimer& timer() const { return timer_; }

  const std::string layerName = "moec: the layer";
  std::string expertsName;

private:
  LoadedModel model_;
  StreamTimer timer_;
  std::vector<size_t> experts_;
};

/// The two products of the layer on rows that are gathered already: no bias, no activation, no sum over the choices.
class CublasLayer {
public:
  CublasLayer(const Gpu& gpu, const CublasTable& table, const ExpertLayer& layer, cuda::Stream stream)
      : context_(gpu.context), layer_(layer), rows_(rowsOf(layer)), handle_(gpu.context, table, stream) {
    size_t rows = rows_.tokens.size(), width = static_cast<size_t>(layer.width), hidden = static_cast<size_t>(layer.hidden);
    gathered_.resize(rows * width);
    auto x = layer.tensors.at("x").as<float>();
    for (size_t row = 0; row < rows; ++row)
      std::copy_n(&x[static_cast<size_t>(rows_.tokens[row]) * width], width, &gathered_[row * width]);
    CudaContext::Current current(*context_);
    a_ = upload(gathered_.data(), gathered_.size());
    up_ = upload(layer.tensors.at("up_weight").as<float>().data(), layer.tensors.at("up_weight").as<float>().size());
    down_ = upload(layer.tensors.at("down_weight").as<float>().data(), layer.tensors.at("down_weight").as<float>().size());
    hidden_ = DeviceMemory(context_, rows * hidden * sizeof(float), "cuBLAS' hidden rows");
    out_ = DeviceMemory(context_, rows * width * sizeof(float), "cuBLAS' results");
    context_->check(context_->table().contextSynchronize(), "copy what cuBLAS takes");
    auto columns = static_cast<int>(layer.hidden), depth = static_cast<int>(layer.width);
    products_.emplace_back(context_, table, handle_.get(), a_.pointer(), up_.pointer(), hidden_.pointer(), rows_.offsets, columns, depth);
    products_.emplace_back(context_, table, handle_.get(), hidden_.pointer(), down_.pointer(), out_.pointer(), rows_.offsets, depth, columns);
  }
  void run() const {
    for (const GroupedProduct& product : products_)
      product.run();
  }
  /// Of what run() left.
  double error() const {
    std::vector<float> hidden = download(hidden_), out = download(out_);
    return std::max(productError(rows_, gathered_.data(), layer_.tensors.at("up_weight").as<float>().data(), hidden.data(), layer_.hidden, layer_.width),
                    productError(rows_, hidden.data(), layer_.tensors.at("down_weight").as<float>().data(), out.data(), layer_.width, layer_.hidden));
  }
  std::string name() const { return fmt::format("cuBLAS {}: two grouped products", handle_.version()); }

private:
  DeviceMemory upload(const float* data, size_t elements) const {
    DeviceMemory memory(context_, elements * sizeof(float), "what cuBLAS takes");
    context_->check(context_->table().copyToDevice(memory.pointer(), data, elements * sizeof(float)), "copy what cuBLAS takes");
    return memory;
  }
  std::vector<float> download(const DeviceMemory& memory) const {
    CudaContext::Current current(*context_);
    std::vector<float> values(memory.bytes() / sizeof(float));
    context_->check(context_->table().contextSynchronize(), "run cuBLAS' products");
    context_->check(context_->table().copyToHost(values.data(), memory.pointer(), memory.bytes()), "copy cuBLAS' results");
    return values;
  }

  std::shared_ptr<const CudaContext> context_;
  const ExpertLayer& layer_;
  ExpertRows rows_;
  std::vector<float> gathered_;
  CublasHandle handle_;
  DeviceMemory a_, up_, down_, hidden_, out_;
  std::vector<GroupedProduct> products_;
};

/// A row, and how it is run: repeats of it between two moments.
struct Entry {
  SideBySideRow row;
  std::function<double()> once; // null: does not take part
};

Entry timedEntry(const std::string& name, const std::string& base, const StreamTimer& timer, bool emulated, const std::function<void()>& work) {
  int repeats = emulated ? 1 : timer.repeatsOf(work);
  return {{name, base, {}, {}, {}}, [&timer, work, repeats] { return timer.secondsOf(repeats, work); }};
}

Entry skipped(const std::string& name, const std::string& base, const std::string& why) { return {{name, base, {}, {}, why}, nullptr}; }

/// Fails the row when its error is past what its dtype allows.
void setError(Entry& entry, double error) {
  entry.row.error = error;
  if (!(error <= tolerance(DType::F32))) {
    entry.row.skipped = fmt::format("its result is wrong: {:.1e} off, allowed {:.0e}", error, tolerance(DType::F32));
    entry.once = nullptr;
  }
}

} // namespace

std::vector<SideBySideRow> runSideBySide(const Gpu& gpu, const Program& program, const Bindings& sizes, const SideBySideOptions& options) {
  OwnLayer own(gpu, program, sizes);
  ExpertLayer layer = ExpertLayer::of(own.model().weights(), own.model().inputs().begin()->second, kChoices);
  std::vector<Entry> entries;
  entries.push_back(timedEntry(own.layerName, "", own.timer(), gpu.emulator, [&] { own.forward(); }));
  entries.push_back({{own.expertsName, "", {}, {}, {}}, [&] { return own.experts(); }});

  std::unique_ptr<CublasLayer> cublas;
  std::string problem;
  const CublasTable* table = cublasTable(&problem);
  if (!table || gpu.emulator) {
    entries.push_back(skipped("cuBLAS: two grouped products", own.expertsName, table ? "cuBLAS is there; it runs on a GPU only" : problem));
  } else {
    try {
      cublas = std::make_unique<CublasLayer>(gpu, *table, layer, own.model().stream());
      entries.push_back(timedEntry(cublas->name(), own.expertsName, own.timer(), false, [&] { cublas->run(); }));
      setError(entries.back(), cublas->error());
    } catch (const Error& error) {
      entries.push_back(skipped("cuBLAS: two grouped products", own.expertsName, error.what()));
    }
  }

  std::unique_ptr<TorchLayer> torch;
  try {
    torch = std::make_unique<TorchLayer>(options.python, layer.tensors, gpu.emulator ? "cpu" : "cuda");
    Tensor y = own.model().output("y");
    for (const std::string& way : torch->ways()) {
      Entry entry{{fmt::format("PyTorch {}: {}", torch->version(), way), own.layerName, {}, {}, {}},
                  [&torch, way, repeats = 5] { return torch->seconds(way, repeats); }};
      setError(entry, relativeError(torch->result(way), y));
      if (gpu.emulator && entry.once)
        entry = skipped(entry.row.name, own.layerName, fmt::format("on the CPU its result is {:.1e} off; it is timed on a GPU only", *entry.row.error));
      entries.push_back(std::move(entry));
    }
    for (const auto& [way, why] : torch->reasons())
      entries.push_back(skipped(fmt::format("PyTorch {}: {}", torch->version(), way), own.layerName, why));
  } catch (const Error& error) {
    entries.push_back(skipped("PyTorch", own.layerName, error.what()));
  }

  std::vector<Contestant> contestants;
  std::vector<size_t> places;
  for (size_t i = 0; i < entries.size(); ++i)
    if (entries[i].once) {
      contestants.push_back({entries[i].row.name, entries[i].once});
      places.push_back(i);
    }
  auto times = runByTurns(contestants, gpu.emulator ? 0 : options.repetitions);
  std::vector<SideBySideRow> rows;
  for (size_t i = 0; i < places.size(); ++i)
    entries[places[i]].row.times = std::move(times[i]);
  for (Entry& entry : entries)
    rows.push_back(std::move(entry.row));
  return rows;
}

namespace {

const SideBySideRow* rowNamed(const std::vector<SideBySideRow>& rows, const std::string& name) {
  auto found = std::find_if(rows.begin(), rows.end(), [&](const SideBySideRow& row) { return row.name == name; });
  return found == rows.end() ? nullptr : &*found;
}

} // namespace

std::string toMarkdown(const std::vector<SideBySideRow>& rows) {
  std::string result = "| who | median | middle half | time over moec's | error |\n|---|---:|---:|---:|---:|\n";
  for (const SideBySideRow& row : rows) {
    if (row.times.empty()) {
      result += fmt::format("| {} | {} | | | |\n", row.name, row.skipped.empty() ? "ran, not timed: emulated" : "skipped: " + row.skipped);
      continue;
    }
    Spread time = spreadOf(row.times);
    const SideBySideRow* base = rowNamed(rows, row.base);
    result += fmt::format("| {} | {} | {} - {} | {} | {} |\n", row.name, shortTime(time.median), shortTime(time.low), shortTime(time.high),
                          base ? text(ratioOf(row.times, base->times)) + " of " + base->name : "", row.error ? fmt::format("{:.1e}", *row.error) : "");
  }
  return result;
}

nlohmann::ordered_json toJson(const std::vector<SideBySideRow>& rows) {
  auto result = nlohmann::ordered_json::array();
  for (const SideBySideRow& row : rows) {
    nlohmann::ordered_json one{{"name", row.name}, {"seconds", row.times}};
    if (const SideBySideRow* base = rowNamed(rows, row.base); base && !row.times.empty()) {
      Spread ratio = ratioOf(row.times, base->times);
      one["over"] = {{"name", base->name}, {"median", ratio.median}, {"low", ratio.low}, {"high", ratio.high}};
    }
    if (row.error)
      one["error"] = *row.error;
    if (!row.skipped.empty())
      one["skipped"] = row.skipped;
    result.push_back(std::move(one));
  }
  return result;
}

} // namespace moec::bench
