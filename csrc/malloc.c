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
        /* An allocator that was put in its place (jemalloc, a sanitizer's) may refuse:
         * then it is slower, and nothing is wrong. */
        (void)mallopt(M_MMAP_THRESHOLD, (int)bytes);
        (void)mallopt(M_TRIM_THRESHOLD, (int)bytes);
#endif
        return 0;
}
