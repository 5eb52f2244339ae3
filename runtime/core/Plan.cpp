#include "runtime/core/Plan.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace moec {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 48;
constexpr int64_t kAlignment = 256; // what memory of a GPU begins at; a multiple of the CPU's cache line

[[noreturn]] void fail(const Plan& plan, const std::string& what) { throw Error(Fault::Data, fmt::format("plan of {}: {}", plan.target, what)); }

void checkIndex(const Plan& plan, int buffer, const std::string& who) {
  if (buffer < 0 || static_cast<size_t>(buffer) >= plan.buffers.size())
    fail(plan, fmt::format("{} uses buffer {} of {}", who, buffer, plan.buffers.size()));
}

bool hasFixedShape(const BufferInfo& buffer) {
  return std::all_of(buffer.shape.begin(), buffer.shape.end(), [](const Size& size) { return size.isConstant(); });
}

void checkBuffer(const Plan& plan, size_t index) {
  const BufferInfo& buffer = plan.buffers[index];
  std::string who = fmt::format("buffer {} ({})", index, buffer.name);
  if (buffer.raggedBy) {
    checkIndex(plan, *buffer.raggedBy, who);
    if (!plan.buffers[static_cast<size_t>(*buffer.raggedBy)].isRouting || buffer.shape.empty())
      fail(plan, who + " is ragged by a buffer that is no routing");
  }
  if (buffer.isRouting && (buffer.dtype != DType::I32 || buffer.experts < 1 || buffer.choices < 1))
    fail(plan, who + " is no routing: an i32 buffer of at least one expert and choice");
  int forward = static_cast<int>(plan.forward.size()), launches = forward + static_cast<int>(plan.apply.size());
  if (buffer.kind == BufferKind::Temporary && (buffer.firstLaunch < -1 || buffer.lastLaunch < buffer.firstLaunch || buffer.lastLaunch >= launches ||
                                               (buffer.firstLaunch == -1) != (buffer.lastLaunch == -1)))
    fail(plan, fmt::format("{} lives from launch {} to {} of {}", who, buffer.firstLaunch, buffer.lastLaunch, launches));
  if (buffer.kind == BufferKind::Temporary && buffer.firstLaunch >= 0 && buffer.firstLaunch < forward && buffer.lastLaunch >= forward)
    fail(plan, fmt::format("{} lives from forward launch {} into apply launch {}: what a call keeps for another is a state", who, buffer.firstLaunch,
                           buffer.lastLaunch - forward));
  if (isFixed(buffer.kind) && !hasFixedShape(buffer))
    fail(plan, who + " has a size that depends on the call");
  if (buffer.kind == BufferKind::Constant && bytesOf(buffer, {}) != static_cast<int64_t>(buffer.data.size()))
    fail(plan, fmt::format("{} has {} bytes of data for {}", who, buffer.data.size(), bytesOf(buffer, {})));
}

void checkLaunch(const Plan& plan, LaunchList list, size_t index) {
  const LaunchInfo& launch = plan.launches(list)[index];
  std::string who = fmt::format("{} launch {} ({})", name(list), index, launch.label);
  if (launch.kernel.empty() || launch.stages.empty())
    fail(plan, who + " has no kernel or no stage");
  bool prepare = list == LaunchList::Prepare, training = plan.purpose == Purpose::Training;
  int place = static_cast<int>(index + (list == LaunchList::Apply ? plan.forward.size() : 0)); // as lives are counted
  auto check = [&](int buffer, bool writes, bool workspace) {
    checkIndex(plan, buffer, who);
    const BufferInfo& info = plan.buffers[static_cast<size_t>(buffer)];
    if (workspace && (info.kind != BufferKind::Temporary || info.dtype != DType::U8))
      fail(plan, fmt::format("{}: workspace {} is no temporary of u8", who, info.name));
    if (writes && (info.kind == BufferKind::Constant || info.kind == BufferKind::Input || (info.kind == BufferKind::Parameter && !prepare && !training)))
      fail(plan, fmt::format("{} writes {}", who, info.name));
    if (prepare && (info.kind == BufferKind::Input || info.kind == BufferKind::Output))
      fail(plan, fmt::format("{} uses {}, which a call has", who, info.name));
    if (!prepare && info.kind == BufferKind::Temporary && (place < info.firstLaunch || place > info.lastLaunch))
      fail(plan, fmt::format("{} uses {}, which lives from launch {} to {}", who, info.name, info.firstLaunch, info.lastLaunch));
    if (list != LaunchList::Forward && !hasFixedShape(info))
      fail(plan, fmt::format("{} uses {}, whose size depends on the call", who, info.name));
  };
  for (int buffer : launch.inputs)
    check(buffer, false, false);
  for (int buffer : launch.outputs)
    check(buffer, true, false);
  for (int buffer : launch.workspaces)
    check(buffer, true, true);
}

