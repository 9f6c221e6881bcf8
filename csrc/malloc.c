/* mallopt(3): memory that is about to be needed again. */
#include "native.h"

#include <errno.h>
#include <limits.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

int pidsup_keep_freed(size_t bytes)
{
        if (bytes > INT_MAX)
                return -EINVAL;
#ifdef __GLIBC__
        if (mallopt(M_MMAP_THRESHOLD, (int)bytes) != 1 ||
            mallopt(M_TRIM_THRESHOLD, (int)bytes) != 1)
                return -EINVAL;
#endif
        return 0;
}
