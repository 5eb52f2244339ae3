// The C interface over the C++ one: handles are the C++ values, and no exception leaves.

#include "runtime/c/Handles.h"

#include "runtime/Compile.h"
#include "runtime/Session.h"
#include "runtime/core/DLPack.h"
#include "runtime/io/InputFile.h"

#include <algorithm>
#include <new>
#include <sstream>

struct moec_session {
  moec::Session session;
  std::vector<const moec::InputInfo*> inputs; // of a call; into the session's plan
};

namespace {

using moec::Error;
using moec::Fault;
using namespace moec::c;

thread_local std::string lastError;

moec_status statusOf(Fault fault) {
  switch (fault) {
  case Fault::Model:
    return MOEC_ERROR_MODEL;
  case Fault::Data:
    return MOEC_ERROR_DATA;
  case Fault::Usage:
    return MOEC_ERROR_USAGE;
  case Fault::Device:
    return MOEC_ERROR_DEVICE;
  case Fault::System:
    return MOEC_ERROR_SYSTEM;
  case Fault::Mismatch:
    return MOEC_ERROR_MISMATCH;
  case Fault::Internal:
    return MOEC_ERROR_INTERNAL;
  }
  return MOEC_ERROR_INTERNAL;
}

/// Keeps the words, or none when there is no memory for them.
moec_status failed(moec_status status, const char* before, const char* what) noexcept {
  try {
    lastError = before;
    lastError += what;
  } catch (...) {
    lastError.clear();
  }
  return status;
}

// moec_dtype counts as moec::DType does.
static_assert(static_cast<int>(moec::DType::F64) == MOEC_F64 && static_cast<int>(moec::DType::F32) == MOEC_F32 &&
              static_cast<int>(moec::DType::BF16) == MOEC_BF16 && static_cast<int>(moec::DType::I64) == MOEC_I64 &&
              static_cast<int>(moec::DType::I32) == MOEC_I32 && static_cast<int>(moec::DType::U8) == MOEC_U8 &&
              static_cast<int>(moec::DType::Bool) == MOEC_BOOL);

moec::DType dtypeOf(moec_dtype dtype) {
  if (dtype < MOEC_F64 || dtype > MOEC_BOOL)
    throw Error(Fault::Usage, fmt::format("{} is no moec_dtype", static_cast<int>(dtype)));
  return static_cast<moec::DType>(dtype);
}

moec::Shape shapeOf(const int64_t* shape, size_t rank) {
  if (rank > 0)
    need("shape", shape);
  return moec::Shape(shape, shape + rank);
}

class HostPool : public moec::ThreadPool {
public:
  explicit HostPool(const moec_thread_pool& pool) : pool_(pool) {}
  int concurrency() const override { return pool_.concurrency; }
  void parallelFor(int64_t count, const std::function<void(int64_t)>& work) override {
    auto call = [](void* task, size_t index) { (*static_cast<const std::function<void(int64_t)>*>(task))(static_cast<int64_t>(index)); };
    pool_.parallel_for(pool_.context, static_cast<size_t>(count), call, const_cast<void*>(static_cast<const void*>(&work)));
  }

private:
  moec_thread_pool pool_;
};

moec_session* openSession(const moec_program& program, const char* device, const moec::DeviceOptions& options) {
  auto made = std::make_unique<moec_session>(moec_session{moec::Session(program.program, device, options), {}});
  for (const moec::InputInfo& input : made->session.plan().inputs)
    if (!input.forLoss)
      made->inputs.push_back(&input);
  return made.release();
}

} // namespace

namespace moec::c {

moec_status statusOfException() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return failed(statusOf(error.fault()), "", error.what());
  } catch (const std::bad_alloc&) {
    return failed(MOEC_ERROR_SYSTEM, "", "out of memory");
  } catch (const std::exception& error) {
    return failed(MOEC_ERROR_INTERNAL, "internal: ", error.what());
  } catch (...) {
    return failed(MOEC_ERROR_INTERNAL, "", "a function of the host threw what is no std::exception");
  }
}

