/* libtransip: TransIP interatomic potentials from C, C++, Fortran, Julia or anything that calls C (C99).
 *
 * Units: energies eV, lengths Angstrom, forces eV/Angstrom, virials eV, charge e. Arrays are contiguous; [N*3] is x, y, z of
 * one atom after another. Signs as in docs/conventions.md:
 *   force on atom i        f_i = -dE/dr_i
 *   virial                 W_ab = sum over atoms and images of r_a f_b = -dE/d(strain_ab); stress = -W / volume
 *
 * Handles are opaque. One handle must not be used by two threads at a time; different handles may. Functions that can fail
 * return a transip_status; transip_message() then has the reason, in one line that says what to do.
 *
 *   transip_model *model = NULL;
 *   if (transip_load("water.pt", NULL, &model) != TRANSIP_OK) { puts(transip_message()); return 1; }
 *   transip_structure atoms = {.atoms = n, .species = numbers, .positions = positions, .cell = cell,
 *                              .periodic = {1, 1, 1}, .multiplicity = 1};
 *   double energy, *forces = malloc(3 * n * sizeof *forces), virial[9];
 *   transip_result result = {.energy = &energy, .forces = forces, .virial = virial};
 *   if (transip_evaluate(model, &atoms, &result) != TRANSIP_OK) puts(transip_message());
 *   transip_free(model);
 */
#ifndef TRANSIP_H
#define TRANSIP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define TRANSIP_API
#else
#define TRANSIP_API __attribute__((visibility("default")))
#endif

/* Number of this interface: rises when something of it changes that programs compiled before would stumble over. */
#define TRANSIP_INTERFACE 1

typedef enum transip_status {
  TRANSIP_OK = 0,
  TRANSIP_INVALID = 1,    /* what was handed in: a file that cannot be used, an unknown element, charge, keyword or shape */
  TRANSIP_NOT_FINITE = 2, /* an energy or force is NaN or infinite: two atoms at one position, or far outside of the training */
  TRANSIP_DIFFERS = 3,    /* the file does not give the numbers here that it gave where it was exported */
  TRANSIP_FAULT = 4       /* memory, or a fault of the library */
} transip_status;

/* A loaded model with its symmetry, its reference structure and its neighbour list. */
typedef struct transip_model transip_model;

/* How to load a model; zeros and NULLs are the defaults. */
typedef struct transip_options {
  const char *device;   /* "auto" (NULL), "cpu", "cuda" or "cuda:N" */
  const char *kernels;  /* "auto" (NULL), "native" or "torch": what evaluates. On a CUDA device "auto" is torch; "native" is
                           the CUDA kernels of the library, and without a driver those of the CPU: see transip_notice */
  int threads;          /* CPU threads of one evaluation; the numbers do not depend on it. 0: one */
  int skip_check;       /* 1: do not compare the file's reference structure with what it gives here */
} transip_options;

/* What is evaluated. */
typedef struct transip_structure {
  int64_t atoms;            /* N */
  const int64_t *species;   /* [N] atomic numbers */
  const double *positions;  /* [N*3] Angstrom; atoms may lie outside the cell */
  const double *cell;       /* [9] Angstrom, the three cell vectors one after another; NULL: isolated */
  int periodic[3];          /* 1 along each cell vector that is periodic; only of models with a cutoff */
  int charge;               /* total charge, e */
  int multiplicity;         /* spin multiplicity 2S + 1; 1 for closed shells */
  uint64_t step;            /* random rotations (symmetry "random SEED") are numbered by it */
} transip_structure;

/* A structure whose neighbours the caller knows already, as molecular dynamics codes do: T tokens (atoms), I >= T rows of
 * positions (the tokens first, then their periodic images) and the rows that each token sees. Pairs beyond the model's
 * cutoff are left out by the model; none within it may be missing, and no token may be its own neighbour. */
typedef struct transip_rows {
  int64_t tokens;             /* T */
  int64_t rows;               /* I */
  const int64_t *species;     /* [T] atomic numbers */
  const double *positions;    /* [I*3] Angstrom */
  const int64_t *owner;       /* [I] token whose image a row is; owner[t] = t for tokens */
  const int64_t *first;       /* [T+1] where a token's neighbours begin in `neighbours`; first[0] = 0 */
  const int64_t *neighbours;  /* [first[T]] rows */
  int charge;                 /* total charge, e */
  int multiplicity;           /* spin multiplicity */
  uint64_t step;              /* as in transip_structure */
} transip_rows;

