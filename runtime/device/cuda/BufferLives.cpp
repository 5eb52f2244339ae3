#include "runtime/device/cuda/BufferLives.h"

#include <utility>

namespace moec {

BufferLives::BufferLives(const Plan& plan, cuda::LaunchWatch& watch) : plan_(plan), watch_(watch), lives_(plan.buffers.size()) {
  for (LaunchList list : {LaunchList::Prepare, LaunchList::Forward, LaunchList::Apply})
    findFirstWriters(list);
}

BufferLives::~BufferLives() {
  for (size_t i = 0; i < lives_.size(); ++i)
    end(i);
}

void BufferLives::findFirstWriters(LaunchList list) {
  bool prepare = list == LaunchList::Prepare;
  const auto& launches = plan_.launches(list);
  std::vector<bool> seen(plan_.buffers.size(), false);
  for (size_t i = 0; i < launches.size(); ++i) {
    for (int buffer : launches[i].inputs)
      seen[static_cast<size_t>(buffer)] = true;
    for (const auto* written : {&launches[i].outputs, &launches[i].workspaces})
      for (int buffer : *written) {
        auto at = static_cast<size_t>(buffer);
        BufferKind kind = plan_.buffers[at].kind;
        // What a call keeps for the next one stays written.
        bool ofTheList = kind == BufferKind::Temporary || kind == (prepare ? BufferKind::Prepared : BufferKind::Output);
        if (!seen[at] && ofTheList)
          lives_[at].firstWriter[static_cast<int>(list)] = static_cast<int>(i);
        seen[at] = true;
      }
  }
}

void BufferLives::place(int buffer, cuda::DevicePtr pointer, int64_t bytes, bool sharesMemory) {
  remove(buffer);
  Life& life = lives_[static_cast<size_t>(buffer)];
  life.pointer = pointer;
  life.bytes = bytes;
  life.sharesMemory = sharesMemory;
  if (!sharesMemory)
    begin(static_cast<size_t>(buffer));
}

void BufferLives::remove(int buffer) {
  end(static_cast<size_t>(buffer));
  Life& life = lives_[static_cast<size_t>(buffer)];
  life.pointer = 0;
  life.bytes = 0;
}

void BufferLives::begin(size_t buffer) {
  Life& life = lives_[buffer];
  end(buffer);
  if (!life.bytes)
    return;
  if (life.sharesMemory)
    for (size_t other = 0; other < lives_.size(); ++other) {
      const Life& o = lives_[other];
      if (o.live && o.pointer < life.pointer + static_cast<uint64_t>(life.bytes) && life.pointer < o.pointer + static_cast<uint64_t>(o.bytes))
        end(other);
    }
  watch_.beginBuffer(life.pointer, static_cast<size_t>(life.bytes), plan_.buffers[buffer].name);
  if (plan_.purpose == Purpose::Training && plan_.buffers[buffer].raggedBy)
    watch_.fillWithNan(life.pointer, static_cast<size_t>(life.bytes));
  life.live = true;
}

void BufferLives::end(size_t buffer) {
  if (!std::exchange(lives_[buffer].live, false))
    return;
  watch_.endBuffer(lives_[buffer].pointer);
}

void BufferLives::beforeLaunch(LaunchList list, int index) {
  const LaunchInfo& launch = plan_.launches(list)[static_cast<size_t>(index)];
  int place = index + (list == LaunchList::Apply ? static_cast<int>(plan_.forward.size()) : 0); // as lives are counted
  for (size_t i = 0; i < lives_.size(); ++i) {
    const BufferInfo& info = plan_.buffers[i];
    if (lives_[i].sharesMemory && (list == LaunchList::Prepare || place < info.firstLaunch || place > info.lastLaunch))
      end(i);
    if (lives_[i].firstWriter[static_cast<int>(list)] == index)
      begin(i);
  }
  // Launches need not run in order: what this one uses has a life now, empty if nobody wrote it.
  for (const auto* buffers : {&launch.inputs, &launch.outputs, &launch.workspaces})
    for (int buffer : *buffers)
      if (!lives_[static_cast<size_t>(buffer)].live)
        begin(static_cast<size_t>(buffer));
}

void BufferLives::beforeWrite(int buffer) {
  if (!lives_[static_cast<size_t>(buffer)].live)
    begin(static_cast<size_t>(buffer));
}

} // namespace moec
