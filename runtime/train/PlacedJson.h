#pragma once
// A JSON object whose members know where they stand in their text, for messages about small files of settings.

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace moec::train {

class PlacedJson {
public:
  struct Member {
    std::string key;
    nlohmann::ordered_json value;
    size_t keyAt = 0, valueAt = 0; // bytes from the text's beginning
  };

  /// Error(Data) "where:3:12: ..." for what is no JSON, no object, and a key that is written twice.
  PlacedJson(const std::string& text, std::string where);

  const std::vector<Member>& members() const { return members_; }
  [[noreturn]] void fail(size_t at, const std::string& message) const;

private:
  const std::string& text_;
  std::string where_;
  std::vector<Member> members_;
};

} // namespace moec::train
