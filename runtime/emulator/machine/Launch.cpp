// A launch: what its instructions may touch, its blocks spread over host threads, and where findings go.

#include "runtime/emulator/machine/Warp.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <system_error>
#include <thread>

namespace moec::emulator {
namespace {

// Blocks of one launch take turns after this many warp instructions, so that a block that waits for another lets it run.
constexpr uint64_t kCtaTurn = 5'000'000;

uint64_t specialValue(const Cta& cta, uint32_t thread, SpecialRegister which) {
  const Launch& launch = *cta.launch;
  uint32_t lane = thread % kLanes;
  switch (which) {
  case SpecialRegister::TidX:
    return thread % launch.block[0];
  case SpecialRegister::TidY:
    return thread / launch.block[0] % launch.block[1];
  case SpecialRegister::TidZ:
    return thread / launch.block[0] / launch.block[1];
  case SpecialRegister::NtidX:
    return launch.block[0];
  case SpecialRegister::NtidY:
    return launch.block[1];
  case SpecialRegister::NtidZ:
    return launch.block[2];
  case SpecialRegister::CtaidX:
    return cta.index[0];
  case SpecialRegister::CtaidY:
    return cta.index[1];
  case SpecialRegister::CtaidZ:
    return cta.index[2];
  case SpecialRegister::NctaidX:
    return launch.grid[0];
  case SpecialRegister::NctaidY:
    return launch.grid[1];
  case SpecialRegister::NctaidZ:
    return launch.grid[2];
  case SpecialRegister::LaneId:
    return lane;
  case SpecialRegister::WarpId:
    return thread / kLanes;
  case SpecialRegister::NwarpId:
    return (launch.threads + kLanes - 1) / kLanes;
  case SpecialRegister::SmId:
    return 0;
  case SpecialRegister::NsmId:
    return 1;
  case SpecialRegister::GridId:
    return launch.epoch;
  case SpecialRegister::LaneMaskEq:
    return 1u << lane;
  case SpecialRegister::LaneMaskLe:
    return (2ull << lane) - 1;
  case SpecialRegister::LaneMaskLt:
    return (1u << lane) - 1;
  case SpecialRegister::LaneMaskGe:
    return uint32_t(~0u << lane);
  case SpecialRegister::LaneMaskGt:
    return uint32_t(~((2ull << lane) - 1));
  case SpecialRegister::DynamicSharedBytes:
    return launch.dynamicSharedBytes;
  case SpecialRegister::TotalSharedBytes:
    return launch.sharedBytes;
  }
  return 0;
}

void writeSpecials(Cta& cta, Warp& warp) {
  for (const ProgramSpecial& special : cta.launch->program->specials)
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      uint64_t value = specialValue(cta, warp.index * kLanes + lane, special.which);
      if (special.wide)
        warp.at<uint64_t>(special.unit)[lane] = value;
      else
        warp.at<uint32_t>(special.unit)[lane] = uint32_t(value);
    }
}

/// Memory of a block for this program; kept when the next block of the same launch takes its place.
void prepareCta(Cta& cta, Launch& launch) {
  const Program& program = *launch.program;
  uint32_t warps = (launch.threads + kLanes - 1) / kLanes;
  cta.launch = &launch;
  cta.warps.resize(warps);
  size_t units = program.units;
  cta.registerFile.assign(units * 128 * warps, 0xcd);
  cta.predicateFile.assign(size_t(program.predicates) * warps, 0);
  cta.definedFile.assign(program.registers.size() * warps, 0);
  cta.shared.assign(launch.sharedBytes + 16, 0xcd);
  cta.sharedWritten.assign(launch.sharedBytes + 16, 0);
  size_t granules = (launch.sharedBytes >> launch.sharedShift) + 2;
  cta.sharedWriters.assign(granules, {});
  cta.sharedReader.assign(granules, {});
  cta.sharedReaders.assign(granules, 0);
  cta.slots.resize(launch.sharedBytes + 16);
  cta.local.assign(size_t(program.localBytes) * warps * kLanes, 0xcd);
  cta.localWritten.assign(cta.local.size(), 0);
  cta.synced.assign(size_t(warps) * warps, 0);
  for (uint32_t i = 0; i < warps; ++i) {
    Warp& warp = cta.warps[i];
    warp.cta = &cta;
    warp.index = i;
    warp.registers = cta.registerFile.data() + units * 128 * i;
    warp.predicates = cta.predicateFile.data() + size_t(program.predicates) * i;
    warp.defined = cta.definedFile.data() + program.registers.size() * i;
    for (const ProgramConstant& constant : program.constants)
      for (int lane = 0; lane < kLanes; ++lane)
        warp.at<uint64_t>(constant.unit)[lane] = constant.bits;
    for (const ProgramConstant& constant : program.narrowConstants)
      for (int lane = 0; lane < kLanes; ++lane)
        warp.at<uint32_t>(constant.unit)[lane] = uint32_t(constant.bits);
  }
}

bool fits(const Memory& memory, uint64_t address) { return address >= kGlobalBase && address < kGlobalBase + memory.capacity(); }

/// What each instruction's pointer may touch, from the values of the parameters; and which buffers need which checks.
void findBounds(Launch& launch) {
  const Program& program = *launch.program;
  Memory& memory = *launch.memory;
  launch.bounds.assign(program.bounds.size(), {});
  std::vector<Buffer*> written;
  bool unknownWrites = false;
  for (size_t i = 0; i < program.bounds.size(); ++i) {
    const BoundsRule& rule = program.bounds[i];
    Bounds& bounds = launch.bounds[i];
    Space space = rule.space;
    bool variables = false, mixed = false;
    auto add = [&](Buffer* buffer) {
      if (buffer && std::find(bounds.buffers.begin(), bounds.buffers.end(), buffer) == bounds.buffers.end())
        bounds.buffers.push_back(buffer);
    };
    for (uint32_t number : rule.sources) {
      const Source& source = program.sources[number];
      if (source.kind == Source::Kind::Parameter) {
        uint64_t value = 0;
        if (source.offset + 8 <= launch.parameters.size())
          std::memcpy(&value, &launch.parameters[source.offset], 8);
        add(fits(memory, value) ? memory.find(value) : nullptr);
      } else if (source.kind == Source::Kind::Global) {
        add(memory.find(source.offset));
      } else if (space == Space::Shared || space == Space::Local) {
        uint64_t end = source.bytes ? source.offset + source.bytes : launch.sharedBytes;
        bounds.begin = variables ? std::min(bounds.begin, source.offset) : source.offset;
        bounds.end = std::max(bounds.end, end);
        variables = true;
      } else {
        mixed = true; // a generic address of a variable: left to the spaces' own limits
      }
    }
    if (space == Space::Shared || space == Space::Local) {
      bounds.buffers.clear();
      continue;
    }
    if (mixed || !launch.options->bufferOfPointer)
      bounds.buffers.clear();
    if (bounds.buffers.size() == 1) {
      bounds.begin = bounds.buffers[0]->begin;
      bounds.end = bounds.buffers[0]->end;
    }
    if (rule.writes) {
      written.insert(written.end(), bounds.buffers.begin(), bounds.buffers.end());
      unknownWrites |= bounds.buffers.empty();
    }
  }
  for (Bounds& bounds : launch.bounds)
    if (!bounds.buffers.empty()) {
      bounds.checkWritten = bounds.checkRaces = false;
      for (Buffer* buffer : bounds.buffers) {
        bounds.checkWritten |= launch.options->checks && !memory.initialised(*buffer);
        bounds.checkRaces |= launch.options->checks && (unknownWrites || std::find(written.begin(), written.end(), buffer) != written.end());
      }
    }
}

} // namespace

