/* Start a process: clone3(2) as vfork(2) does it, attributes, execve(2).
 *
 * The exception among these files: more than one system call, because between
 * the clone and the exec no Python may run.  The child shares our memory
 * (CLONE_VM) while this thread is suspended (CLONE_VFORK).  From that follows:
 *
 * - The child's path makes raw system calls only.  errno is in memory that the
 *   child shares, and glibc's setuid() and setgroups() would signal every
 *   thread of the *parent*.
 * - All signals are blocked from before the clone until the last step before
 *   exec: a handler of the parent must not run in the child, on its stack.
 * - CLONE_CLEAR_SIGHAND leaves SIG_IGN alone (Python ignores SIGPIPE), so the
 *   child resets every disposition itself; it is all that rung two has anyway.
 * - A change of uid in the child makes the *shared* memory non-dumpable, and
 *   with it the parent; undone after the clone.
 * - The sanitizers are off in the child: their shadow memory is the parent's.
 *
 * The ladder has two rungs: clone3, and where a filter answers ENOSYS or EPERM
 * (RestrictNamespaces=, old container runtimes) clone with the cgroup joined by
 * the child. */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

enum {
        STACK_BYTES = 32 * 1024, /* the child uses 10 KiB; on the suspended parent's stack */
        MAX_FDS = 1024,
        LAST_SIGNAL = 64,
        SIGSET_BYTES = 8,
        WAIT_PIDFD = 3,        /* P_PIDFD */
        IOPRIO_PROCESS = 1,    /* IOPRIO_WHO_PROCESS */
        RANGE_CLOEXEC = 1 << 2, /* CLOSE_RANGE_CLOEXEC */
        CAP_WORDS = 2,
};

static const uint64_t CLEAR_SIGHAND = 0x100000000;
static const uint64_t INTO_CGROUP = 0x200000000;

/* struct clone_args up to the cgroup, Linux 5.7. */
struct clone3_args {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
        uint64_t set_tid, set_tid_size, cgroup;
};

/* What parent and child share during the vfork. */
struct birth {
        const struct pidsup_plan *plan;
        int join_cgroup; /* rung two: the child moves itself */
        volatile int error;
        volatile int step;
};

#define IN_CHILD __attribute__((no_sanitize("address", "undefined")))

#if defined(__x86_64__)

IN_CHILD static inline long
raw(long nr, long a, long b, long c, long d, long e)
{
        long ret;
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;

        __asm__ volatile("syscall"
                         : "=a"(ret)
                         : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                         : "rcx", "r11", "memory");
        return ret;
}

/* Make the clone call nr; in the child, which starts on an empty stack, call fn. */
static long clone_and_call(long nr, long a, long b, long c, void (*fn)(struct birth *),
                           struct birth *birth)
{
        long ret;
        register long r10 __asm__("r10") = 0;
        register long r8 __asm__("r8") = 0;
        register void (*r12)(struct birth *) __asm__("r12") = fn;
        register struct birth *r13 __asm__("r13") = birth;

        __asm__ volatile("syscall\n\t"
                         "test %%rax, %%rax\n\t"
                         "jnz 1f\n\t"
                         "xor %%ebp, %%ebp\n\t" /* ends a backtrace */
                         "mov %%r13, %%rdi\n\t"
                         "call *%%r12\n\t"
                         "hlt\n"
                         "1:"
                         : "=a"(ret)
                         : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r12), "r"(r13)
                         : "rcx", "r11", "memory");
        return ret;
}

#elif defined(__aarch64__)

IN_CHILD static inline long
raw(long nr, long a, long b, long c, long d, long e)
{
        register long x8 __asm__("x8") = nr;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;

        __asm__ volatile("svc #0"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                         : "memory");
        return x0;
}

/* Make the clone call nr; in the child, which starts on an empty stack, call fn. */
static long clone_and_call(long nr, long a, long b, long c, void (*fn)(struct birth *),
                           struct birth *birth)
{
        register long x8 __asm__("x8") = nr;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = 0;
        register long x4 __asm__("x4") = 0;
        register void (*x19)(struct birth *) __asm__("x19") = fn;
        register struct birth *x20 __asm__("x20") = birth;

        __asm__ volatile("svc #0\n\t"
                         "cbnz x0, 1f\n\t"
                         "mov x29, xzr\n\t" /* ends a backtrace */
                         "mov x30, xzr\n\t"
                         "mov x0, x20\n\t"
                         "blr x19\n\t"
                         "brk #1\n"
                         "1:"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x19), "r"(x20)
                         : "memory");
        return x0;
}

#else
#error "pidsup runs on x86-64 and aarch64: a clone for this machine is to be written"
#endif

