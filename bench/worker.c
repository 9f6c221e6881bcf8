/* worker.c -- the process that every peer supervises: it says when it began.
 *
 *   worker SOCKET TAG pause|exit
 *
 * Sends one datagram to SOCKET, `struct report`, with the time of its first
 * instructions, then waits for a signal (pause) or exits with status 0 (exit).
 * The receiver takes the pid from SCM_CREDENTIALS, unix(7).  Linked statically,
 * since what it costs to load is in every figure.  Without a receiver it exits
 * with status 1: a worker whose harness is gone must not stay behind. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Read by bench/inbox.py. */
struct report {
        uint64_t began_at_ns; /* CLOCK_MONOTONIC */
        uint32_t pid;
        uint32_t tag;
};

static uint64_t now_ns(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Returns 0, or -1 when nobody receives. */
static int send_report(const char *path, const struct report *report) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ssize_t sent;

        if (fd < 0)
                return -1;
        strncpy(address.sun_path, path, sizeof address.sun_path - 1);
        sent = sendto(fd, report, sizeof *report, 0, (struct sockaddr *)&address, sizeof address);
        close(fd);
        return sent == (ssize_t)sizeof *report ? 0 : -1;
}

int main(int argc, char **argv) {
        struct report report = {.began_at_ns = now_ns(), .pid = (uint32_t)getpid()};

        if (argc != 4) {
                fprintf(stderr, "usage: worker SOCKET TAG pause|exit\n");
                return 2;
        }
        report.tag = (uint32_t)atoi(argv[2]);
        if (send_report(argv[1], &report) < 0)
                return 1;
        while (strcmp(argv[3], "exit") != 0)
                pause();
        return 0;
}
