// Targets of libmoec_train: files of records, and records of choices.

#include "runtime/core/Digest.h"
#include "runtime/data/Sources.h"
#include "runtime/train/ChoiceFile.h"
#include "tests/fuzz/Refusable.h"
#include "tests/fuzz/Targets.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

namespace moec::fuzz {
namespace {

/// The path of a file in memory that holds these bytes until the next call: making one for each input would cost more than most inputs do.
std::string fileOf(Bytes bytes) {
  static const int file = ::memfd_create("f", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes.size())) != 0 ||
      ::pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error("no file in memory");
  return "/proc/self/fd/" + std::to_string(file);
}

/// Of many, those at both ends: a wide table is opened for each of its fields.
template <class T> std::vector<T> ends(std::vector<T> list) {
  constexpr size_t kMost = 4;
  if (list.size() > kMost)
    list.erase(list.begin() + kMost / 2, list.end() - kMost / 2);
  return list;
}

/// Some records; their whole numbers keep to what their fields say.
void use(const data::Dataset& dataset) {
  if (dataset.size() < 1 || dataset.describe().empty() || dataset.digest().empty())
    throw std::logic_error("a dataset without records or words");
  std::vector<Tensor> tensors;
  std::vector<std::byte*> places;
  for (const data::Field& field : dataset.fields()) {
    tensors.emplace_back(field.dtype, field.shape);
    places.push_back(static_cast<std::byte*>(tensors.back().data()));
  }
  for (int64_t i = 0; i < std::min<int64_t>(dataset.size(), 64); ++i)
    refusable([&] {
      int64_t record = i < 32 ? i : dataset.size() - 1 - (i - 32); // from both ends
      if (record < 0)
        return;
      dataset.read(record, places);
      for (size_t f = 0; f < tensors.size(); ++f)
        if (const data::Field& field = dataset.fields()[f]; field.below)
          for (double value : tensors[f].toDoubles())
            if (value < 0 || value >= static_cast<double>(*field.below))
              throw std::logic_error(field.name + " beyond what the field says");
    });
}

} // namespace

bool records(Bytes bytes) {
  if (bytes.empty())
    return false;
  std::string path = fileOf(bytes.subspan(1));
  return refusable([&] {
    switch (bytes[0] % 3) {
    case 0:
      return use(*data::openIdx(path).train);
    case 1:
      return use(*data::openCifar(path).train);
    default:
      for (const data::Field& field : ends(data::listCsv(path)))
        refusable([&] { use(*data::openCsv(path, {{field.name, bytes[0] / 3 % 2 == 1}})); });
    }
  });
}

bool choices(Bytes bytes) {
  // Behind the front and each block stands the digest of what is before it.
  std::vector<uint8_t> made(bytes.begin(), bytes.end());
  auto word = [&](size_t at) {
    uint64_t number = 0;
    std::memcpy(&number, made.data() + at, sizeof number);
    return number;
  };
  auto makeRight = [&](size_t from, uint64_t length) { // with its digest
    uint64_t digest = digestOf(Bytes(made).subspan(from, length - 8)).low;
    std::memcpy(made.data() + from + length - 8, &digest, sizeof digest);
  };
  constexpr size_t kFront = 24, kHead = 64, kBlock = kHead + 8;
  if (made.size() >= kFront + 8 && word(16) <= made.size() - kFront - 8) {
    size_t at = kFront + word(16) + 8;
    makeRight(0, at);
    for (; made.size() - at >= kBlock && word(at) >= kBlock && word(at) <= made.size() - at; at += word(at)) {
      makeRight(at, kHead);
      makeRight(at, word(at));
    }
  }
  std::string path = fileOf(made);
  return refusable([&] {
    train::ChoiceReader reader(path);
    for (int64_t step = reader.first(), read = 0; step >= 1 && step <= reader.last() && read < 64; ++step)
      for (int64_t batch = 0; reader.find(step, batch) && read < 64; ++batch, ++read)
        refusable([&] {
          std::vector<Tensor> all = reader.read(step, batch);
          if (all.size() != reader.header().gates.size())
            throw std::logic_error("choices of other gates");
        });
  });
}

} // namespace moec::fuzz