/// What a launch writes of parameters and states takes effect behind the call: no launch of the list reads or writes it from there on.
void checkUpdates(const Plan& plan, LaunchList list) {
  const auto& launches = plan.launches(list);
  std::vector<int> writer(plan.buffers.size(), -1);
  for (size_t i = 0; i < launches.size(); ++i) {
    for (const auto* buffers : {&launches[i].inputs, &launches[i].outputs})
      for (int buffer : *buffers)
        if (int before = writer[static_cast<size_t>(buffer)]; before >= 0 && before != static_cast<int>(i))
          fail(plan, fmt::format("{} launch {} ({}) uses {}, which launch {} ({}) has updated", name(list), i, launches[i].label,
                                 plan.buffers[static_cast<size_t>(buffer)].name, before, launches[static_cast<size_t>(before)].label));
    for (int buffer : launches[i].outputs)
      if (BufferKind kind = plan.buffers[static_cast<size_t>(buffer)].kind; kind == BufferKind::Parameter || kind == BufferKind::State)
        writer[static_cast<size_t>(buffer)] = static_cast<int>(i);
  }
}

/// An entry of inputs, parameters or outputs agrees with its buffer.
template <class Info> void checkNames(const Plan& plan, const std::vector<Info>& list, const char* what, bool mayLackBuffer) {
  std::set<std::string> names;
  for (const Info& info : list) {
    std::string who = fmt::format("{} {}", what, info.name);
    if (!names.insert(info.name).second)
      fail(plan, who + " appears twice");
    if (info.buffer == -1 && mayLackBuffer)
      continue;
    checkIndex(plan, info.buffer, who);
    const BufferInfo& buffer = plan.buffers[static_cast<size_t>(info.buffer)];
    std::vector<Size> shape(info.shape.begin(), info.shape.end());
    if (buffer.dtype != info.dtype || buffer.shape != shape)
      fail(plan, who + " has another dtype or shape than its buffer");
  }
}

void checkTraining(const Plan& plan) {
  checkNames(plan, plan.states, "state", false);
  for (const StateInfo& state : plan.states) {
    if (plan.buffers[static_cast<size_t>(state.buffer)].kind != BufferKind::State)
      fail(plan, fmt::format("state {} has a buffer of another kind", state.name));
    auto from = std::find_if(plan.parameters.begin(), plan.parameters.end(), [&](const ParameterInfo& parameter) { return parameter.name == state.from; });
    if (state.from && (from == plan.parameters.end() || from->shape != state.shape))
      fail(plan, fmt::format("state {} begins with '{}', which is no parameter of its shape", state.name, *state.from));
  }
  if (plan.purpose != Purpose::Training) {
    bool applies = std::any_of(plan.inputs.begin(), plan.inputs.end(), [](const InputInfo& input) { return input.list != LaunchList::Forward; }) ||
                   std::any_of(plan.outputs.begin(), plan.outputs.end(), [](const OutputInfo& output) { return output.list != LaunchList::Forward; });
    bool keeps = plan.purpose == Purpose::Generation;
    if ((!keeps && !plan.states.empty()) || !plan.apply.empty() || applies)
      fail(plan, fmt::format("it is for {}, and has {}something to apply", name(plan.purpose), keeps ? "" : "states or "));
    if (keeps)
      checkUpdates(plan, LaunchList::Forward);
    return;
  }
  auto checkApplied = [&](const auto& infos, const char* what) {
    for (const auto& info : infos)
      if (info.list == LaunchList::Apply && info.buffer >= 0 && !hasFixedShape(plan.buffers[static_cast<size_t>(info.buffer)]))
        fail(plan, fmt::format("{} {} of apply has a size that depends on the call", what, info.name));
  };
  checkApplied(plan.inputs, "input");
  checkApplied(plan.outputs, "output");
  if (!plan.prepare.empty())
    fail(plan, "it is for training, and prepares weights, which change with every step");
  for (LaunchList list : {LaunchList::Forward, LaunchList::Apply})
    checkUpdates(plan, list);
}

} // namespace

