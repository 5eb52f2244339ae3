#include "runtime/train/BatchSizes.h"

#include "runtime/core/Error.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

namespace moec::train {
namespace {

constexpr int64_t kFurthest = 64; // sizes above and below that are tried

/// Why a use does not take a batch of so many records; nothing when it does.
class Answers {
public:
  explicit Answers(const BatchUse& use) : use_(use) {}
  const std::optional<std::string>& problem(int64_t records) {
    auto [answer, isNew] = known_.try_emplace(records);
    if (isNew)
      answer->second = ask(records);
    return answer->second;
  }
  /// The sizes of an epoch's batches.
  std::vector<int64_t> sizes(int64_t batch) const {
    int64_t size = use_.dataset->size();
    std::vector<int64_t> sizes{std::min(batch, size)};
    if (size > batch && size % batch != 0 && !use_.dropLast)
      sizes.push_back(size % batch);
    return sizes;
  }
  bool fits(int64_t batch) {
    return (!use_.dropLast || batch <= use_.dataset->size()) &&
           std::ranges::none_of(sizes(batch), [&](int64_t records) { return problem(records).has_value(); });
  }
  const BatchUse& use() const { return use_; }

private:
  std::optional<std::string> ask(int64_t records) const {
    TensorMap zeros;
    for (const data::Field& field : use_.dataset->fields())
      zeros.emplace(field.name, Tensor(field.dtype, data::batchShape(field, records)));
    try {
      use_.check(zeros);
    } catch (const Error& error) {
      if (error.fault() != Fault::Usage)
        throw;
      return error.what();
    }
    return {};
  }

  const BatchUse& use_;
  std::map<int64_t, std::optional<std::string>> known_;
};

} // namespace

void checkBatchSizes(const std::vector<BatchUse>& uses, int64_t batch) {
  std::vector<Answers> answers(uses.begin(), uses.end());
  auto allFit = [&](int64_t size) { return size >= 1 && std::ranges::all_of(answers, [&](Answers& answer) { return answer.fits(size); }); };
  for (Answers& answer : answers) {
    const BatchUse& use = answer.use();
    int64_t size = use.dataset->size();
    if (use.dropLast && batch > size)
      throw Error(Fault::Usage, fmt::format("{}: a batch of {} is never full with {} records, and what is not full is left out: give a --batch of at most {}",
                                            use.what, batch, size, size));
    for (int64_t records : answer.sizes(batch)) {
      const std::optional<std::string>& problem = answer.problem(records);
      if (!problem)
        continue;
      std::string which = records < batch && size > batch ? fmt::format("{}: the last batch of an epoch has {} of {} records: ", use.what, records, size)
                                                          : fmt::format("{}: a batch of {} records is not possible: ", use.what, records);
      std::string advice;
      int64_t whole = std::min(batch, size); // beyond all records nothing changes, and a sum could overflow
      for (int64_t distance = 1; distance <= kFurthest && advice.empty(); ++distance)
        for (int64_t other : {whole - distance, whole + distance})
          if (advice.empty() && allFit(other))
            advice = fmt::format("; --batch {} is possible", other);
      bool dropping = records < batch && size > batch && uses.size() == 1;
      throw Error(Fault::Usage,
                  which + *problem + advice + (dropping ? fmt::format("{}--drop-last leaves such a batch out", advice.empty() ? "; " : ", or ") : ""));
    }
  }
}

} // namespace moec::train
