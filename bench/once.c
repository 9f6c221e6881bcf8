/* once.c -- a worker for one connection: the least that can be started for it.
 *
 * Accepts from descriptor 3, SD_LISTEN_FDS_START, sends its pid and exits with status 0:
 * under a watcher on demand the next connection starts it again.  Linked statically. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
        uint32_t pid = (uint32_t)getpid();
        int fd;

        if (fcntl(3, F_SETFL, 0) < 0) /* blocking, whoever has opened it */
                return 1;
        fd = accept(3, NULL, NULL);
        return fd >= 0 && send(fd, &pid, sizeof pid, 0) == sizeof pid ? 0 : 1;
}
