// Loads model files one after another, as the engines do, and prints what comes of each on a line of its own.
// Usage: load_model KERNELS FILE...   KERNELS is auto, native or torch. The structure is that of each file's reference.

#include "transip/error.h"
#include "transip/model.h"

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char **argv)
{
  if (argc < 3) return 2;
  for (int i = 2; i < argc; i++) {
    try {
      transip::Model model(argv[i], "cpu", 0, argv[1]);
      std::printf("%s\n", model.check_reference() ? "agrees" : "unchecked");
    } catch (const transip::Error &problem) {
      std::printf("refused: %s\n", problem.what());
    }
    std::fflush(stdout);
  }
  return 0;
}
