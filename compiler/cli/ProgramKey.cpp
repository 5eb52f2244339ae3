#include "compiler/cli/ProgramKey.h"

#include "runtime/core/Digest.h"
#include "runtime/core/Error.h"
#include "runtime/core/WeightsAs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <cpuid.h>
#include <set>

namespace moec::cli {

namespace {

/// What JSON can hold: bytes that are no UTF-8 are replaced.
std::string readable(const std::string& text) {
  nlohmann::json json = text;
  return nlohmann::json::parse(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

} // namespace

ProgramKey ProgramKey::of(std::span<const uint8_t> model, const std::string& file, const CompileOptions& options, const std::string& build,
                          const std::string& cpu) {
  ProgramKey key{digestOf(model).hex(), readable(file), {}, build, cpu};
  if (!options.targets.empty())
    key.options["--target"] = fmt::format("{}", fmt::join(options.targets, ","));
  if (!options.moefy.empty())
    key.options["--moefy"] = options.moefy;
  if (auto as = WeightsAs::parse(options.weightsAs))
    key.options["--weights-as"] = as->str();
  for (auto [flag, given] :
       {std::pair("--draws-as-inputs", options.drawsAsInputs), std::pair("-g", options.debugInfo), std::pair("--invariant", options.invariant),
        std::pair("--train", options.train), std::pair("--accumulate", options.accumulate), std::pair("--input-gradients", options.inputGradients),
        std::pair("the way back by parts", options.wayBackByParts), std::pair("--recompute", options.recompute), std::pair("--record", options.record),
        std::pair("--replay", options.replay), std::pair("--evaluate", options.evaluate), std::pair("record and replay of steps alone", options.ofStepsAlone),
        std::pair("--non-finite error", options.nonFinite == NonFiniteLogits::Error), std::pair("--statistics", options.statistics),
        std::pair("the model's check sizes", options.checkSizes)})
    if (given)
      key.options[flag] = "given";
  if (options.generate)
    key.options["--context"] = fmt::format("{}, --batch {}", options.generate->context, options.generate->batch);
  if (options.ema)
    key.options["--ema"] = fmt::format("{}", *options.ema);
  // All of them: which the model's kernels take is known to the compiler alone.
  if (!options.schedules.empty())
    key.options["--tuning"] = "schedules with the digest " + digestOf(nlohmann::json(options.schedules).dump()).hex();
  for (const auto& [name, value] : options.let)
    key.options["let " + name] = std::to_string(value);
  return key;
}

nlohmann::ordered_json ProgramKey::toJson() const { return {{"model", model}, {"file", file}, {"options", options}, {"build", build}, {"cpu", cpu}}; }

ProgramKey ProgramKey::fromJson(const nlohmann::ordered_json& json, const std::string& where) {
  try {
    return {json.at("model"), json.at("file"), json.at("options"), json.at("build"), json.at("cpu")};
  } catch (const nlohmann::json::exception&) {
    throw Error(Fault::Data, where + ": its key is none of a program");
  }
}

std::string ProgramKey::digest() const {
  // JSON leads and ends each field: two different keys never give one text.
  return digestOf("moec program " + toJson().dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)).hex();
}

std::vector<std::string> differences(const ProgramKey& entry, const ProgramKey& now) {
  std::vector<std::string> result;
  if (entry.file != now.file)
    result.push_back(fmt::format("the file's name: the entry is of {}, this is {}", entry.file, now.file));
  if (entry.model != now.model)
    result.push_back("the file's bytes changed since the entry was made");
  std::set<std::string> names;
  for (const auto* options : {&entry.options, &now.options})
    for (const auto& [name, value] : *options)
      names.insert(name);
  auto words = [](const ProgramKey& key, const std::string& name) {
    auto found = key.options.find(name);
    return found == key.options.end() ? std::string("not given") : found->second;
  };
  for (const std::string& name : names)
    if (words(entry, name) != words(now, name))
      result.push_back(fmt::format("{}: {} for the entry, {} now", name, words(entry, name), words(now, name)));
  if (entry.build != now.build)
    result.push_back(fmt::format("another build of moec: {} made the entry, this is {}", entry.build, now.build));
  if (entry.cpu != now.cpu)
    result.push_back("another CPU: the entry was made where the instruction sets differ");
  return result;
}

std::string hostCpu() {
  std::string result;
  unsigned a = 0, b = 0, c = 0, d = 0;
  auto leaf = [&](unsigned number, unsigned sub) {
    a = b = c = d = 0;
    __get_cpuid_count(number, sub, &a, &b, &c, &d);
  };
  leaf(0, 0);
  result += fmt::format("{:08x}{:08x}{:08x}", b, d, c); // the maker
  leaf(1, 0);
  result += fmt::format(".{:08x}.{:08x}{:08x}", a, c, d); // family and model; b holds the number of the core
  bool hasXgetbv = (c >> 27 & 1) != 0;
  leaf(7, 0);
  unsigned subleaves = a;
  result += fmt::format(".{:08x}{:08x}{:08x}", b, c, d);
  if (subleaves >= 1) {
    leaf(7, 1);
    result += fmt::format(".{:08x}{:08x}", a, d);
  }
  if (hasXgetbv) { // which registers the system saves
    unsigned low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    result += fmt::format(".{:08x}{:08x}", high, low);
  }
  return result;
}

} // namespace moec::cli
