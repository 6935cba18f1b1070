/* Water in a box in C99, its arrays on a CUDA device that is the emulator, whose memory is the host's: energy, energies of
 * atoms, forces, virial. Usage: device_arrays FILE */
#include <transip.h>

#include <stdio.h>
#include <string.h>

enum { atoms = 3 };

/* What is on the device, one after another. */
typedef struct {
  int64_t species[atoms];
  double positions[3 * atoms], cell[9];
  double energy, energies[atoms], forces[3 * atoms], virial[9];
} arrays;

static int failed(void)
{
  fprintf(stderr, "%s\n", transip_message());
  return 2;
}

int main(int argc, char **argv)
{
  const transip_options options = {.device = "cuda", .kernels = "native"};
  transip_model *model = NULL;
  if (argc != 2 || transip_load(argv[1], &options, &model) != TRANSIP_OK) return failed();
  const arrays host = {.species = {8, 1, 1},
                       .positions = {0.0, 0.0, 0.0, 0.96, 0.1, 0.0, -0.2, 0.93, 0.1},
                       .cell = {4.4, 0.0, 0.0, 0.6, 4.2, 0.0, -0.5, 0.4, 4.9}};
  const int64_t before = transip_memory(model);
  void *memory = NULL;
  if (transip_device_allocate(model, sizeof host, &memory) != TRANSIP_OK) return failed();
  if (transip_memory(model) != before + (int64_t)sizeof host) return 1;
  arrays *device = memory;
  memcpy(device, &host, sizeof host); /* with a GPU: cudaMemcpy */
  const transip_structure water = {.atoms = atoms, .species = device->species, .positions = device->positions,
                                   .cell = device->cell, .periodic = {1, 1, 1}, .multiplicity = 1};
  const transip_result result = {.energy = &device->energy, .energies = device->energies, .forces = device->forces,
                                 .virial = device->virial};
  if (transip_evaluate_on_device(model, &water, &result, NULL) != TRANSIP_OK) return failed();
  const double *numbers = &device->energy;
  for (int i = 0; i < 1 + atoms + 3 * atoms + 9; i++) printf("%.17g ", numbers[i]);
  const int64_t held = transip_memory(model);
  transip_device_free(model, memory);
  if (transip_memory(model) != held - (int64_t)sizeof host) return 1;
  /* What cannot be done. */
  double virials[9 * atoms];
  const transip_result too_much = {.virials = virials};
  if (transip_evaluate_on_device(model, &water, &too_much, NULL) != TRANSIP_INVALID) return 1;
  transip_free(model);
  if (transip_load(argv[1], NULL, &model) != TRANSIP_OK) return failed();
  if (transip_evaluate_on_device(model, &water, &result, NULL) != TRANSIP_INVALID) return 1;
  if (transip_device_allocate(model, 8, &memory) != TRANSIP_INVALID || memory) return 1;
  transip_free(model);
  return 0;
}
