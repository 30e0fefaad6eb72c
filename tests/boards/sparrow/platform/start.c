/* Would make tg_target.h true. */
#include "tg_target.h"
