#pragma once
// Records that a model learns from, by number. What they are made of (files, a tokenizer) is the business of each kind; a dataset never changes.

#include "runtime/core/Error.h"
#include "runtime/core/Tensor.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moec::data {

/// A part of a record, "tokens" or "label": of one dtype and shape in all records of a dataset, the batch left out.
struct Field {
  std::string name;
  DType dtype = DType::F32;
  Shape shape;
  std::optional<int64_t> below;        // integers: all lie in [0, below)
  std::vector<std::string> words = {}; // of a label: what its values mean, "cat" (by number); empty: they have no names
  bool shared = false;                 // the same in all records: a batch has it once, without a size for the records
  bool picture = false;                // points of a picture, (height, width) or (channels, height, width): u8 of 0 to 255, or floats of [0, 1]
};

/// Of a field in a batch of so many records.
Shape batchShape(const Field& field, int64_t records);

/// A file is no longer what it was when the dataset was opened: nothing read from it is what the digest names, so no policy passes over it.
class FileChanged : public Error {
public:
  explicit FileChanged(const std::string& message) : Error(Fault::Data, message) {}
};

class Dataset {
public:
  virtual ~Dataset() = default;
  virtual const std::vector<Field>& fields() const = 0;
  virtual int64_t size() const = 0;
  /// Writes a record's fields, dense, each into its own memory. Safe from several threads at once. Error(Data) that names file and position for a record that
  /// cannot be read, FileChanged for a file that changed since the dataset was opened; nothing that was written counts then.
  virtual void read(int64_t record, std::span<std::byte* const> fields) const = 0;
  /// Names the records and their order: what was read, how it was cut. A training goes on only with the digest that it began with. Reads files whole the first
  /// time.
  virtual std::string digest() const = 0;
  /// The same of the records alone, whatever dtypes and inputs their numbers go to.
  virtual std::string recordsDigest() const { return digest(); }
  /// For people: "digits: 1797 images of 10 classes".
  virtual std::string describe() const = 0;
  /// Where a record stands, for messages: "train.txt: byte 1234", "cats/3.png".
  virtual std::string placeOf(int64_t record) const = 0;
};

using DatasetPtr = std::shared_ptr<const Dataset>;

/// Records of another in an order of their own. Error(Usage) for a number outside.
DatasetPtr subset(DatasetPtr dataset, std::vector<int64_t> records);

/// Two parts of a dataset: `share` of its records (rounded to the nearest), drawn by the seed, are held out; both keep the order of their records. Error(Data)
/// when one part would be empty.
struct Split {
  DatasetPtr train, validation;
};
Split split(const DatasetPtr& dataset, double share, uint64_t seed);

} // namespace moec::data
