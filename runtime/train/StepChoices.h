#pragma once
// What gates choose in a training's steps: kept in a record, or taken from one. Knows nothing of how the file is made.

#include "runtime/train/ChoiceFile.h"
#include "runtime/train/Config.h"

#include <functional>

namespace moec::train {

class StepChoices {
public:
  /// Error(Usage) for a plan for training that does not tell, or does not take, the choices that `config` wants recorded, or replayed; and for one that takes
  /// some where nothing is replayed. `plan` outlives it.
  StepChoices(const Plan& plan, const Config& config);

  /// The fields of a batch, and any choices: for what looks at sizes alone.
  TensorMap withAnyChoices(const TensorMap& fields) const;

  /// Before the first step: from behind step `from` up to step `to`, where that is known. `model`, and what `data` gives, name what the training is of;
  /// `recorded`, where it goes on from a checkpoint: digest() as it was then; its record is gone on with, where there is one. Gives what people should know, or
  /// nothing. Error(Data) naming step and gate for a record that does not have what is to be replayed; else as ChoiceWriter.
  std::string begin(const std::string& model, const std::function<std::string()>& data, int64_t from, std::optional<int64_t> to,
                    const std::optional<std::string>& recorded);

  /// Of a batch with these fields: its inputs "<gate>.choices", none where nothing is replayed. Error(Data) naming step and gate when the record has none, or
  /// of another batch.
  TensorMap inputs(const BatchKey& key, const TensorMap& fields) const;
  /// What gates chose in a batch, among its results.
  void add(const BatchKey& key, const TensorMap& results);
  /// What was recorded survives a power cut.
  void sync();
  /// Of what the record has of whole steps up to now; empty where there is none.
  std::string digest() const { return writer_ ? writer_->digest() : ""; }
  /// Steps from now on are done again: they stand in the record.
  void endRecord() { writer_.reset(); }

private:
  void checkGates(const ChoiceReader& record) const;

  const Plan& plan_;
  std::filesystem::path record_, replay_;
  uint64_t seed_;
  std::vector<ChoosingGate> told_, taken_; // by the plan
  std::optional<ChoiceWriter> writer_;
  std::optional<ChoiceReader> reader_;
  std::vector<size_t> places_; // of the gates of `taken_` in the record that is replayed
};

} // namespace moec::train
