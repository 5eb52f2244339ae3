/* Runs a compiled image model from C. Prints what `moec run --init 0` prints.
     embed-c vit-moe.moec examples/photo.png [weights.safetensors] */

#include <moec/c_api.h>

#include <stdio.h>
#include <stdlib.h>

static void check(moec_status status) {
  if (status != MOEC_OK) {
    fprintf(stderr, "embed-c: error: %s\n", moec_last_error());
    exit(1);
  }
}

int main(int argc, char** argv) {
  moec_program* program = NULL;
  moec_session* session = NULL;
  moec_tensor *image = NULL, *scores = NULL;
  size_t i, rank, count;

  if (argc < 3) {
    fprintf(stderr, "usage: embed-c PROGRAM.moec IMAGE [WEIGHTS.safetensors]\n");
    return 2;
  }
  check(moec_program_load(argv[1], &program));
  check(moec_session_create(program, "cpu", 0, &session));
  check(argc > 3 ? moec_session_load(session, argv[3]) : moec_session_init(session, 0));
  if (moec_session_input_count(session) != 1 || moec_session_output_count(session) != 1) {
    fprintf(stderr, "embed-c: error: %s has other inputs or outputs than one picture and its scores\n", argv[1]);
    return 1;
  }

  const char* name = moec_session_input_name(session, 0);
  check(moec_session_read_input(session, name, argv[2], &image));
  check(moec_session_run(session, &name, (const moec_tensor* const*)&image, 1, 0, 0, &scores));

  if (moec_tensor_dtype(scores) != MOEC_F32) {
    fprintf(stderr, "embed-c: error: the scores of %s are not f32, which alone is printed here\n", argv[1]);
    return 1;
  }
  rank = moec_tensor_rank(scores);
  count = 1;
  printf("%s f32[", moec_session_output_name(session, 0));
  for (i = 0; i < rank; ++i) {
    count *= (size_t)moec_tensor_shape(scores)[i];
    printf("%s%lld", i ? ", " : "", (long long)moec_tensor_shape(scores)[i]);
  }
  printf("]\n[0]");
  for (i = 0; i < count; ++i)
    printf("  %.6g", ((const float*)moec_tensor_data(scores))[i]);
  printf("\n");

  moec_tensor_free(scores);
  moec_tensor_free(image);
  moec_session_free(session);
  moec_program_free(program);
  return 0;
}
