// What the C++ tests check by: each failure is a line, and the program ends with their number.
//
// No test framework: none comes in a package of PyPI that is maintained (as nlohmann-json does), and configuring
// fetches nothing from the network.
#pragma once

#include "transip/error.h"

#include <cmath>
#include <functional>
#include <iostream>
#include <string>

namespace checks {

inline int made = 0, failed = 0;

/// Count a check, and print what it is about if it failed.
inline void check(bool good, const std::string &what)
{
  made++;
  if (good) return;
  failed++;
  std::cout << "FAILED: " << what << '\n';
}

inline void check_close(double value, double wanted, double tolerance, const std::string &what)
{
  check(std::abs(value - wanted) <= tolerance,
        what + ": got " + std::to_string(value) + ", expected " + std::to_string(wanted));
}

/// The call throws transip::Error, of one line that has these words.
inline void check_error(const std::function<void()> &call, const std::string &words,
                        const std::string &what = "a call that must fail")
{
  try {
    call();
  } catch (const transip::Error &problem) {
    const std::string message = problem.what();
    check(message.find(words) != std::string::npos, what + ": the error is '" + message + "'");
    check(message.find('\n') == std::string::npos, what + ": the error has more than one line");
    return;
  }
  check(false, what + ": no error");
}

/// Run the tests of a program, print how many checks there were, and return the exit code: 0 if none failed.
inline int run(const std::function<void()> &tests)
{
  try {
    tests();
  } catch (const std::exception &problem) {
    check(false, problem.what());
  }
  std::cout << made << " checks, " << failed << " failed\n";
  return failed ? 1 : 0;
}

}  // namespace checks