void startCta(Cta& cta, Launch& launch, Worker& worker, uint32_t id) {
  if (cta.launch != &launch)
    prepareCta(cta, launch);
  cta.worker = &worker;
  cta.id = id;
  cta.index[0] = id % launch.grid[0];
  cta.index[1] = id / launch.grid[0] % launch.grid[1];
  cta.index[2] = id / launch.grid[0] / launch.grid[1];
  for (Barrier& barrier : cta.barriers)
    barrier = Barrier();
  cta.aliveThreads = launch.threads;
  cta.executed = 0;
  cta.reports = 0;
  cta.aborted = false;
  ++cta.epoch;
  cta.stamp = 1;
  cta.floor = 0;
  cta.partial = false;
  std::fill(cta.synced.begin(), cta.synced.end(), 0);
  cta.acquired.clear();
  cta.warpFloor.assign(cta.warps.size(), 0);
  cta.fenced.assign(cta.warps.size(), 0);
  std::fill(cta.sharedWritten.begin(), cta.sharedWritten.end(), 0);
  std::fill(cta.sharedWritten.begin() + launch.sharedBytes, cta.sharedWritten.end(), 1); // behind the end, so that the last slot can be ready
  cta.slots.clear();
  std::fill(cta.localWritten.begin(), cta.localWritten.end(), 0);
  cta.sharedPending.clear();
  std::fill(cta.definedFile.begin(), cta.definedFile.end(), 0);
  for (Warp& warp : cta.warps) {
    uint32_t left = launch.threads - warp.index * kLanes;
    warp.alive = left >= kLanes ? ~0u : (1u << left) - 1;
    warp.fragments.assign(1, {});
    warp.fragments[0].mask = warp.alive;
    warp.joins.clear();
    warp.copies.clear();
    std::memset(warp.committed, 0, sizeof(warp.committed));
    warp.current = -1;
    warp.predicates[0] = ~0u;
    writeSpecials(cta, warp);
  }
}

