/* A wall clock that a test sets while processes run, preloaded into them (tests/faults/clock.py).

   Every reading of CLOCK_REALTIME is off by the seconds that stand in the file named by CLOCK_OFFSET. A wait for a time of that
   clock ends when the clock reaches it, also when the clock is set meanwhile, as the kernel has it: so what is set back waits
   for longer. Other clocks run on. libfaketime does not know the waits of C11 (cnd_timedwait), which librdkafka makes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define SLICE (SECOND / 50) /* how soon a wait notes that the clock was set */
#define WALL (SECOND * 1000000000) /* times below are of a clock that began with the machine */

static const volatile int64_t *offset; /* NULL until the file is mapped: libraries may ask for the time before */

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(file);
    offset = mapped;
}

static int64_t nanoseconds(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec timespec_of(int64_t time) {
    return (struct timespec){.tv_sec = time / SECOND, .tv_nsec = time % SECOND};
}

static int64_t machine(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return nanoseconds(&now);
}

static int64_t wall(void) { return machine() + (offset ? *offset * SECOND : 0); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = timespec_of(wall());
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    int64_t time = wall();
    now->tv_sec = time / SECOND;
    now->tv_usec = time % SECOND / 1000;
    return 0;
}

time_t time(time_t *now) {
    time_t seconds = wall() / SECOND;
    if (now)
        *now = seconds;
    return seconds;
}

int timespec_get(struct timespec *now, int base) {
    *now = timespec_of(wall());
    return base;
}

typedef int wait_function(void *, void *, const struct timespec *);

static int wait_until(wait_function *wait, void *condition, void *mutex, const struct timespec *until, int timed_out) {
    int64_t end = nanoseconds(until);
    if (end < WALL)
        return wait(condition, mutex, until);
    for (;;) {
        int64_t left = end - wall();
        struct timespec slice = timespec_of(machine() + (left < SLICE ? left : SLICE));
        int outcome = wait(condition, mutex, &slice);
        if (outcome != timed_out || wall() >= end)
            return outcome;
    }
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    static wait_function *real;
    /* Without its version the first of two is found on some machines, which takes another condition. */
    if (!real && !(real = (wait_function *)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2")))
        real = (wait_function *)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return wait_until(real, condition, mutex, until, ETIMEDOUT);
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    static wait_function *real;
    if (!real)
        real = (wait_function *)dlsym(RTLD_NEXT, "cnd_timedwait");
    return wait_until(real, condition, mutex, until, thrd_timedout);
}
