#pragma once
// What this machine and this installation give moec, looked at one by one, each with what to do about it. Changes
// nothing but a file that is written to the cache's folder and removed.

#include <string>
#include <vector>

namespace moec::cli {

struct Diagnosis {
  enum class Status {
    Ok,
    Warn, // moec works without it
    Fail,
  };
  std::string name;
  Status status = Status::Ok;
  std::string found;
  std::string remedy = {}; // what to do; empty when it is well
};

/// In the order in which they are shown.
std::vector<Diagnosis> diagnose();

} // namespace moec::cli
