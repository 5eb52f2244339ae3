#include "bench/gpu/Statistics.h"

#include <algorithm>
#include <cmath>

namespace moec::bench {

Spread spreadOf(std::vector<double> values) {
  if (values.empty())
    return {};
  std::sort(values.begin(), values.end());
  auto at = [&](double part) {
    double place = part * static_cast<double>(values.size() - 1);
    auto below = static_cast<size_t>(place);
    size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
  };
  return {at(0.5), at(0.25), at(0.75)};
}

std::vector<std::vector<double>> runByTurns(const std::vector<Contestant>& contestants, int repetitions) {
  std::vector<std::vector<double>> times(contestants.size());
  for (const Contestant& contestant : contestants)
    contestant.once();
  for (int repetition = 0; repetition < repetitions; ++repetition)
    for (size_t i = 0; i < contestants.size(); ++i) {
      size_t turn = (i + static_cast<size_t>(repetition)) % contestants.size();
      times[turn].push_back(contestants[turn].once());
    }
  return times;
}

Spread ratioOf(const std::vector<double>& times, const std::vector<double>& base) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(times.size(), base.size()); ++i)
    ratios.push_back(times[i] / base[i]);
  return spreadOf(std::move(ratios));
}

} // namespace moec::bench