TensorMap mapOf(const char* const* names, const moec_tensor* const* tensors, size_t count) {
  if (count > 0)
    need("names", names, "tensors", tensors);
  TensorMap map;
  for (size_t i = 0; i < count; ++i) {
    need("a name", names[i], "a tensor", tensors[i]);
    if (!map.emplace(names[i], tensors[i]->tensor).second)
      throw Error(Fault::Usage, fmt::format("\"{}\" is given twice", names[i]));
  }
  return map;
}

std::vector<std::string> targetsOf(const char* targets) {
  std::vector<std::string> list;
  std::istringstream words(targets ? targets : "");
  for (std::string word; std::getline(words, word, ',');)
    list.push_back(word);
  return list;
}

void giveAll(const TensorMap& results, const std::vector<OutputInfo>& order, moec_tensor** outputs) {
  // All handles exist before the first is the caller's.
  std::vector<std::unique_ptr<moec_tensor>> handles;
  for (const OutputInfo& output : order)
    handles.push_back(std::make_unique<moec_tensor>(moec_tensor{results.find(output.name)->second}));
  for (size_t i = 0; i < handles.size(); ++i)
    outputs[i] = handles[i].release();
}

} // namespace moec::c

const char* moec_version(void) { return MOEC_VERSION; }

const char* moec_last_error(void) { return lastError.c_str(); }

moec_status moec_program_load(const char* path, moec_program** program) {
  return guarded([&] {
    need("path", path, "program", program);
    *program = new moec_program{moec::Program::load(path)};
  });
}

moec_status moec_program_parse(const void* bytes, size_t size, moec_program** program) {
  return guarded([&] {
    need("bytes", bytes, "program", program);
    *program = new moec_program{moec::Program::parse({static_cast<const uint8_t*>(bytes), size})};
  });
}

moec_status moec_compile(const char* model, const char* targets, moec_program** program) {
  return guarded([&] {
    need("model", model, "program", program);
    *program = new moec_program{moec::compile(model, {.targets = targetsOf(targets)})};
  });
}

moec_status moec_compile_invariant(const char* model, const char* targets, moec_program** program) {
  return guarded([&] {
    need("model", model, "program", program);
    *program = new moec_program{moec::compile(model, {.targets = targetsOf(targets), .invariant = true})};
  });
}

moec_status moec_program_save(const moec_program* program, const char* path) {
  return guarded([&] {
    need("program", program, "path", path);
    program->program.save(path);
  });
}

const char* moec_program_name(const moec_program* program) { return program ? program->program.name().c_str() : ""; }

void moec_program_free(moec_program* program) { delete program; }

moec_status moec_tensor_borrow(void* data, moec_dtype dtype, const int64_t* shape, size_t rank, moec_tensor** tensor) {
  return guarded([&] {
    need("tensor", tensor);
    moec::Tensor borrowed = moec::Tensor::borrow(data, shapeOf(shape, rank), dtypeOf(dtype));
    if (borrowed.elements() > 0)
      need("data", data);
    *tensor = new moec_tensor{std::move(borrowed)};
  });
}

moec_status moec_tensor_create(moec_dtype dtype, const int64_t* shape, size_t rank, moec_tensor** tensor) {
  return guarded([&] {
    need("tensor", tensor);
    *tensor = new moec_tensor{moec::Tensor(dtypeOf(dtype), shapeOf(shape, rank))};
  });
}

void* moec_tensor_data(const moec_tensor* tensor) { return tensor ? tensor->tensor.data() : nullptr; }
moec_dtype moec_tensor_dtype(const moec_tensor* tensor) { return tensor ? static_cast<moec_dtype>(tensor->tensor.dtype()) : MOEC_F32; }
size_t moec_tensor_rank(const moec_tensor* tensor) { return tensor ? tensor->tensor.shape().size() : 0; }
const int64_t* moec_tensor_shape(const moec_tensor* tensor) { return tensor ? tensor->tensor.shape().data() : nullptr; }
size_t moec_tensor_bytes(const moec_tensor* tensor) { return tensor ? tensor->tensor.bytes() : 0; }
void moec_tensor_free(moec_tensor* tensor) { delete tensor; }

