// Writes models/README.md and models/model.schema.json: write_model_docs <the folder models/>.

#include "models/Schema.h"

#include <cstdio>
#include <fstream>

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: write_model_docs FOLDER\n");
    return 2;
  }
  std::string folder = arguments[1];
  std::ofstream readme(folder + "/README.md"), schema(folder + "/model.schema.json");
  readme << moec::models::modelsReadme();
  schema << moec::models::modelSchema();
  return readme.flush() && schema.flush() ? 0 : 5;
}
