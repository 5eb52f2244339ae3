#ifndef MOEC_C_API_H
#define MOEC_C_API_H
/* moec for programs in C and for other languages: programs, sessions and tensors as handles.
   A function that can fail returns a moec_status; moec_last_error() then says what went wrong, in this thread. Results are written through
   the last arguments only when it returns MOEC_OK. Nothing prints, exits or throws. A handle belongs to one thread at a time; programs and tensors may
   be shared by many. Free functions take null. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct moec_program moec_program;
typedef struct moec_session moec_session;
typedef struct moec_training moec_training;
typedef struct moec_tensor moec_tensor;

/* By whose fault it failed. */
typedef enum moec_status {
  MOEC_OK = 0,
  MOEC_ERROR_MODEL = 1,    /* the model file */
  MOEC_ERROR_DATA = 2,     /* weights, inputs, a damaged file */
  MOEC_ERROR_USAGE = 3,    /* the caller */
  MOEC_ERROR_DEVICE = 4,   /* the machine lacks what is asked for */
  MOEC_ERROR_SYSTEM = 5,   /* disk, memory */
  MOEC_ERROR_INTERNAL = 6, /* moec */
  MOEC_ERROR_MISMATCH = 7  /* a check found a difference, or a fault in a kernel */
} moec_status;

typedef enum moec_dtype { MOEC_F64, MOEC_F32, MOEC_BF16, MOEC_I64, MOEC_I32, MOEC_U8, MOEC_BOOL } moec_dtype;

/* "0.1.0". */
const char* moec_version(void);
/* Of the last call in this thread that failed; "" when none has. Valid until the next call that fails. */
const char* moec_last_error(void);

/* ---- programs: compiled models, immutable ---- */

/* A compiled program from a file. */
moec_status moec_program_load(const char* path, moec_program** program);
/* The same from memory, which may be freed afterwards. */
moec_status moec_program_parse(const void* bytes, size_t size, moec_program** program);
/* Compiles a model file. `targets`: comma-separated, as "cpu" or "cpu,cuda:sm_90a"; null: this machine and x86-64-v3. Opens the compiler library. */
moec_status moec_compile(const char* model, const char* targets, moec_program** program);
/* The same, of a model whose rows' results are the same bits whatever rows stand beside them: an error names what cannot keep that. */
moec_status moec_compile_invariant(const char* model, const char* targets, moec_program** program);
/* Written aside, then renamed: an old file stays whole until the new one is complete. */
moec_status moec_program_save(const moec_program* program, const char* path);
/* The model's name, as long as the handle lives. */
const char* moec_program_name(const moec_program* program);
void moec_program_free(moec_program* program);

/* ---- tensors: dense, row-major ---- */

/* Memory of the caller, which outlives the tensor. */
moec_status moec_tensor_borrow(void* data, moec_dtype dtype, const int64_t* shape, size_t rank, moec_tensor** tensor);
/* Fresh memory, zeroed. */
moec_status moec_tensor_create(moec_dtype dtype, const int64_t* shape, size_t rank, moec_tensor** tensor);
void* moec_tensor_data(const moec_tensor* tensor);
moec_dtype moec_tensor_dtype(const moec_tensor* tensor);
size_t moec_tensor_rank(const moec_tensor* tensor);
/* moec_tensor_rank() sizes, as long as the handle lives. */
const int64_t* moec_tensor_shape(const moec_tensor* tensor);
size_t moec_tensor_bytes(const moec_tensor* tensor);
void moec_tensor_free(moec_tensor* tensor);

/* The same storage for other libraries, by DLPack 1.x; whoever takes it calls its deleter. */
struct DLManagedTensorVersioned;
moec_status moec_tensor_to_dlpack(const moec_tensor* tensor, struct DLManagedTensorVersioned** managed);
/* Dense row-major memory of the CPU. On success the tensor owns `managed`, on failure the caller still does. */
moec_status moec_tensor_from_dlpack(struct DLManagedTensorVersioned* managed, moec_tensor** tensor);

/* ---- sessions: a program with weights on a device ---- */

