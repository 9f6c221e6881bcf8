/* floor.c -- the least a supervisor can do, as the floor under every figure.
 *
 *   floor N COMMAND [ARGUMENT ...]
 *
 * Keeps N copies of COMMAND running, each in a session of its own, and starts
 * another one at once for each that dies: vfork(2), pidfd_open(2), epoll(7), one
 * thread.  No configuration, no state, no log, no limits.  SIGTERM or SIGINT
 * stops all copies with SIGTERM and then the program, status 0; any failure ends
 * it with status 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        BATCH = 64,        /* events taken from the kernel in one go */
        EXEC_FAILED = 127, /* exit status of a child that could not exec */
};

/* epoll tag of the signalfd; the others are slots. */
static const uint32_t SIGNALS = UINT32_MAX;

/* Owns the descriptors; pidfd[slot] is -1 while a slot is empty. */
struct floor {
        char **command;
        uint32_t count;
        uint32_t alive;
        int epoll;
        int signals;
        int *pidfd;
        bool stopping;
};

static _Noreturn void fail(const char *what) {
        perror(what);
        exit(1);
}

static void watch(const struct floor *f, int fd, uint32_t tag) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};

        if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                fail("epoll_ctl");
}

/* Runs in the child, on the parent's memory: system calls only. */
static _Noreturn void become(char **command) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        execve(command[0], command, environ);
        _exit(EXEC_FAILED);
}

static void start(struct floor *f, uint32_t slot) {
        pid_t pid = vfork();

        if (pid == 0)
                become(f->command);
        if (pid < 0)
                fail("vfork");
        /* Not reaped yet, so the pid cannot have passed to another process. */
        f->pidfd[slot] = (int)syscall(SYS_pidfd_open, pid, 0);
        if (f->pidfd[slot] < 0)
                fail("pidfd_open");
        watch(f, f->pidfd[slot], slot);
        f->alive++;
}

/* Returns whether the slot's process was dead and has been reaped. */
static bool reap(struct floor *f, uint32_t slot) {
        siginfo_t info = {0};

        if (f->pidfd[slot] < 0)
                return false;
        if (waitid(P_PIDFD, (id_t)f->pidfd[slot], &info, WEXITED | WNOHANG) < 0)
                fail("waitid");
        if (info.si_pid == 0)
                return false;
        if (info.si_code == CLD_EXITED && info.si_status == EXEC_FAILED) {
                errno = ENOEXEC;
                fail(f->command[0]);
        }
        /* A sibling between vfork and exec still holds a copy of the pidfd:
         * close alone would leave it, ready for ever, in the epoll set. */
        epoll_ctl(f->epoll, EPOLL_CTL_DEL, f->pidfd[slot], NULL);
        close(f->pidfd[slot]);
        f->pidfd[slot] = -1;
        f->alive--;
        return true;
}

static void stop(struct floor *f) {
        struct signalfd_siginfo info;

        if (read(f->signals, &info, sizeof info) < 0)
                fail("read signalfd");
        f->stopping = true;
        for (uint32_t slot = 0; slot < f->count; slot++)
                if (f->pidfd[slot] >= 0)
                        syscall(SYS_pidfd_send_signal, f->pidfd[slot], SIGTERM, NULL, 0);
}

static void run(struct floor *f) {
        struct epoll_event events[BATCH];

        while (!f->stopping || f->alive > 0) {
                int n = epoll_wait(f->epoll, events, BATCH, -1);

                if (n < 0 && errno != EINTR)
                        fail("epoll_wait");
                for (int i = 0; i < n; i++) {
                        uint32_t tag = events[i].data.u32;

                        if (tag == SIGNALS)
                                stop(f);
                        else if (reap(f, tag) && !f->stopping)
                                start(f, tag);
                }
        }
}

/* One descriptor per copy: take as many as the hard limit allows. */
static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                fail("getrlimit");
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                fail("setrlimit");
}

static int open_signals(void) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                fail("sigprocmask");
        return signalfd(-1, &mask, SFD_CLOEXEC);
}

int main(int argc, char **argv) {
        struct floor f = {0};

        if (argc < 3 || atoi(argv[1]) <= 0) {
                fprintf(stderr, "usage: floor N COMMAND [ARGUMENT ...]\n");
                return 2;
        }
        raise_descriptor_limit();
        f.count = (uint32_t)atoi(argv[1]);
        f.command = argv + 2;
        f.pidfd = calloc(f.count, sizeof *f.pidfd);
        f.epoll = epoll_create1(EPOLL_CLOEXEC);
        f.signals = open_signals();
        if (!f.pidfd || f.epoll < 0 || f.signals < 0)
                fail("cannot set up");
        watch(&f, f.signals, SIGNALS);
        for (uint32_t slot = 0; slot < f.count; slot++)
                start(&f, slot);
        run(&f);
        return 0;
}
