#include "model_file.h"

#include "transip/error.h"
#include "transip/sha256.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace TransIPPlugin {

namespace {

/// Folders in which a file that has moved is looked for.
std::vector<std::filesystem::path> other_folders()
{
  std::vector<std::filesystem::path> folders;
  if (const char *named = std::getenv("TRANSIP_MD_MODELS")) {
    std::istringstream list(named);
    for (std::string folder; std::getline(list, folder, ':');)
      if (!folder.empty()) folders.emplace_back(folder);
  }
  folders.emplace_back(".");
  return folders;
}

}  // namespace

std::string sha256_of(const std::string &file)
{
  std::ifstream stream(file, std::ios::binary);
  const std::vector<unsigned char> data{std::istreambuf_iterator<char>(stream), {}};
  return transip::sha256(data);
}

std::string find_model(const std::string &file, const std::string &sha256)
{
  if (sha256.empty()) return file;
  const bool there = std::filesystem::is_regular_file(file);
  if (there && sha256_of(file) == sha256) return file;
  const std::filesystem::path name = std::filesystem::path(file).filename();
  for (const std::filesystem::path &folder : other_folders()) {
    const std::string candidate = (folder / name).string();
    if (std::filesystem::is_regular_file(candidate) && sha256_of(candidate) == sha256) return candidate;
  }
  throw transip::Error(
      (there ? file + " is not the file that the force was made from: its contents have changed."
             : "No such model file: " + file + ".") +
      " A file " + name.string() + " with SHA-256 " + sha256 +
      " is not in the current folder nor in the folders of TRANSIP_MD_MODELS either. Bring the file back, name its "
      "folder in TRANSIP_MD_MODELS, or make the force anew with transip_md.engines.openmm.create_force.");
}

}  // namespace TransIPPlugin
