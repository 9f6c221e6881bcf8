/* flood.c -- a worker that writes lines as fast as they are taken.
 *
 *   flood GATE RESULT LINES PER_WRITE
 *
 * Waits until somebody has opened the FIFO at GATE for writing and closed it, writes LINES numbered lines
 * of 200 bytes to its standard output, PER_WRITE of them with one write(2), puts the
 * nanoseconds that took into the file RESULT, and waits for a signal.  LINES 0 goes on
 * for ever. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 200, NUMBER = 12, MOST = 1000 };

static uint64_t now_ns(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void put_number(char *line, uint64_t number) {
        for (int i = NUMBER - 1; i >= 0; i--, number /= 10)
                line[i] = (char)('0' + number % 10);
}

static void write_all(const char *data, size_t size) {
        while (size > 0) {
                ssize_t count = write(1, data, size);

                if (count < 0)
                        exit(1);
                data += count;
                size -= (size_t)count;
        }
}

int main(int argc, char **argv) {
        static char block[MOST * LINE];
        uint64_t lines, per_write, began, took;
        FILE *result;
        int gate;
        char byte;

        if (argc != 5)
                return 2;
        lines = strtoull(argv[3], NULL, 10);
        per_write = strtoull(argv[4], NULL, 10);
        gate = open(argv[1], O_RDONLY);
        if (per_write < 1 || per_write > MOST || gate < 0)
                return 2;
        memset(block, 'x', sizeof block);
        for (size_t i = 0; i < MOST; i++)
                block[i * LINE + LINE - 1] = '\n';

        if (read(gate, &byte, 1) != 0)
                return 2;

        began = now_ns();
        for (uint64_t done = 0; lines == 0 || done < lines;) {
                uint64_t n = lines != 0 && lines - done < per_write ? lines - done : per_write;

                for (uint64_t i = 0; i < n; i++)
                        put_number(block + i * LINE, done + i);
                write_all(block, n * LINE);
                done += n;
        }
        took = now_ns() - began;
        result = fopen(argv[2], "w");
        if (result == NULL)
                return 1;
        fprintf(result, "%llu\n", (unsigned long long)took);
        fclose(result);
        for (;;)
                pause();
}