moec_status moec_tensor_to_dlpack(const moec_tensor* tensor, struct DLManagedTensorVersioned** managed) {
  return guarded([&] {
    need("tensor", tensor, "managed", managed);
    *managed = moec::toDLPack(tensor->tensor);
  });
}

moec_status moec_tensor_from_dlpack(struct DLManagedTensorVersioned* managed, moec_tensor** tensor) {
  return guarded([&] {
    need("managed", managed, "tensor", tensor);
    auto handle = std::make_unique<moec_tensor>(); // before the argument has an owner
    handle->tensor = moec::fromDLPack(managed);
    *tensor = handle.release();
  });
}

moec_status moec_session_create(const moec_program* program, const char* device, int threads, moec_session** session) {
  return guarded([&] {
    need("program", program, "device", device, "session", session);
    if (threads < 0)
      throw Error(Fault::Usage, fmt::format("threads is {}", threads));
    *session = openSession(*program, device, {.threads = threads});
  });
}

moec_status moec_session_create_hosted(const moec_program* program, const char* device, const moec_allocator* allocator, const moec_thread_pool* pool,
                                       moec_session** session) {
  return guarded([&] {
    need("program", program, "device", device, "session", session);
    moec::DeviceOptions options;
    if (allocator) {
      need("allocate", allocator->allocate, "release", allocator->release);
      options.allocator = {allocator->allocate, allocator->release, allocator->context};
    }
    if (pool) {
      need("parallel_for", pool->parallel_for);
      options.pool = std::make_shared<HostPool>(*pool);
    }
    *session = openSession(*program, device, options);
  });
}

moec_status moec_session_load(moec_session* session, const char* safetensors) {
  return guarded([&] {
    need("session", session, "safetensors", safetensors);
    session->session.load(std::filesystem::path(safetensors));
  });
}

moec_status moec_session_load_tensors(moec_session* session, const char* const* names, const moec_tensor* const* tensors, size_t count) {
  return guarded([&] {
    need("session", session);
    session->session.load(mapOf(names, tensors, count));
  });
}

moec_status moec_session_init(moec_session* session, uint64_t seed) {
  return guarded([&] {
    need("session", session);
    session->session.init(seed);
  });
}

void moec_session_free(moec_session* session) { delete session; }

size_t moec_session_input_count(const moec_session* session) { return session ? session->inputs.size() : 0; }

const char* moec_session_input_name(const moec_session* session, size_t index) {
  return index < moec_session_input_count(session) ? session->inputs[index]->name.c_str() : nullptr;
}

size_t moec_session_output_count(const moec_session* session) { return session ? session->session.plan().outputs.size() : 0; }

const char* moec_session_output_name(const moec_session* session, size_t index) {
  return index < moec_session_output_count(session) ? session->session.plan().outputs[index].name.c_str() : nullptr;
}

moec_status moec_session_read_input(const moec_session* session, const char* name, const char* path, moec_tensor** tensor) {
  return guarded([&] {
    need("session", session, "name", name, "path", path, "tensor", tensor);
    auto found = std::ranges::find(session->inputs, std::string_view(name), [](const moec::InputInfo* input) { return std::string_view(input->name); });
    if (found == session->inputs.end())
      throw Error(Fault::Usage, fmt::format("the program has no input \"{}\"", name));
    *tensor = new moec_tensor{moec::readInput(**found, path)};
  });
}

moec_status moec_session_run(moec_session* session, const char* const* names, const moec_tensor* const* inputs, size_t count, uint64_t seed, uint32_t step,
                             moec_tensor** outputs) {
  return guarded([&] {
    need("session", session, "outputs", outputs);
    moec::TensorMap results = session->session.run(mapOf(names, inputs, count), {.seed = seed, .step = step});
    giveAll(results, session->session.plan().outputs, outputs);
  });
}