#define RAW_(nr, a, b, c, d, e, ...) \
        raw((long)(nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define RAW(...) RAW_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

IN_CHILD static _Noreturn void fail(struct birth *birth, enum pidsup_step step, long rc)
{
        birth->error = (int)-rc;
        birth->step = (int)step;
        for (;;)
                RAW(SYS_exit_group, 127);
}

IN_CHILD static inline void check(struct birth *birth, enum pidsup_step step, long rc)
{
        if (rc < 0)
                fail(birth, step, rc);
}

IN_CHILD static void reset_signals(void)
{
        /* The kernel's struct sigaction: 32 bytes or less on both machines, zero is SIG_DFL. */
        const uint64_t by_default[4] = {0};

        for (long signo = 1; signo <= LAST_SIGNAL; signo++)
                RAW(SYS_rt_sigaction, signo, by_default, 0, SIGSET_BYTES);
}

IN_CHILD static void join_cgroup(struct birth *birth, int cgroup)
{
        long fd = RAW(SYS_openat, cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

        check(birth, PIDSUP_STEP_CGROUP, fd);
        check(birth, PIDSUP_STEP_CGROUP, RAW(SYS_write, fd, "0", 1));
        RAW(SYS_close, fd);
}

/* Lead a group, and take over the terminal if descriptor 0 is that of our session and
 * whoever starts us has it: in the background it is somebody else's.  SIGTTOU, which we
 * get for that once we are a group of our own, is blocked. */
IN_CHILD static void come_forward(struct birth *birth)
{
        long ours = RAW(SYS_getpgid, 0);
        int group;
        long rc;

        check(birth, PIDSUP_STEP_SETPGID, RAW(SYS_setpgid, 0, 0));
        if (RAW(SYS_ioctl, STDIN_FILENO, TIOCGPGRP, &group) < 0 || group != ours)
                return;
        group = (int)RAW(SYS_getpid);
        rc = RAW(SYS_ioctl, STDIN_FILENO, TIOCSPGRP, &group);
        if (rc != -ENOTTY) /* the other end of a pseudo-terminal: it answers the first only */
                check(birth, PIDSUP_STEP_FOREGROUND, rc);
}

/* A child of vfork(2) has a score of its own, though the memory is the parent's. */
IN_CHILD static void set_oom_score(struct birth *birth, const char *score)
{
        long fd = RAW(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        size_t length = 0;

        check(birth, PIDSUP_STEP_OOM_SCORE_ADJ, fd);
        while (score[length])
                length++;
        check(birth, PIDSUP_STEP_OOM_SCORE_ADJ, RAW(SYS_write, fd, score, length));
        RAW(SYS_close, fd);
}

IN_CHILD static void limit(struct birth *birth, const struct pidsup_plan *plan)
{
        if (plan->set_nice)
                check(birth, PIDSUP_STEP_NICE, RAW(SYS_setpriority, PRIO_PROCESS, 0, plan->nice));
        if (plan->ioprio >= 0)
                check(birth, PIDSUP_STEP_IOPRIO,
                      RAW(SYS_ioprio_set, IOPRIO_PROCESS, 0, plan->ioprio));
        if (plan->oom_score_adj)
                set_oom_score(birth, plan->oom_score_adj);
        if (plan->cpus)
                check(birth, PIDSUP_STEP_AFFINITY,
                      RAW(SYS_sched_setaffinity, 0, plan->cpus_bytes, plan->cpus));
        for (size_t i = 0; i < plan->n_rlimits; i++) {
                const struct pidsup_rlimit *r = &plan->rlimits[i];
                const uint64_t soft_and_hard[2] = {r->soft, r->hard};

                check(birth, PIDSUP_STEP_RLIMIT,
                      RAW(SYS_prlimit64, 0, r->resource, soft_and_hard, 0));
        }
}

/* What is inheritable passes the bounding set at an exec as root, capabilities(7). */
IN_CHILD static void drop_inheritable(struct birth *birth, uint64_t keep)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[CAP_WORDS];

        check(birth, PIDSUP_STEP_BOUNDING, RAW(SYS_capget, &header, data));
        for (int word = 0; word < CAP_WORDS; word++)
                data[word].inheritable &= (uint32_t)(keep >> (32 * word));
        check(birth, PIDSUP_STEP_BOUNDING, RAW(SYS_capset, &header, data));
}

IN_CHILD static void drop_bounding(struct birth *birth, uint64_t keep)
{
        for (long cap = 0; cap < 64; cap++) {
                /* EINVAL: past the last capability that this kernel has. */
                if (RAW(SYS_prctl, PR_CAPBSET_READ, cap) < 0)
                        break;
                if (!(keep >> cap & 1))
                        check(birth, PIDSUP_STEP_BOUNDING, RAW(SYS_prctl, PR_CAPBSET_DROP, cap));
        }
        drop_inheritable(birth, keep);
}

IN_CHILD static void raise_ambient(struct birth *birth, uint64_t caps)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[CAP_WORDS];

        for (int word = 0; word < CAP_WORDS; word++) {
                uint32_t bits = (uint32_t)(caps >> (32 * word));

                data[word].effective = data[word].permitted = data[word].inheritable = bits;
        }
        check(birth, PIDSUP_STEP_AMBIENT, RAW(SYS_capset, &header, data));
        for (long cap = 0; cap < 64; cap++)
                if (caps >> cap & 1)
                        check(birth, PIDSUP_STEP_AMBIENT,
                              RAW(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap));
}

IN_CHILD static void become(struct birth *birth, const struct pidsup_plan *plan)
{
        if (plan->bounding != ~(uint64_t)0)
                drop_bounding(birth, plan->bounding);
        if (plan->ambient) /* or the change of uid empties the permitted set */
                check(birth, PIDSUP_STEP_AMBIENT, RAW(SYS_prctl, PR_SET_KEEPCAPS, 1));
        if (plan->n_groups >= 0)
                check(birth, PIDSUP_STEP_SETGROUPS,
                      RAW(SYS_setgroups, plan->n_groups, plan->groups));
        if (plan->gid >= 0)
                check(birth, PIDSUP_STEP_SETGID,
                      RAW(SYS_setresgid, plan->gid, plan->gid, plan->gid));
        if (plan->uid >= 0)
                check(birth, PIDSUP_STEP_SETUID,
                      RAW(SYS_setresuid, plan->uid, plan->uid, plan->uid));
        if (plan->ambient)
                raise_ambient(birth, plan->ambient);
}

/* In two passes, because a source may stand where another copy has to go. */
IN_CHILD static void place_fds(struct birth *birth, const struct pidsup_plan *plan)
{
        long source[MAX_FDS];
        long n = (long)plan->n_fds;

        /* All before the first is lifted: its copy may get the number of a closed one. */
        for (long i = 0; i < n; i++)
                if (plan->fds[i] >= 0)
                        check(birth, PIDSUP_STEP_FDS, RAW(SYS_fcntl, plan->fds[i], F_GETFD));
        for (long i = 0; i < n; i++) {
                source[i] = plan->fds[i];
                if (source[i] < 0 || source[i] >= n || source[i] == i)
                        continue;
                source[i] = RAW(SYS_fcntl, source[i], F_DUPFD_CLOEXEC, n);
                check(birth, PIDSUP_STEP_FDS, source[i]);
        }
        for (long i = 0; i < n; i++)
                if (source[i] < 0)
                        RAW(SYS_close, i);
                else if (source[i] == i)
                        check(birth, PIDSUP_STEP_FDS, RAW(SYS_fcntl, i, F_SETFD, 0));
                else
                        check(birth, PIDSUP_STEP_FDS, RAW(SYS_dup3, source[i], i, 0));
        check(birth, PIDSUP_STEP_FDS, RAW(SYS_close_range, n, ~0U, RANGE_CLOEXEC));
}

IN_CHILD static void write_pid(char *slot)
{
        char digits[12];
        long pid = RAW(SYS_getpid);
        int n = 0;

        do
                digits[n++] = (char)('0' + pid % 10);
        while (pid /= 10);
        while (n)
                *slot++ = digits[--n];
        *slot = '\0';
}

IN_CHILD static int is_file(const char *path)
{
        struct stat st; /* the kernel's own, on both machines */

        return RAW(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0 && S_ISREG(st.st_mode);
}

IN_CHILD static int is_looked_up(const char *program)
{
        while (*program && *program != '/')
                program++;
        return !*program;
}

/* Try each path as execvp(3) does, but without its shell; return only on failure.  EACCES
 * counts for a file that is there: a directory that cannot be read has nothing, to a shell. */
IN_CHILD static long exec_first(const struct pidsup_plan *plan)
{
        long denied = 0;

        if (!is_looked_up(plan->argv[0]))
                return RAW(SYS_execve, plan->paths[0], plan->argv, plan->envp);
        for (char *const *path = plan->paths; *path; path++) {
                long rc = RAW(SYS_execve, *path, plan->argv, plan->envp);

                if (rc == -EACCES)
                        denied = is_file(*path) ? rc : denied;
                else if (rc != -ENOENT && rc != -ENOTDIR && rc != -ESTALE && rc != -ENODEV &&
                         rc != -ETIMEDOUT)
                        return rc;
        }
        return denied ? denied : -ENOENT;
}

IN_CHILD static void child(struct birth *birth)
{
        const struct pidsup_plan *plan = birth->plan;
        const uint64_t none = 0;

        reset_signals();
        if (birth->join_cgroup)
                join_cgroup(birth, plan->cgroup);
        place_fds(birth, plan); /* under our limit of open files, not the worker's */
        if (plan->new_session)
                check(birth, PIDSUP_STEP_SETSID, RAW(SYS_setsid));
        if (plan->foreground)
                come_forward(birth);
        if (plan->mask >= 0)
                RAW(SYS_umask, plan->mask);
        limit(birth, plan);
        become(birth, plan);
        if (plan->cwd) /* as the worker's user: its rights decide */
                check(birth, PIDSUP_STEP_CHDIR, RAW(SYS_chdir, plan->cwd));
        if (plan->no_new_privs)
                check(birth, PIDSUP_STEP_NO_NEW_PRIVS, RAW(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1));
        if (plan->listen_pid)
                write_pid(plan->listen_pid);
        RAW(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, SIGSET_BYTES);
        fail(birth, PIDSUP_STEP_EXEC, exec_first(plan));
}

static long by_clone3(struct birth *birth, char *stack, int *pidfd)
{
        int cgroup = birth->plan->cgroup;
        struct clone3_args args = {
                .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLEAR_SIGHAND,
                .pidfd = (uint64_t)(uintptr_t)pidfd,
                .exit_signal = SIGCHLD,
                .stack = (uint64_t)(uintptr_t)stack,
                .stack_size = STACK_BYTES,
        };

        if (cgroup >= 0) {
                args.flags |= INTO_CGROUP;
                args.cgroup = (uint64_t)cgroup;
        }
        birth->join_cgroup = 0;
        return clone_and_call(SYS_clone3, (long)&args, sizeof args, 0, child, birth);
}

static long by_clone(struct birth *birth, char *stack, int *pidfd)
{
        long flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;

        birth->join_cgroup = birth->plan->cgroup >= 0;
        return clone_and_call(SYS_clone, flags, (long)(stack + STACK_BYTES), (long)pidfd, child,
                              birth);
}

static long climb(struct birth *birth, char *stack, int *pidfd)
{
        int rung = birth->plan->rung;
        long pid = -ENOSYS;

        if (rung != PIDSUP_RUNG_CLONE)
                pid = by_clone3(birth, stack, pidfd);
        if (rung != PIDSUP_RUNG_CLONE3 && (pid == -ENOSYS || pid == -EPERM))
                pid = by_clone(birth, stack, pidfd);
        return pid;
}

/* Tell whether an error of clone3 is about the cgroup, clone(2), CLONE_INTO_CGROUP. */
static int is_of_cgroup(long rc)
{
        return rc == -EBADF || rc == -ENOENT || rc == -ENODEV || rc == -EBUSY || rc == -EACCES ||
               rc == -EOPNOTSUPP;
}

static void reap(int pidfd)
{
        siginfo_t info;
        long rc;

        do
                rc = RAW(SYS_waitid, WAIT_PIDFD, pidfd, &info, WEXITED);
        while (rc == -EINTR);
}

int pidsup_spawn(const struct pidsup_plan *plan, struct pidsup_child *ret)
{
        _Alignas(16) char stack[STACK_BYTES];
        struct birth birth = {.plan = plan};
        const uint64_t all = ~(uint64_t)0;
        uint64_t before;
        struct stat st;
        int pidfd = -1;

        ret->pidfd = -1;
        ret->step = PIDSUP_STEP_FDS;
        if (plan->n_fds > MAX_FDS)
                return -E2BIG;

        int changes_user = plan->uid >= 0 || plan->gid >= 0;
        int dumpable = changes_user ? prctl(PR_GET_DUMPABLE) : 0;

        RAW(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, SIGSET_BYTES);
        long pid = climb(&birth, stack, &pidfd);
        RAW(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, SIGSET_BYTES);

        if (dumpable == 1)
                prctl(PR_SET_DUMPABLE, 1);
        if (pid < 0) {
                int of_cgroup = plan->cgroup >= 0 && is_of_cgroup(pid);

                ret->step = of_cgroup ? PIDSUP_STEP_CGROUP : PIDSUP_STEP_CLONE;
                return (int)pid;
        }
        if (birth.error) {
                reap(pidfd);
                close(pidfd);
                ret->step = birth.step;
                return -birth.error;
        }
        *ret = (struct pidsup_child){
                .pid = (int)pid,
                .pidfd = pidfd,
                .inode = fstat(pidfd, &st) == 0 ? st.st_ino : 0,
        };
        return 0;
}
