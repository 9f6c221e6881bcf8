/* statx(2): when a file was made. */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int64_t pidsup_birth(int fd)
{
        struct statx found;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &found) < 0)
                return -errno;
        return found.stx_mask & STATX_BTIME ? found.stx_btime.tv_sec : 0;
}
