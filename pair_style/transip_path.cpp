/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This file is part of a pair style that derives from LAMMPS's class Pair and
   is distributed under the GNU General Public License, version 2 or later:
   see LICENSE in this directory.
------------------------------------------------------------------------- */

#include "transip_path.h"

#include "utils.h"

#include "transip/error.h"
#include "transip/text.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

namespace fs = std::filesystem;

namespace LAMMPS_NS {

static bool is_ascii(const std::string &text)
{
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x80; });
}

// names in a folder, outside of ASCII, that LAMMPS writes as `name`
static std::vector<std::string> written_like(const fs::path &folder, const std::string &name)
{
  std::vector<std::string> found;
  std::error_code problem;
  for (fs::directory_iterator entry(folder.empty() ? "." : folder, problem), end;
       !problem && entry != end; entry.increment(problem)) {
    const std::string candidate = entry->path().filename().string();
    if (!is_ascii(candidate) && utils::utf8_subst(candidate) == name) found.push_back(candidate);
  }
  return found;
}

/* ---------------------------------------------------------------------- */

std::string transip_path(const std::string &given)
{
  std::error_code problem;
  if (fs::exists(given, problem)) return given;
  fs::path path;
  for (const fs::path &part : fs::path(given)) {
    if (fs::exists(path / part, problem)) {
      path /= part;
      continue;
    }
    const std::vector<std::string> names = written_like(path, part.string());
    if (names.empty()) return given;
    if (names.size() > 1)
      throw transip::Error("LAMMPS does not keep characters outside of ASCII apart, and both " +
                           transip::printable(names[0]) + " and " + transip::printable(names[1]) +
                           " could be meant. Make a link to the file with a name in ASCII.");
    path /= names[0];
  }
  return path.string();
}

}    // namespace LAMMPS_NS