const char* name(LaunchList list) { return list == LaunchList::Prepare ? "prepare" : list == LaunchList::Forward ? "forward" : "apply"; }

const std::vector<LaunchInfo>& Plan::launches(LaunchList list) const {
  return list == LaunchList::Prepare ? prepare : list == LaunchList::Forward ? forward : apply;
}

std::set<int> Plan::unusedParameters() const {
  std::set<int> unused;
  if (purpose == Purpose::Training)
    return unused; // what a step updates, it reads or writes
  for (size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].kind == BufferKind::Parameter)
      unused.insert(static_cast<int>(i));
  for (const LaunchInfo& launch : forward)
    for (int input : launch.inputs)
      unused.erase(input);
  for (const OutputInfo& output : outputs)
    unused.erase(output.buffer);
  return unused;
}

std::string describe(const RowCoupling& coupling) { return coupling.label + (coupling.label.empty() ? "" : ": ") + coupling.why; }

void checkPlan(const Plan& plan) {
  for (size_t i = 0; i < plan.buffers.size(); ++i)
    checkBuffer(plan, i);
  for (LaunchList list : {LaunchList::Prepare, LaunchList::Forward, LaunchList::Apply})
    for (size_t i = 0; i < plan.launches(list).size(); ++i)
      checkLaunch(plan, list, i);
  checkNames(plan, plan.inputs, "input", true);
  checkNames(plan, plan.parameters, "parameter", true);
  checkNames(plan, plan.outputs, "output", false);
  checkTraining(plan);
  if (plan.invariant && !plan.couplings.empty())
    throw Error(Fault::Data, fmt::format("plan of {}: rows cannot depend on their neighbours in '{}' and nowhere", plan.target, plan.couplings.front().label));
}

Shape shapeOf(const BufferInfo& buffer, const Bindings& bindings) {
  Shape shape;
  for (const Size& size : buffer.shape) {
    shape.push_back(size.evaluate(bindings));
    if (shape.back() < 0)
      throw Error(Fault::Data, fmt::format("{}: size {} is {}", buffer.name, size.str(), shape.back()));
  }
  return shape;
}

int64_t bytesOf(const BufferInfo& buffer, const Bindings& bindings) {
  Shape shape = shapeOf(buffer, bindings);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end())
    return 0;
  int64_t bytes = static_cast<int64_t>(byteSize(buffer.dtype));
  for (int64_t size : shape)
    if (__builtin_mul_overflow(bytes, size, &bytes) || bytes > kMaxBytes)
      throw Error(Fault::Data, fmt::format("{}: {} takes more than 2^48 bytes", buffer.name, describe(buffer.dtype, shape)));
  return bytes;
}

namespace {

/// A temporary in the arena.
struct Block {
  size_t buffer;
  int64_t bytes; // a multiple of the alignment, at least one
  int first, last;

