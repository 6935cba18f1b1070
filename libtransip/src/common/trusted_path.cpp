#include "trusted_path.h"

#include "transip/error.h"

#include <filesystem>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace transip {

namespace {

/// Private group that many systems give to each user, without other members.
bool is_own_group(gid_t group)
{
  if (group == 0) return true;
  const passwd *user = getpwuid(geteuid());
  if (!user || user->pw_gid != group) return false;
  const std::string name = user->pw_name;
  const struct group *found = getgrgid(group);
  if (!found || found->gr_name != name) return false;
  for (char **member = found->gr_mem; *member; member++)
    if (*member != name) return false;
  return true;
}

[[noreturn]] void refuse(const std::string &file, const std::string &place, const std::string &why,
                         const std::string &command)
{
  throw Error(file + " holds machine code, and " + place + " " + why + ", who could replace it. Type `" + command + " " +
              place + "`.");
}

}  // namespace

void require_trusted(const std::string &path)
{
  std::error_code problem;
  std::filesystem::path place = std::filesystem::canonical(path, problem);
  if (problem) throw Error("Cannot read " + path + ": " + problem.message() + ".");
  for (int depth = 0;; depth++) {
    struct stat found;
    if (stat(place.c_str(), &found) != 0) throw Error("Cannot look at " + place.string() + ".");
    if (found.st_uid != 0 && found.st_uid != geteuid())
      refuse(path, place.string(), "belongs to another user (uid " + std::to_string(found.st_uid) + ")",
             "chown " + std::to_string(geteuid()));
    // All may write into /tmp, but there nobody can replace a folder of another.
    const bool sticky = S_ISDIR(found.st_mode) && (found.st_mode & S_ISVTX) && depth > 1;
    if (!sticky && (found.st_mode & S_IWOTH)) refuse(path, place.string(), "may be written by every user", "chmod o-w");
    if (!sticky && (found.st_mode & S_IWGRP) && !is_own_group(found.st_gid))
      refuse(path, place.string(), "may be written by its group", "chmod g-w");
    if (!place.has_relative_path()) return;
    place = place.parent_path();
  }
}

}  // namespace transip