/* Where results go; a NULL is left out, and without forces and virial an evaluation costs less. */
typedef struct transip_result {
  double *energy;    /* [1] eV */
  double *energies;  /* [N] eV, of each atom; their sum is the energy */
  double *forces;    /* [N*3] eV/Angstrom; of transip_evaluate_rows [I*3], on every row */
  double *virial;    /* [9] eV, row-major; not of models whose forces are no gradient */
  double *virials;   /* [N*9] eV, of each atom: W_i = -sum over neighbours j of r_ij (x) dE/dr_ij with r_ij = r_j - r_i, which
                        sum to the virial; costs more, by native kernels only */
} transip_result;

/* Number of the interface that the library has, TRANSIP_INTERFACE of its header. */
TRANSIP_API int transip_interface(void);

/* Reason of the last failure in this thread, one line of UTF-8; empty if there was none. Valid until the next failure. */
TRANSIP_API const char *transip_message(void);

/* Load a file made by `transip-md export` and compare its reference structure. options: NULL for the defaults. */
TRANSIP_API transip_status transip_load(const char *path, const transip_options *options, transip_model **model);

/* Compare the file's reference structure with what it gives here, as transip_load does unless skip_check is 1.
 * compared: set to 0 if the file brings none, else 1; may be NULL. */
TRANSIP_API transip_status transip_check_reference(transip_model *model, int *compared);

/* Give back everything that a model keeps. model: may be NULL. */
TRANSIP_API void transip_free(transip_model *model);

/* Metadata of the file: its transip.json (docs/conventions.md). Valid as long as the model. */
TRANSIP_API const char *transip_metadata(const transip_model *model);

/* Cutoff, Angstrom; 0 for a model that attends all-to-all and describes isolated molecules only. */
TRANSIP_API double transip_cutoff(const transip_model *model);

/* "cpu" or "cuda:N", and what evaluates: "native kernels (avx2)", "TorchScript". Valid as long as the model. */
TRANSIP_API const char *transip_device(const transip_model *model);
TRANSIP_API const char *transip_runs_by(const transip_model *model);

/* What the user should know of where the model runs, one line; empty if it is as was asked. Valid as long as the model. */
TRANSIP_API const char *transip_notice(const transip_model *model);

/* CPU threads of one evaluation, 1 or more. The numbers do not depend on it. */
TRANSIP_API transip_status transip_set_threads(transip_model *model, int threads);

/* Symmetry of all further evaluations: "none", "average N", "average N inversion", "frame" or "random SEED";
 * docs/symmetry.md. */
TRANSIP_API transip_status transip_set_symmetry(transip_model *model, const char *symmetry);

/* Structure that "frame" superposes on: [N] atomic numbers and [N*3] positions, Angstrom, of one molecule. */
TRANSIP_API transip_status transip_set_reference(transip_model *model, int64_t atoms, const int64_t *species,
                                                 const double *positions);

/* Evaluate a structure; its neighbours are found here, through periodic images however small the cell is. */
TRANSIP_API transip_status transip_evaluate(transip_model *model, const transip_structure *structure,
                                            const transip_result *result);

/* The same, with the distances of transip_distances [N] out of the same evaluation; NULL: none. Native kernels on the CPU
 * only. Under "average N" they are means over the rotated copies. */
TRANSIP_API transip_status transip_evaluate_with_distances(transip_model *model, const transip_structure *structure,
                                                           const transip_result *result, double *distances);

/* Evaluate rows with the caller's neighbours. The forces of image rows are left to the caller to add to their owners. */
TRANSIP_API transip_status transip_evaluate_rows(transip_model *model, const transip_rows *rows,
                                                 const transip_result *result);

/* Evaluate several structures, results[k] of structures[k]. On a CUDA device (kernels "native") they are one step of the device:
 * molecules of a model without a cutoff, structures with or without a cell of others, each with the numbers that it has
 * alone. Else they are evaluated one after another. */
TRANSIP_API transip_status transip_evaluate_many(transip_model *model, int64_t count, const transip_structure *structures,
                                                 const transip_result *results);

