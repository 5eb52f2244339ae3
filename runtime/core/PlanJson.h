#pragma once
// A plan as a JSON value, for those that embed it in a larger document (Program's manifest). Includes the JSON library: keep out of headers.

#include "runtime/core/Plan.h"

#include <nlohmann/json.hpp>

namespace moec {

nlohmann::ordered_json planToJson(const Plan& plan);
/// `where` begins every message: "plans[0]". Does not call checkPlan.
Plan planFromJson(const nlohmann::json& json, const std::string& where);

/// Parts of a launch, for those that keep them apart from a plan. Reading checks as planFromJson() does.
nlohmann::ordered_json sizesToJson(const std::vector<Size>& sizes);
std::vector<Size> sizesFromJson(const nlohmann::json& json, const std::string& where);
nlohmann::ordered_json stagesToJson(const std::vector<StageInfo>& stages);
std::vector<StageInfo> stagesFromJson(const nlohmann::json& json, const std::string& where);

} // namespace moec
