#include "transip/elements.h"

#include <algorithm>
#include <array>

namespace transip {

namespace {

constexpr std::array<std::string_view, 118> table = {
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K",
    "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb",
    "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs",
    "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf",
    "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th",
    "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs",
    "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
};

}  // namespace

std::string symbol(int atomic_number)
{
  if (atomic_number < 1 || atomic_number > static_cast<int>(table.size()))
    return "Z=" + std::to_string(atomic_number);
  return std::string(table[atomic_number - 1]);
}

int atomic_number(std::string_view symbol)
{
  const auto found = std::find(table.begin(), table.end(), symbol);
  return found == table.end() ? 0 : static_cast<int>(found - table.begin()) + 1;
}

std::string symbols(const std::vector<int> &atomic_numbers)
{
  std::string text;
  for (int number : atomic_numbers) {
    if (!text.empty()) text += ' ';
    text += symbol(number);
  }
  return text;
}

}  // namespace transip
