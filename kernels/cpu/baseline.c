/* The entries for what every processor of this architecture has: lanes.h says what that is. */
#include "accumulate.h"
#include "aggregate.h"
#include "combine.h"
#include "nearest.h"
#include "slab.h"
