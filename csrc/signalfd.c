/* signalfd(2): signals as something to read. */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel fixes this size, signalfd(2); a short read would mean torn records. */
_Static_assert(sizeof(struct signalfd_siginfo) == 128, "signalfd_siginfo is kernel ABI");

enum { MOST_AT_ONCE = 16 }; /* 2 KiB of stack; the next read has the rest */

int pidsup_signalfd_create(uint64_t mask)
{
        /* The raw call: the kernel's set has 64 bits, glibc's sigset_t 1024. */
        long fd = syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK);

        return fd < 0 ? -errno : (int)fd;
}

int pidsup_signalfd_read(int fd, struct pidsup_siginfo *ret, size_t n)
{
        struct signalfd_siginfo buf[MOST_AT_ONCE];
        ssize_t size;

        if (n > MOST_AT_ONCE)
                n = MOST_AT_ONCE;
        do
                size = read(fd, buf, n * sizeof buf[0]);
        while (size < 0 && errno == EINTR);
        if (size < 0)
                return errno == EAGAIN ? 0 : -errno;

        n = (size_t)size / sizeof buf[0];
        for (size_t i = 0; i < n; i++)
                ret[i] = (struct pidsup_siginfo){
                        .signo = buf[i].ssi_signo,
                        .code = buf[i].ssi_code,
                        .pid = buf[i].ssi_pid,
                        .uid = buf[i].ssi_uid,
                        .status = buf[i].ssi_status,
                };
        return (int)n;
}
