#pragma once
// PyTorch in a process of its own (torch_layer.py): asked for one time after the other, so that it takes its turn among
// others. Knows no GPU.

#include "runtime/core/Tensor.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace moec::bench {

class TorchLayer {
public:
  /// Starts the script with these tensors (torch_layer.py names them) on "cuda" or "cpu". Error(Device) that says what
  /// is missing.
  TorchLayer(const std::string& python, const TensorMap& tensors, const std::string& device);
  ~TorchLayer();
  TorchLayer(const TorchLayer&) = delete;
  TorchLayer& operator=(const TorchLayer&) = delete;

  const std::string& version() const { return version_; }
  const std::vector<std::string>& ways() const { return ways_; }
  const std::map<std::string, std::string>& reasons() const { return reasons_; } // why a way is not there
  /// The layer's result that way, (T, D).
  Tensor result(const std::string& way) const;
  double seconds(const std::string& way, int repeats);

private:
  void start(const std::string& python, const std::string& device);
  void stop();
  std::string readLine();

  std::filesystem::path folder_;
  std::string version_;
  std::vector<std::string> ways_;
  std::map<std::string, std::string> reasons_;
  int child_ = -1, toChild_ = -1, fromChild_ = -1;
  std::string unread_;
};

} // namespace moec::bench
