#pragma once
// A plan as a JSON value, for those that embed it in a larger document (Program's manifest). Includes the JSON library: keep out of headers.

#include "runtime/core/Plan.h"

#include <nlohmann/json.hpp>

namespace moec {

nlohmann::ordered_json planToJson(const Plan& plan);
/// `where` begins every message: "plans[0]". Does not call checkPlan.
Plan planFromJson(const nlohmann::json& json, const std::string& where);

} // namespace moec