  bool livesWith(const Block& other) const { return first <= other.last && other.first <= last; }
};

/// Bytes of all that are there at one moment, at most.
int64_t mostAlive(const std::vector<Block>& blocks) {
  std::map<int, int64_t> changes; // by launch
  for (const Block& block : blocks) {
    changes[block.first] += block.bytes;
    changes[block.last + 1] -= block.bytes;
  }
  int64_t alive = 0, most = 0;
  for (auto [launch, change] : changes)
    most = std::max(most, alive += change);
  return most;
}

/// Puts the blocks, which stand largest first, where they are free for their whole lives: each at the lowest place, or, as long as the places of those that
/// are placed so take no more than `centered` bytes, in the middle of the first place that an earlier one has. So the halves of blocks that share memory share
/// the halves of it. The bytes of all.
int64_t placeBlocks(const Plan& plan, const std::vector<Block>& blocks, int64_t centered, std::vector<int64_t>& offsets) {
  struct Place {
    int64_t begin, bytes;
    int64_t end() const { return begin + bytes; }
  };
  std::vector<Place> places;
  std::vector<const Block*> placed; // by offset
  int64_t end = 0, bytes = 0;       // of the places, of all
  for (const Block& block : blocks) {
    std::vector<Place> taken; // meanwhile, joined where they touch
    for (const Block* other : placed)
      if (other->livesWith(block)) {
        int64_t begin = offsets[other->buffer], behind = begin + other->bytes;
        if (taken.empty() || begin > taken.back().end())
          taken.push_back({begin, other->bytes});
        else
          taken.back().bytes = std::max(taken.back().end(), behind) - taken.back().begin;
      }
    auto isFree = [&](int64_t at) {
      auto next = std::partition_point(taken.begin(), taken.end(), [&](const Place& other) { return other.end() <= at; });
      return next == taken.end() || next->begin >= at + block.bytes;
    };
    auto middleOf = [&](const Place& place) { return place.begin + (place.bytes - block.bytes) / 2 / kAlignment * kAlignment; };
    auto place = std::find_if(places.begin(), places.end(), [&](const Place& place) { return isFree(middleOf(place)); });
    int64_t offset = 0;
    if (place != places.end()) {
      offset = middleOf(*place);
    } else if (block.bytes <= centered - end && isFree(end)) {
      places.push_back({offset = end, block.bytes});
      end += block.bytes;
    } else {
      for (const Place& other : taken) {
        if (other.begin >= offset + block.bytes)
          break;
        offset = std::max(offset, other.end());
      }
    }
    offsets[block.buffer] = offset;
    if (offset > kMaxBytes - block.bytes)
      fail(plan, "the temporaries of a call take more than 2^48 bytes");
    bytes = std::max(bytes, offset + block.bytes);
    auto behind = std::upper_bound(placed.begin(), placed.end(), offset, [&](int64_t at, const Block* other) { return at < offsets[other->buffer]; });
    placed.insert(behind, &block);
  }
  return bytes;
}

/// Where all temporaries stay in the caches that a core has to itself (1 MiB on most CPUs), workers' halves decide nothing, and small ones are better off at
/// the lowest places, whose lines were used last: vit on 1 to 4 pictures is 1 to 5 % slower without, on 16 and more up to a fifth faster.
constexpr int64_t kOwnCache = int64_t{1} << 20;

/// The first half of each temporary belongs to the first half of a CPU's workers (docs/decisions/0022-shares-of-items.md): keeps as many in the middle of
/// others' memory as can be without more than `bytes` of it.
void centerBlocks(const Plan& plan, const std::vector<Block>& blocks, int64_t bytes, std::vector<int64_t>& offsets) {
  constexpr int64_t steps = 8;
  std::vector<int64_t> centered = offsets;
  for (int64_t most = mostAlive(blocks), step = steps; step > 0; --step)
    if (placeBlocks(plan, blocks, most / steps * step, centered) <= bytes) {
      offsets = centered;
      return;
    }
}

} // namespace

ArenaLayout layoutArena(const Plan& plan, const Bindings& bindings, int64_t gap, int firstLaunch) {
  ArenaLayout layout;
  layout.offsets.assign(plan.buffers.size(), -1);
  std::vector<Block> ofForward, ofApply; // which never live together
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const BufferInfo& buffer = plan.buffers[i];
    if (buffer.kind == BufferKind::Temporary && buffer.firstLaunch >= firstLaunch) {
      int64_t bytes = std::max<int64_t>(bytesOf(buffer, bindings), 1) + gap;
      std::vector<Block>& blocks = buffer.firstLaunch < static_cast<int>(plan.forward.size()) ? ofForward : ofApply;
      blocks.push_back({i, (bytes + kAlignment - 1) / kAlignment * kAlignment, buffer.firstLaunch, buffer.lastLaunch});
    }
  }
  for (std::vector<Block>* blocks : {&ofForward, &ofApply}) {
    std::sort(blocks->begin(), blocks->end(), [](const Block& a, const Block& b) { return a.bytes != b.bytes ? a.bytes > b.bytes : a.buffer < b.buffer; });
    int64_t bytes = placeBlocks(plan, *blocks, 0, layout.offsets);
    layout.bytes = std::max(layout.bytes, bytes);
    if (plan.target.starts_with("cpu:") && bytes > kOwnCache)
      centerBlocks(plan, *blocks, bytes, layout.offsets);
  }
  return layout;
}

} // namespace moec
