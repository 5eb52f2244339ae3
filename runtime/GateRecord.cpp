#include "runtime/GateRecord.h"

#include <algorithm>

namespace moec {

namespace {

// Names of a model's values have no dots: these are a gate's alone.
constexpr std::string_view kChoices = ".choices", kWeights = ".weights", kKept = ".kept";

} // namespace

bool isChoices(std::string_view name) { return name.ends_with(kChoices); }
bool isRecord(std::string_view name) { return isChoices(name) || name.ends_with(kWeights) || name.ends_with(kKept); }

std::vector<GateRecord> gateRecords(const TensorMap& results, const std::vector<std::string>& names) {
  std::vector<GateRecord> records;
  for (const std::string& name : names) {
    auto result = results.find(name);
    if (!isRecord(name) || result == results.end())
      continue;
    size_t dot = name.rfind('.');
    std::string gate = name.substr(0, dot);
    auto record = std::ranges::find(records, gate, &GateRecord::gate);
    if (record == records.end())
      record = records.insert(records.end(), GateRecord{gate, {}, {}, {}});
    (isChoices(name) ? record->choices : name.ends_with(kWeights) ? record->weights : record->kept) = result->second;
  }
  return records;
}

} // namespace moec