void Launch::report(Warp& warp, Finding::Kind kind, uint32_t lane, const std::string& detail, uint32_t pc) {
  pc = pc == kNowhere ? warp.pc : pc;
  uint32_t thread = warp.index * kLanes + lane;
  warp.cta->aborted |= ++warp.cta->reports > options->maxReports;
  std::lock_guard<std::mutex> lock(mutex);
  Finding& known = findings[uint64_t(pc) << 8 | uint64_t(kind)];
  const Cta& cta = *warp.cta;
  bool first = known.kernel.empty();
  auto place = [&](const uint32_t (&b)[3], const uint32_t (&t)[3]) {
    return ((uint64_t(b[2]) * grid[1] + b[1]) * grid[0] + b[0]) * 1024 + ((t[2] * block[1] + t[1]) * block[0] + t[0]);
  };
  uint64_t times = first ? 1 : known.times + 1;
  uint32_t at[3] = {thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]};
  if (first || place(cta.index, at) < place(known.block, known.thread)) { // the lowest thread is shown, whatever the order of running
    const InstrInfo& info = program->info[pc];
    known.kind = kind;
    known.kernel = program->name;
    known.ptxLine = info.position.line;
    known.sourceLine = info.position.sourceLine;
    known.file = size_t(info.position.file) < program->files.size() ? program->files[size_t(info.position.file)] : std::string();
    known.instruction = info.opcode;
    known.detail = detail;
    std::copy_n(cta.index, 3, known.block);
    std::copy_n(at, 3, known.thread);
  }
  known.times = times;
}

void runLaunch(Launch& launch, std::vector<Worker>& workers) {
  const Program& program = *launch.program;
  findBounds(launch);
  uint64_t total = uint64_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  for (Worker& worker : workers)
    for (std::vector<uint64_t>* counts :
         {&worker.issued, &worker.lanes, &worker.sectors, &worker.ideal, &worker.wavefronts, &worker.idealWavefronts, &worker.bytes})
      counts->assign(program.code.size(), 0);
  for (Worker& worker : workers) {
    worker.patterns.resize(std::max(worker.patterns.size(), program.bounds.size()));
    for (size_t i = 0; i < program.bounds.size(); ++i)
      for (Pattern& pattern : worker.patterns[i].ways)
        pattern.bytes = 0;
  }
  size_t threads = program.serial ? 1 : std::min<uint64_t>(workers.size(), total);
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> spent{0};
  auto work = [&](Worker& worker) {
    std::vector<std::unique_ptr<Cta>> waiting, spare; // blocks that used up their turn; storage to use again
    worker.last = nullptr;
    auto runOne = [&](std::unique_ptr<Cta> cta) {
      uint64_t before = cta->executed;
      uint64_t left = launch.options->maxInstructions - std::min<uint64_t>(spent, launch.options->maxInstructions);
      bool done = runCta(*cta, std::min(kCtaTurn, left + 1));
      uint64_t all = spent += cta->executed - before;
      if (!done && all > launch.options->maxInstructions) {
        for (Warp& warp : cta->warps)
          if (warp.alive && !cta->aborted) {
            launch.report(warp, Finding::Kind::Hang, uint32_t(std::countr_zero(warp.alive)),
                          fmt::format("the launch has run {} warp instructions and does not end", all));
            cta->aborted = true;
          }
        done = true;
      }
      (done ? spare : waiting).push_back(std::move(cta));
    };
    for (;;) {
      uint64_t id = next++;
      if (id >= total)
        break;
      std::unique_ptr<Cta> cta;
      if (spare.empty()) {
        cta = std::make_unique<Cta>();
      } else {
        cta = std::move(spare.back());
        spare.pop_back();
      }
      startCta(*cta, launch, worker, uint32_t(id));
      runOne(std::move(cta));
    }
    while (!waiting.empty()) {
      std::vector<std::unique_ptr<Cta>> turn;
      turn.swap(waiting);
      for (auto& cta : turn)
        runOne(std::move(cta));
    }
  };
  std::exception_ptr thrown; // the first: what ends one thread ends the launch
  auto guarded = [&](Worker& worker) {
    try {
      work(worker);
    } catch (...) {
      std::lock_guard<std::mutex> lock(launch.mutex);
      if (!thrown)
        thrown = std::current_exception();
      next = total;
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (size_t i = 1; i < threads; ++i)
        others.emplace_back([&guarded, &worker = workers[i]] { guarded(worker); });
    } catch (const std::system_error&) {
      // The system gives no more threads: those there are do the work, and results do not depend on how many do.
    }
    guarded(workers[0]);
  }
  if (thrown)
    std::rethrow_exception(thrown);
}

} // namespace moec::emulator
