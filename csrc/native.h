/* csrc/native.h -- what the compiler needs around native.api.h. */
#ifndef PIDSUP_NATIVE_H
#define PIDSUP_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#include "native.api.h"

#endif