/* `device`: "cpu", "cuda:0", "ptx-emulator:sm_90a" ... `threads`: 0 for as many as this process may use. */
moec_status moec_session_create(const moec_program* program, const char* device, int threads, moec_session** session);

/* Memory of the host. What is taken may outlive the session: outputs are freed by moec_tensor_free. */
typedef struct moec_allocator {
  void* context;
  /* `bytes` > 0 bytes at a multiple of `alignment` (a power of two), of any contents; null when there is no more: the call that needed it gives
     MOEC_ERROR_SYSTEM. */
  void* (*allocate)(void* context, size_t bytes, size_t alignment);
  void (*release)(void* context, void* memory, size_t bytes);
} moec_allocator;
/* Threads of the host. */
typedef struct moec_thread_pool {
  void* context;
  int concurrency; /* how many calls may run at once: at least 1 */
  /* Calls work(task, 0) ... work(task, count - 1), each once, in any order, on any threads; returns when all have returned. count <= concurrency. */
  void (*parallel_for)(void* context, size_t count, void (*work)(void* task, size_t index), void* task);
} moec_thread_pool;
/* On the host's memory, on its threads, or both; null: moec's own. The structs are copied; what they point to lives until the session and all that came
   out of it are freed. Results have the same bits as on moec's own. The allocator serves what a session keeps on the CPU and the outputs of every device. */
moec_status moec_session_create_hosted(const moec_program* program, const char* device, const moec_allocator* allocator, const moec_thread_pool* pool,
                                       moec_session** session);
/* Weights from a safetensors file. */
moec_status moec_session_load(moec_session* session, const char* safetensors);
/* Weights from tensors by name: all of them. */
moec_status moec_session_load_tensors(moec_session* session, const char* const* names, const moec_tensor* const* tensors, size_t count);
/* Weights drawn from the model's init rules. */
moec_status moec_session_init(moec_session* session, uint64_t seed);
void moec_session_free(moec_session* session);

/* Inputs that a call needs, and outputs in the model's order; names live as long as the session. Null past the count. */
size_t moec_session_input_count(const moec_session* session);
const char* moec_session_input_name(const moec_session* session, size_t index);
size_t moec_session_output_count(const moec_session* session);
const char* moec_session_output_name(const moec_session* session, size_t index);

/* An input from a picture, .npy, safetensors or JSON file. */
moec_status moec_session_read_input(const moec_session* session, const char* name, const char* path, moec_tensor** tensor);
/* One call; nobody changes the inputs' memory until it returns. `outputs`: room for moec_session_output_count() handles, each the caller's to free. `seed` and `step` key random draws. */
moec_status moec_session_run(moec_session* session, const char* const* names, const moec_tensor* const* inputs, size_t count, uint64_t seed, uint32_t step,
                             moec_tensor** outputs);

/* ---- training: a program whose weights change ---- */

/* As moec_compile, with a plan for training beside that for inference. */
moec_status moec_compile_for_training(const char* model, const char* targets, moec_program** program);
/* Of a program compiled so. Its weights come from moec_training_load or moec_training_init, and begin at step 0. */
moec_status moec_training_create(const moec_program* program, const char* device, int threads, moec_training** training);
moec_status moec_training_load(moec_training* training, const char* safetensors);
moec_status moec_training_init(moec_training* training, uint64_t seed);
void moec_training_free(moec_training* training);

/* The losses, then the gradient's norm; names live as long as the training. Null past the count. */
size_t moec_training_result_count(const moec_training* training);
const char* moec_training_result_name(const moec_training* training, size_t index);
/* One step. `results`: room for moec_training_result_count() handles, each the caller's to free. `seed` and the step's number key random draws. */
moec_status moec_training_step(moec_training* training, const char* const* names, const moec_tensor* const* inputs, size_t count, double learning_rate,
                               uint64_t seed, moec_tensor** results);
/* A parameter as it is now: a copy. */
moec_status moec_training_weight(const moec_training* training, const char* name, moec_tensor** weight);

#ifdef __cplusplus
}
#endif
#endif
