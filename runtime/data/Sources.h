#pragma once
// The kinds of data besides text, each as records in the terms of its own files: which input of a model takes what is decided in Bind.h. Errors are Error(Data)
// that names the file, and its line or record where there is one.

#include "runtime/core/Plan.h"
#include "runtime/data/Dataset.h"

#include <filesystem>
#include <string>
#include <vector>

namespace moec::data {

/// Records to learn from, and those that the data themselves hold out (null: none).
struct Parts {
  DatasetPtr train, validation;
};

/// MNIST's files, unpacked or gzip. A folder with one pair of them, or with "train" and "t10k" or "test", which is held out; or a file of images, whose labels
/// stand beside it under the same name with "labels" for "images". Fields "image" u8 (the file's sizes but the first), and "label" i64 () where labels are
/// there.
Parts openIdx(const std::filesystem::path& path);

/// CIFAR-10's and CIFAR-100's binary files: a folder of theirs, whose test part is held out, or one file. Fields "image" u8 (3, 32, 32), "label" i64 () and, of
/// CIFAR-100, "coarse_label" i64 ().
Parts openCifar(const std::filesystem::path& path);

/// Arrays whose first size counts records: a .npy (field: the file's name), a .safetensors (the tensors' names), or a folder of these. `names`: the fields that
/// are wanted, each once; they have as many records each, but those of `shared`, which all records share.
DatasetPtr openArrays(const std::filesystem::path& path, const std::vector<std::string>& names, const std::vector<std::string>& shared = {});
/// The arrays that there are, with their whole shapes.
std::vector<Field> listArrays(const std::filesystem::path& path);

/// A picture for each record (.png, .jpg, .jpeg), in a sub-folder for each class, by the order of their names; or sub-folders "train" and "val", "valid",
/// "validation" or "test" with these, of which the latter is held out. `input` says how a picture becomes numbers. Fields "image", and "label" i64 () with the
/// classes' names. `classes`: the names that there must be, of a part seen before.
Parts openPictures(const std::filesystem::path& path, const InputInfo& input, const std::vector<std::string>& classes = {});

/// A field of a table that is wanted.
struct CsvField {
  std::string name;
  bool floats = false;                 // f64 also where every cell is an integer
  std::vector<std::string> words = {}; // those that there may be, by number, of a part seen before
};

/// A table: a header line that names the columns, then a record a line; commas between the cells, or tabs in a file named *.tsv (Csv.h has the rules of the
/// text). Columns x.0, x.1 .. are one field "x" of that many numbers, every other column is a field without sizes; so are, by name, "a,b,c", these columns, and
/// "pixel*", all that begin so, with a size. A field is i64 where every cell is an integer, else f64. A column that begins with a word has words alone, and is
/// i64: their places in the alphabet. A line that cannot be read is a bad record.
DatasetPtr openCsv(const std::filesystem::path& path, const std::vector<CsvField>& fields);
/// The fields that openCsv() could give: names and shapes alone.
std::vector<Field> listCsv(const std::filesystem::path& path);

} // namespace moec::data
