/* Numbers of a committee for water in C99: energy, its deviation, forces, deviations of atoms, energies of the models.
 * Usage: committee FILE... */
#include <transip.h>

#include <stdio.h>

int main(int argc, char **argv)
{
  transip_committee *committee = NULL;
  if (transip_load_committee(argc - 1, (const char *const *)(argv + 1), NULL, &committee) != TRANSIP_OK) {
    fprintf(stderr, "%s\n", transip_message());
    return 2;
  }
  const int64_t species[3] = {8, 1, 1};
  const double positions[9] = {0.0, 0.0, 0.0, 0.96, 0.1, 0.0, -0.2, 0.93, 0.1};
  const transip_structure water = {.atoms = 3, .species = species, .positions = positions, .multiplicity = 1};
  double energy, deviation, forces[9], deviations[3], virial[9], energies[16];
  const transip_committee_result result = {&energy, &deviation, forces, deviations, virial, energies};
  const int models = transip_committee_count(committee);
  if (models > 16 || transip_evaluate_committee(committee, &water, &result) != TRANSIP_OK) {
    fprintf(stderr, "%s\n", transip_message());
    return 2;
  }
  printf("%.17g %.17g", energy, deviation);
  for (int i = 0; i < 9; i++) printf(" %.17g", forces[i]);
  for (int i = 0; i < 3; i++) printf(" %.17g", deviations[i]);
  for (int i = 0; i < 9; i++) printf(" %.17g", virial[i]);
  for (int k = 0; k < models; k++) printf(" %.17g", energies[k]);
  printf("\n");
  const int out_of_range = transip_committee_model(committee, models) != NULL;
  const int local = transip_cutoff(transip_committee_model(committee, 0)) > 0.0;
  transip_free_committee(committee);
  transip_free_committee(NULL);
  return out_of_range || !local;
}
