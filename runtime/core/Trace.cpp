#include "runtime/core/Trace.h"

#include "runtime/core/AtomicFile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <tuple>
#include <unistd.h>

namespace moec {

namespace {

int threadId() {
  static thread_local int id = gettid();
  return id;
}

double microseconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e3; }

using Clock = std::chrono::steady_clock;

struct Event {
  std::string name;
  const char* category;
  int thread;
  Clock::time_point begin;
  std::chrono::nanoseconds length; // below zero: a moment
  Trace::Arguments arguments;
};

} // namespace

struct Trace::State {
  Clock::time_point start = Clock::now();
  int owner = threadId(); // the thread that made the trace
  std::mutex mutex;
  std::vector<Event> events;

  void add(Event event) {
    std::lock_guard lock(mutex);
    events.push_back(std::move(event));
  }
};

Trace::Trace() : state_(std::make_unique<State>()) {}
Trace::~Trace() = default;

Trace::Span::Span(Trace* trace, std::string_view name, const char* category) : trace_(trace) {
  if (!trace)
    return;
  name_ = name;
  category_ = category;
  begin_ = Clock::now();
}

Trace::Span::~Span() {
  if (!trace_)
    return;
  try {
    trace_->state_->add({std::move(name_), category_, threadId(), begin_, Clock::now() - begin_, std::move(arguments_)});
  } catch (const std::bad_alloc&) { // a hole in the picture, and what is traced goes on
  }
}

Trace::Span& Trace::Span::add(const char* name, Value value) {
  if (trace_)
    arguments_.emplace_back(name, std::move(value));
  return *this;
}

void Trace::moment(std::string_view name, const char* category, Arguments arguments) {
  state_->add({std::string(name), category, threadId(), Clock::now(), std::chrono::nanoseconds(-1), std::move(arguments)});
}

void Trace::write(const std::filesystem::path& path) const {
  using Json = nlohmann::ordered_json;
  std::lock_guard lock(state_->mutex);
  std::vector<const Event*> events;
  for (const Event& event : state_->events)
    events.push_back(&event);
  // By time; of what began at once the longer is around the shorter.
  std::ranges::sort(events, [](const Event* a, const Event* b) { return std::tuple(a->begin, b->length, a) < std::tuple(b->begin, a->length, b); });

  int process = getpid();
  std::map<int, std::string> threads{{state_->owner, "main"}};
  AtomicFile file(path);
  file.write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
  for (const Event* event : events) {
    if (!threads.contains(event->thread))
      threads.emplace(event->thread, fmt::format("worker {}", threads.size()));
    Json json{
        {"name", event->name}, {"cat", event->category}, {"ph", event->length.count() < 0 ? "i" : "X"}, {"ts", microseconds(event->begin - state_->start)}};
    if (event->length.count() < 0)
      json["s"] = "t";
    else
      json["dur"] = microseconds(event->length);
    json["pid"] = process;
    json["tid"] = event->thread;
    if (!event->arguments.empty())
      for (const auto& [name, value] : event->arguments)
        std::visit([&, &name = name](const auto& known) { json["args"][name] = known; }, value);
    // Names come from models and files: what is no UTF-8 is replaced.
    file.write(json.dump(-1, ' ', false, Json::error_handler_t::replace) + ",\n");
  }
  std::string names;
  for (const auto& [thread, name] : threads) {
    Json json{{"name", "thread_name"}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
    names += (names.empty() ? "" : ",\n") + json.dump();
  }
  file.write(names + "\n]}\n");
  file.commit();
}

} // namespace moec
