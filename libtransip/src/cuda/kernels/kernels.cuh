// All kernels of a step. Their names: list.h; their launches: ../plan.h.
#pragma once

#include "list.h"
#include "narrow.cuh"
#include "virials.cuh"
