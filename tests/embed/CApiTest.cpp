// The C interface: a whole run against the C++ one, and errors as states and words.

#include "runtime/Session.h"
#include "runtime/Training.h"
#include "runtime/c/c_api.h"
#include "tests/runtime/TinyProgram.h"
#include "tests/runtime/TinyTraining.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <thread>

namespace moec {
namespace {

using testing::HasSubstr;

class CApi : public testing::Test {
protected:
  void SetUp() override {
    std::vector<uint8_t> bytes = Program(tinyProgramData()).bytes();
    ASSERT_EQ(moec_program_parse(bytes.data(), bytes.size(), &program), MOEC_OK) << moec_last_error();
    ASSERT_EQ(moec_session_create(program, "cpu", 1, &session), MOEC_OK) << moec_last_error();
  }
  void TearDown() override {
    moec_session_free(session);
    moec_program_free(program);
  }

  moec_program* program = nullptr;
  moec_session* session = nullptr;
};

TEST_F(CApi, GivesWhatTheCppInterfaceGives) {
  Tensor x = tinyTokens(20, 1);
  Session expected(Program(tinyProgramData()), "cpu", {.threads = 1});
  expected.init(3);
  TensorMap outputs = expected.run({{"x", x}}, {.seed = 5, .step = 6});

  ASSERT_EQ(moec_session_init(session, 3), MOEC_OK) << moec_last_error();
  ASSERT_EQ(moec_session_input_count(session), 1u); // the label is for the loss
  EXPECT_STREQ(moec_session_input_name(session, 0), "x");
  EXPECT_EQ(moec_session_input_name(session, 1), nullptr);
  ASSERT_EQ(moec_session_output_count(session), 2u);
  EXPECT_EQ(moec_session_output_name(session, 2), nullptr);
  moec_tensor* input = nullptr;
  ASSERT_EQ(moec_tensor_borrow(x.data(), MOEC_F32, x.shape().data(), x.shape().size(), &input), MOEC_OK) << moec_last_error();
  const char* name = "x";
  moec_tensor* results[2] = {};
  for (int call = 0; call < 2; ++call) {
    ASSERT_EQ(moec_session_run(session, &name, &input, 1, 5, 6, results), MOEC_OK) << moec_last_error();
    for (size_t i = 0; i < 2; ++i) {
      const Tensor& want = outputs.at(moec_session_output_name(session, i));
      EXPECT_EQ(static_cast<int>(moec_tensor_dtype(results[i])), static_cast<int>(want.dtype()));
      ASSERT_EQ(Shape(moec_tensor_shape(results[i]), moec_tensor_shape(results[i]) + moec_tensor_rank(results[i])), want.shape());
      ASSERT_EQ(moec_tensor_bytes(results[i]), want.bytes());
      EXPECT_EQ(std::memcmp(moec_tensor_data(results[i]), want.data(), want.bytes()), 0);
      moec_tensor_free(results[i]);
    }
  }
  moec_tensor_free(input);
}

TEST_F(CApi, WeightsAsTensors) {
  Tensor w = Tensor::of<float>(std::vector<float>(kTinyWidth, 0.25f), {kTinyWidth});
  moec_tensor* tensor = nullptr;
  ASSERT_EQ(moec_tensor_create(MOEC_F32, w.shape().data(), 1, &tensor), MOEC_OK);
  std::memcpy(moec_tensor_data(tensor), w.data(), w.bytes());
  const char* name = "w";
  EXPECT_EQ(moec_session_load_tensors(session, &name, &tensor, 1), MOEC_OK) << moec_last_error();
  name = "v";
  EXPECT_EQ(moec_session_load_tensors(session, &name, &tensor, 1), MOEC_ERROR_DATA);
  EXPECT_THAT(moec_last_error(), HasSubstr("v"));
  const char* twice[] = {"w", "w"};
  const moec_tensor* both[] = {tensor, tensor};
  EXPECT_EQ(moec_session_load_tensors(session, twice, both, 2), MOEC_ERROR_USAGE);
  EXPECT_THAT(moec_last_error(), HasSubstr("\"w\" is given twice"));
  moec_tensor_free(tensor);
}

TEST_F(CApi, ErrorsAreStatesAndWordsAndLeaveResultsAlone) {
  moec_program* untouched = program;
  moec_program* result = untouched;
  EXPECT_EQ(moec_program_load("/nonexistent.moec", &result), MOEC_ERROR_DATA);
  EXPECT_THAT(moec_last_error(), HasSubstr("/nonexistent.moec"));
  EXPECT_EQ(moec_program_parse("no program", 10, &result), MOEC_ERROR_DATA);
  EXPECT_EQ(moec_program_load(nullptr, &result), MOEC_ERROR_USAGE);
  EXPECT_STREQ(moec_last_error(), "path is null");
  EXPECT_EQ(result, untouched);
  moec_session* none = nullptr;
  EXPECT_EQ(moec_session_create(program, "abacus", 0, &none), MOEC_ERROR_USAGE);
  EXPECT_THAT(moec_last_error(), HasSubstr("abacus"));
  EXPECT_EQ(moec_session_create(program, "cpu", -1, &none), MOEC_ERROR_USAGE);
  EXPECT_EQ(none, nullptr);
  moec_tensor* outputs[2] = {};
  EXPECT_EQ(moec_session_run(session, nullptr, nullptr, 0, 0, 0, outputs), MOEC_ERROR_USAGE);
  EXPECT_THAT(moec_last_error(), HasSubstr("x"));
  EXPECT_EQ(outputs[0], nullptr);
  moec_tensor* tensor = nullptr;
  int64_t negative = -1;
  EXPECT_EQ(moec_tensor_create(MOEC_F32, &negative, 1, &tensor), MOEC_ERROR_DATA);
  EXPECT_EQ(moec_tensor_create(static_cast<moec_dtype>(99), &negative, 1, &tensor), MOEC_ERROR_USAGE);
  EXPECT_EQ(moec_session_read_input(session, "y", "photo.png", &tensor), MOEC_ERROR_USAGE);
  EXPECT_EQ(tensor, nullptr);
}

TEST_F(CApi, EachThreadHasItsOwnLastError) {
  EXPECT_EQ(moec_program_load(nullptr, nullptr), MOEC_ERROR_USAGE);
  std::string other = "?";
  std::thread([&] { other = moec_last_error(); }).join();
  EXPECT_EQ(other, "");
  EXPECT_STREQ(moec_last_error(), "path is null");
}

TEST_F(CApi, TensorsAcrossDLPack) {
  int64_t shape[] = {2, 2};
  moec_tensor *tensor = nullptr, *back = nullptr;
  ASSERT_EQ(moec_tensor_create(MOEC_I64, shape, 2, &tensor), MOEC_OK);
  DLManagedTensorVersioned* managed = nullptr;
  ASSERT_EQ(moec_tensor_to_dlpack(tensor, &managed), MOEC_OK);
  ASSERT_EQ(moec_tensor_from_dlpack(managed, &back), MOEC_OK);
  EXPECT_EQ(moec_tensor_data(back), moec_tensor_data(tensor));
  EXPECT_EQ(moec_tensor_dtype(back), MOEC_I64);
  moec_tensor_free(tensor);
  static_cast<int64_t*>(moec_tensor_data(back))[3] = 7; // still alive
  moec_tensor_free(back);
}

TEST_F(CApi, ManySessionsOfOneProgramInManyThreads) {
  Tensor x = tinyTokens(50, 2);
  std::vector<std::vector<uint8_t>> results(8);
  std::vector<std::thread> threads;
  for (std::vector<uint8_t>& result : results)
    threads.emplace_back([&] {
      moec_session* own = nullptr;
      moec_tensor *input = nullptr, *outputs[2] = {};
      const char* name = "x";
      if (moec_session_create(program, "cpu", 2, &own) == MOEC_OK && moec_session_init(own, 1) == MOEC_OK &&
          moec_tensor_borrow(x.data(), MOEC_F32, x.shape().data(), 2, &input) == MOEC_OK)
        for (int call = 0; call < 20; ++call) {
          if (moec_session_run(own, &name, &input, 1, 1, 2, outputs) != MOEC_OK)
            break;
          auto* bytes = static_cast<uint8_t*>(moec_tensor_data(outputs[0]));
          result.assign(bytes, bytes + moec_tensor_bytes(outputs[0]));
          moec_tensor_free(outputs[0]);
          moec_tensor_free(outputs[1]);
        }
      moec_tensor_free(input);
      moec_session_free(own);
    });
  for (std::thread& thread : threads)
    thread.join();
  for (const auto& result : results) {
    EXPECT_FALSE(result.empty());
    EXPECT_EQ(result, results[0]);
  }
}

TEST(CApiVersion, IsTheProjects) { EXPECT_THAT(moec_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+")); }

TEST_F(CApi, StepsOfTrainingGiveWhatTheCppInterfaceGives) {
  moec_training* training = nullptr;
  EXPECT_EQ(moec_training_create(program, "cpu", 1, &training), MOEC_ERROR_USAGE);
  EXPECT_THAT(moec_last_error(), HasSubstr("compile it with --train"));
  Program trains(tinyTrainingData(false));
  std::vector<uint8_t> bytes = trains.bytes();
  moec_program* both = nullptr;
  ASSERT_EQ(moec_program_parse(bytes.data(), bytes.size(), &both), MOEC_OK) << moec_last_error();
  ASSERT_EQ(moec_training_create(both, "cpu", 1, &training), MOEC_OK) << moec_last_error();
  moec_program_free(both);
  ASSERT_EQ(moec_training_init(training, 3), MOEC_OK) << moec_last_error();
  Training expected(trains, "cpu", {.threads = 1});
  expected.init(3);

  ASSERT_EQ(moec_training_result_count(training), 2u);
  EXPECT_STREQ(moec_training_result_name(training, 0), "loss");
  EXPECT_STREQ(moec_training_result_name(training, 1), "gradient_norm");
  EXPECT_EQ(moec_training_result_name(training, 2), nullptr);
  const char* names[] = {"x", "y"};
  for (uint64_t step = 0; step < 3; ++step) {
    TensorMap batch = tinyBatch(12, step);
    moec_tensor* inputs[2] = {};
    for (size_t i = 0; i < 2; ++i) {
      const Tensor& input = batch.at(names[i]);
      ASSERT_EQ(moec_tensor_borrow(input.data(), MOEC_F32, input.shape().data(), input.shape().size(), &inputs[i]), MOEC_OK);
    }
    moec_tensor* results[2] = {};
    ASSERT_EQ(moec_training_step(training, names, inputs, 2, 0.05, 7, results), MOEC_OK) << moec_last_error();
    TensorMap want = expected.step(batch, {.learningRate = 0.05, .seed = 7});
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(*static_cast<float*>(moec_tensor_data(results[i])), want.at(moec_training_result_name(training, i)).as<float>()[0]);
      moec_tensor_free(results[i]);
      moec_tensor_free(inputs[i]);
    }
  }
  moec_tensor* weight = nullptr;
  EXPECT_EQ(moec_training_weight(training, "v", &weight), MOEC_ERROR_USAGE);
  ASSERT_EQ(moec_training_weight(training, "w", &weight), MOEC_OK) << moec_last_error();
  EXPECT_EQ(std::memcmp(moec_tensor_data(weight), expected.weights().at("w").data(), moec_tensor_bytes(weight)), 0);
  moec_tensor_free(weight);
  moec_training_free(training);
  moec_training_free(nullptr);
}

} // namespace
} // namespace moec