/* Evaluate a structure whose arrays are on the CUDA device that evaluates the model: all pointers of `structure` and
 * `result` are to its memory, aligned to 8 bytes. Of models loaded with device "cuda" and kernels "native", without a
 * symmetry. When it returns, the results are there; positions and forces have not left the device.
 * stream: CUDA's (CUstream, cudaStream_t), in which the arrays were written; NULL: the default stream. */
TRANSIP_API transip_status transip_evaluate_on_device(transip_model *model, const transip_structure *structure,
                                                      const transip_result *result, void *stream);

/* The same of several structures, in one step of the device, of models with a cutoff. `all` has the arrays of all, one structure
 * after the other: all->atoms is their sum, all->cell [structures*9]; periodic, charge and multiplicity are those of
 * each. atoms: [structures] of each, on the host. result->energy is [structures], result->virial [structures*9]. */
TRANSIP_API transip_status transip_evaluate_batch_on_device(transip_model *model, int64_t structures, const int64_t *atoms,
                                                            const transip_structure *all, const transip_result *result,
                                                            void *stream);

/* Memory on that device, for who has no other way to get some; of `bytes` bytes. It goes with the model, or before. */
TRANSIP_API transip_status transip_device_allocate(transip_model *model, int64_t bytes, void **memory);
TRANSIP_API void transip_device_free(transip_model *model, void *memory);

/* How far each atom of a structure is from the sample of the training set that the file brings, in the latent space:
 * distances [N]. 1 is the 99th percentile of held-out atoms; beyond it the model has seen nothing like the atom's
 * environment (docs/uncertainty.md). Costs an evaluation of energies; with forces, transip_evaluate_with_distances costs
 * less. Native kernels on the CPU only. */
TRANSIP_API transip_status transip_distances(transip_model *model, const transip_structure *structure, double *distances);

/* Several models of the same data, whose disagreement measures how much to trust them. */
typedef struct transip_committee transip_committee;

/* Where results of a committee of K models go; a NULL is left out. Standard deviations are over the models, by K and not
 * K - 1, as in DeePMD-kit. */
typedef struct transip_committee_result {
  double *energy;      /* [1] eV, mean of the models */
  double *energy_std;  /* [1] eV, standard deviation of the energy */
  double *forces;      /* [N*3] eV/Angstrom, mean */
  double *deviations;  /* [N] eV/Angstrom, of each atom: sqrt(<|F_i - <F_i>|^2>) */
  double *virial;      /* [9] eV, row-major, mean; not of models whose forces are no gradient */
  double *energies;    /* [K] eV, of each model */
} transip_committee_result;

/* Load the models of some files, each as transip_load does: `count` paths of model files, or of files that
 * `transip-md export --committee` wrote. There must be two models or more in all. */
TRANSIP_API transip_status transip_load_committee(int count, const char *const *paths, const transip_options *options,
                                                  transip_committee **committee);

/* Give back everything that a committee keeps. committee: may be NULL. */
TRANSIP_API void transip_free_committee(transip_committee *committee);

/* Number of models, K; and one of them by its number from 0, NULL if there is none. It lives as long as the committee. */
TRANSIP_API int transip_committee_count(const transip_committee *committee);
TRANSIP_API transip_model *transip_committee_model(transip_committee *committee, int number);

/* Evaluate a structure by all models. */
TRANSIP_API transip_status transip_evaluate_committee(transip_committee *committee, const transip_structure *structure,
                                                      const transip_committee_result *result);

/* Have a model share the neighbours of structures with another (kernels "native"), as the models of a committee do by
 * themselves: a structure that both are given in turn is searched once, and on the CPU they work in the same memory. From
 * then on only one of them may be used at a time; either may be freed first. shared: set to 1, or to 0 if they cannot,
 * because they are the same, not both on the CPU or on one CUDA device, or there have other cutoffs, elements, charges or
 * multiplicities; may be NULL. */
TRANSIP_API transip_status transip_share_neighbours(transip_model *model, transip_model *first, int *shared);

/* Bytes that the model keeps from one evaluation to the next, on the host and on a CUDA device, without what torch keeps. */
TRANSIP_API int64_t transip_memory(const transip_model *model);

#ifdef __cplusplus
}
#endif

#endif
