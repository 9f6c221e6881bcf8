/* csrc/native.api.h -- declarations only: no preprocessor lines.
 *
 * Read by the compiler (through native.h) and by cffi (build_native.py), so the
 * two cannot drift.  Every function returns >= 0 on success and -errno on
 * failure; none keeps a pointer after it returned.  Every descriptor that is
 * made is close-on-exec from birth. */

/* The fields of struct signalfd_siginfo, signalfd(2), that pidsup reads. */
struct pidsup_siginfo {
        uint32_t signo;
        int32_t code;   /* si_code: SI_USER, CLD_EXITED, ... */
        uint32_t pid;   /* sender, or the child for SIGCHLD */
        uint32_t uid;   /* real user id of the sender */
        int32_t status; /* exit status or signal, for SIGCHLD only */
};

/* Make a non-blocking descriptor that receives the signals in mask (bit n-1 is
 * signal n), signalfd(2).  The caller blocks them first, and owns the result. */
int pidsup_signalfd_create(uint64_t mask);

/* Read up to n (at most 16) pending signals into ret.  Returns how many; 0 when
 * none is pending.  Leaves ret untouched on failure.  Borrows fd. */
int pidsup_signalfd_read(int fd, struct pidsup_siginfo *ret, size_t n);

/* Return a new pidfd of the process, pidfd_open(2); the caller owns it.  -ESRCH
 * when there is no such process or it has been reaped. */
int pidsup_pidfd_open(int pid);

/* Send signo, pidfd_send_signal(2).  flags: 0 or PIDFD_SIGNAL_PROCESS_GROUP (4,
 * Linux 6.9, else -EINVAL).  -ESRCH once the target is gone.  Borrows pidfd. */
int pidsup_pidfd_send_signal(int pidfd, int signo, unsigned int flags);

/* How a child ended, waitid(2) and getrusage(2). */
struct pidsup_exit {
        int32_t pid;
        int32_t code;   /* CLD_EXITED, CLD_KILLED or CLD_DUMPED */
        int32_t status; /* exit code, or signal */
        int64_t user_us;
        int64_t system_us;
};

/* Reap the child behind pidfd.  Returns 1 and fills ret when it had ended, 0
 * while it runs; -ECHILD when it is not our child or was reaped.  Borrows pidfd. */
int pidsup_waitid_pidfd(int pidfd, struct pidsup_exit *ret);

/* What the kernel knows about a process, ioctl PIDFD_GET_INFO, Linux 6.13. */
struct pidsup_pidfd_info {
        uint64_t mask; /* which fields are valid: 1 pid, 2 creds, 4 cgroup, 8 exit */
        uint64_t cgroup_id; /* inode of the cgroup v2 directory */
        uint32_t pid;
        uint32_t tgid;
        uint32_t ppid;
        uint32_t ruid;
        uint32_t rgid;
        uint32_t euid;
        uint32_t egid;
        uint32_t suid;
        uint32_t sgid;
        uint32_t fsuid;
        uint32_t fsgid;
        int32_t exit_code; /* a wait status; Linux 6.15, after the reap only */
};

/* Fill ret.  -ENOTTY or -EINVAL below Linux 6.13; -ESRCH below 6.15 once the
 * process was reaped.  Trust ret->mask, never a version.  Borrows pidfd. */
int pidsup_pidfd_get_info(int pidfd, struct pidsup_pidfd_info *ret);

/* The steps from the call to the new program, in the order they are taken. */
enum pidsup_step {
        PIDSUP_STEP_CLONE,
        PIDSUP_STEP_CGROUP,
        PIDSUP_STEP_FDS,
        PIDSUP_STEP_SETSID,
        PIDSUP_STEP_SETPGID,
        PIDSUP_STEP_FOREGROUND,
        PIDSUP_STEP_NICE,
        PIDSUP_STEP_IOPRIO,
        PIDSUP_STEP_OOM_SCORE_ADJ,
        PIDSUP_STEP_AFFINITY,
        PIDSUP_STEP_RLIMIT,
        PIDSUP_STEP_BOUNDING,
        PIDSUP_STEP_SETGROUPS,
        PIDSUP_STEP_SETGID,
        PIDSUP_STEP_SETUID,
        PIDSUP_STEP_AMBIENT,
        PIDSUP_STEP_CHDIR,
        PIDSUP_STEP_NO_NEW_PRIVS,
        PIDSUP_STEP_EXEC
};

/* Which rung of the ladder makes the process. */
enum pidsup_rung { PIDSUP_RUNG_ANY, PIDSUP_RUNG_CLONE3, PIDSUP_RUNG_CLONE };

struct pidsup_rlimit {
        int32_t resource;
        uint64_t soft;
        uint64_t hard;
};

/* All that a start needs, prepared once and used for every restart.  Borrowed:
 * what it points to stays with the caller and must live through the call. */
struct pidsup_plan {
        char *const *paths; /* programs to try in turn as execvp(3) does, NULL ends */
        char *const *argv;
        char *const *envp;
        char *listen_pid; /* in envp, room for 10 digits and a NUL; or NULL */
        const char *cwd;  /* or NULL; relative paths are looked up from there */
        const int *fds;   /* the child's descriptor i is a copy of fds[i], closed if -1 */
        size_t n_fds;     /* at most 1024; nothing else survives the exec */
        int cgroup;       /* directory of a cgroup v2 to be born in, or -1 */
        int new_session;
        int foreground; /* lead a group, which gets the terminal if 0 is it and we have it */
        int mask;       /* umask, or -1 */
        int set_nice;
        int nice;
        int ioprio;                /* class and level as of ioprio_set(2), or -1 */
        const char *oom_score_adj; /* in decimal, or NULL; written to /proc */
        const unsigned char *cpus; /* bit mask as of sched_setaffinity(2), or NULL */
        size_t cpus_bytes;
        const struct pidsup_rlimit *rlimits;
        size_t n_rlimits;
        uint64_t bounding;    /* capabilities that stay in the bounding set; ~0 drops none */
        const uint32_t *groups;
        int64_t n_groups; /* -1 leaves the supplementary groups alone */
        int64_t gid;      /* or -1 */
        int64_t uid;      /* or -1 */
        uint64_t ambient; /* capabilities kept across uid and exec; 0 for none */
        int no_new_privs;
        int rung; /* enum pidsup_rung; tests force one */
};

struct pidsup_child {
        int pid;
        int pidfd;      /* the caller owns it */
        uint64_t inode; /* of the pidfd: unique per boot from Linux 6.9 on */
        int step;       /* enum pidsup_step that failed, on failure only */
};

/* Start a process.  On success ret has pid, pidfd and inode.  On failure ret->step
 * names the step, nothing is left over, and ret->pidfd is -1.  Blocks the calling
 * thread until the new program runs: microseconds, but as long as it takes in a
 * frozen cgroup or on a file system that hangs.  Not from two threads at once when
 * the user changes (it touches whether all of us is dumpable) or listen_pid is set. */
int pidsup_spawn(const struct pidsup_plan *plan, struct pidsup_child *ret);

/* Return when the file was made, in seconds since 1970; 0 where its file system does
 * not know.  Borrows fd. */
int64_t pidsup_birth(int fd);

/* Keep up to that much freed memory for what comes next, instead of returning it to the
 * system at once; blocks of that size are not mapped one by one.  With glibc only. */
int pidsup_keep_freed(size_t bytes);
