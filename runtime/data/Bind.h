#pragma once
// Which field of some data an input of a model reads, and how its numbers become the input's.

#include "runtime/core/Plan.h"
#include "runtime/data/Dataset.h"

#include <map>
#include <string>
#include <vector>

namespace moec::data {

/// The inputs that data have to give: not draws, not the training's own.
std::vector<InputInfo> dataInputs(const std::vector<InputInfo>& inputs);

/// Does the input have a number for each record? `inputs`: all of them; the records' size is the first of what only the loss needs, or of the first input.
bool isByRecord(const InputInfo& input, const std::vector<InputInfo>& inputs);

/// An input and the field that it reads.
struct Binding {
  InputInfo input;
  std::string field;
};

/// For each input the field that `given` names for it, else the one of its own name, else the one of its role: a picture's "image", "label" of whole numbers
/// that only the loss needs, "tokens" and "targets" of ids in two sizes. Error(Usage) for an input without a field, for a name in `given` that is no input's,
/// and for a field that is none of `fields` (unless `anyField`: the data know more than they list).
std::vector<Binding> chooseFields(const std::vector<InputInfo>& inputs, const std::vector<Field>& fields, const std::map<std::string, std::string>& given,
                                  const std::string& where, bool anyField = false);

/// The data with a field for each binding, by the input's name, of its dtype and sizes. Fields without an axis of records keep to their sizes (Field::shared).
/// - Points of a picture become floats by the input's rule; so do other u8 arrays where the input has one.
/// - Whole numbers become whole numbers or floats that are equal to them, floats are rounded to the input's floats, and become whole numbers where they are: a
/// record in which another one stands is bad, as is
///   one beyond what the input takes (InputInfo::below).
/// - Sizes of 1 do not count, and a field of one size fills an input of several, the last one fastest.
/// Error(Data) for sizes that do not fit, for symbols that get two values, for rules of the model that sizes break, and for more classes or a larger vocabulary
/// than the input takes (both numbers).
DatasetPtr bind(DatasetPtr dataset, const std::vector<Binding>& bindings, const std::vector<SizeRule>& rules);

} // namespace moec::data
