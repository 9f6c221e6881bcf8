/* pidfd_open(2), pidfd_send_signal(2), waitid(2) on a pidfd, PIDFD_GET_INFO. */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum {
        WAIT_PIDFD = 3, /* P_PIDFD, which glibc has since 2.36 only */
        INFO_WANTED = 1 | 2 | 4 | 8,
};

/* The first version of struct pidfd_info; later kernels accept it. */
_Static_assert(sizeof(struct pidsup_pidfd_info) == 64, "pidfd_info is kernel ABI");

int pidsup_pidfd_open(int pid)
{
        long fd = syscall(SYS_pidfd_open, pid, 0);

        return fd < 0 ? -errno : (int)fd;
}

int pidsup_pidfd_send_signal(int pidfd, int signo, unsigned int flags)
{
        return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, flags) < 0 ? -errno : 0;
}

static int64_t microseconds(struct timeval t)
{
        return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

int pidsup_waitid_pidfd(int pidfd, struct pidsup_exit *ret)
{
        siginfo_t info = {0};
        struct rusage usage;
        long rc;

        /* The raw call: glibc's waitid() drops the usage. */
        do
                rc = syscall(SYS_waitid, WAIT_PIDFD, pidfd, &info, WEXITED | WNOHANG, &usage);
        while (rc < 0 && errno == EINTR);
        if (rc < 0)
                return -errno;
        if (info.si_pid == 0)
                return 0;

        *ret = (struct pidsup_exit){
                .pid = info.si_pid,
                .code = info.si_code,
                .status = info.si_status,
                .user_us = microseconds(usage.ru_utime),
                .system_us = microseconds(usage.ru_stime),
        };
        return 1;
}

int pidsup_pidfd_get_info(int pidfd, struct pidsup_pidfd_info *ret)
{
        struct pidsup_pidfd_info info = {.mask = INFO_WANTED};

        if (ioctl(pidfd, _IOWR(0xff, 11, struct pidsup_pidfd_info), &info) < 0)
                return -errno;
        *ret = info;
        return 0;
}
