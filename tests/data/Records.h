#pragma once
// Records read one by one, and files as strangers write them.

#include "runtime/data/Dataset.h"
#include "tests/io/Files.h"

#include <string>

namespace moec::data::test {

inline TensorMap recordOf(const Dataset& dataset, int64_t record) {
  TensorMap tensors;
  std::vector<std::byte*> places;
  for (const Field& field : dataset.fields())
    places.push_back(static_cast<std::byte*>(tensors.emplace(field.name, Tensor(field.dtype, field.shape)).first->second.data()));
  dataset.read(record, places);
  return tensors;
}

inline std::vector<double> numbers(const Dataset& dataset, int64_t record, const std::string& field) { return recordOf(dataset, record).at(field).toDoubles(); }
inline int64_t integer(const Dataset& dataset, int64_t record, const std::string& field) { return recordOf(dataset, record).at(field).as<int64_t>()[0]; }

inline std::string bytes(std::initializer_list<int> values) {
  std::string result;
  for (int value : values)
    result.push_back(static_cast<char>(value));
  return result;
}

/// An IDX file of bytes: sizes, then what they count.
inline std::string idx(const std::vector<uint32_t>& sizes, const std::string& content) {
  std::string result = bytes({0, 0, 8, static_cast<int>(sizes.size())});
  for (uint32_t size : sizes)
    for (int shift : {24, 16, 8, 0})
      result.push_back(static_cast<char>(size >> shift));
  return result + content;
}

} // namespace moec::data::test
