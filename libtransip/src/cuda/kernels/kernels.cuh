// All kernels of a step. Their names: list.h; their launches: ../plan.h.
#pragma once

#include "geometry.cuh"
#include "layers.cuh"
#include "list.h"
