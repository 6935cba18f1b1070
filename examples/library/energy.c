/* Energy and forces of an XYZ file (symbols H, C, O only, to keep it short) by a model file, in C.
 * Usage: energy model.pt structure.xyz */
#include <transip.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t atomic_number(const char *symbol)
{
  if (strcmp(symbol, "H") == 0) return 1;
  if (strcmp(symbol, "C") == 0) return 6;
  return strcmp(symbol, "O") == 0 ? 8 : 0;
}

int main(int argc, char **argv)
{
  if (argc != 3) {
    fprintf(stderr, "usage: %s model.pt structure.xyz\n", argv[0]);
    return 2;
  }
  FILE *file = fopen(argv[2], "r");
  int atoms = 0, next;
  if (!file || fscanf(file, "%d", &atoms) != 1 || atoms < 1) {
    fprintf(stderr, "%s: expected an XYZ file\n", argv[2]);
    return 2;
  }
  /* The rest of the first line, and the comment. */
  for (int line = 0; line < 2; line++)
    while ((next = fgetc(file)) != '\n' && next != EOF) continue;
  int64_t *species = malloc((size_t)atoms * sizeof *species);
  double *positions = malloc(3 * (size_t)atoms * sizeof *positions);
  double *forces = malloc(3 * (size_t)atoms * sizeof *forces);
  if (!species || !positions || !forces) return 1;
  for (int i = 0; i < atoms; i++) {
    char symbol[4];
    double *r = positions + 3 * i;
    if (fscanf(file, "%3s %lf %lf %lf%*[^\n]", symbol, r, r + 1, r + 2) != 4) {
      fprintf(stderr, "%s: atom %d cannot be read\n", argv[2], i + 1);
      return 2;
    }
    species[i] = atomic_number(symbol);
  }
  fclose(file);

  transip_model *model = NULL;
  if (transip_load(argv[1], NULL, &model) != TRANSIP_OK) {
    fprintf(stderr, "%s\n", transip_message());
    return 2;
  }
  double energy = 0.0;
  const transip_structure structure = {
      .atoms = atoms, .species = species, .positions = positions, .multiplicity = 1};
  const transip_result result = {.energy = &energy, .forces = forces};
  if (transip_evaluate(model, &structure, &result) != TRANSIP_OK) {
    fprintf(stderr, "%s\n", transip_message());
    return 2;
  }
  printf("energy %.10f eV by %s\n", energy, transip_runs_by(model));
  for (int i = 0; i < atoms; i++)
    printf("force %d %.8f %.8f %.8f eV/Angstrom\n", i + 1, forces[3 * i], forces[3 * i + 1], forces[3 * i + 2]);
  transip_free(model);
  free(species);
  free(positions);
  free(forces);
  return 0;
}
