#include "runtime/bench/Statistics.h"

#include <algorithm>

namespace moec::bench {

double quantileOf(const std::vector<double>& ordered, double part) {
  if (ordered.empty())
    return 0;
  double place = part * static_cast<double>(ordered.size() - 1);
  auto below = static_cast<size_t>(place);
  size_t above = std::min(below + 1, ordered.size() - 1);
  return ordered[below] + (ordered[above] - ordered[below]) * (place - static_cast<double>(below));
}

Spread spreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {quantileOf(values, 0.5), quantileOf(values, 0.25), quantileOf(values, 0.75)};
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
