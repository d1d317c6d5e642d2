"""Appending to a file in a thread that needs no Python; present in the compiled form only, and of use on Linux.

A thread of Python's has to have the interpreter between any two system calls. While the loop works it waits for that, and
then the loop for it: some ten system calls for each batch, and the loop stood still. This one is told by a semaphore, and
tells by an eventfd.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

cdef extern from *:
    """
    #include <stddef.h>

    typedef struct {
        int file;
        const char *data;
        size_t octets;
        long long offset;
        const char *zeros;
        size_t room;
        int is_synced;
    } appender_work;

    #ifdef __linux__

    #include <errno.h>
    #include <semaphore.h>
    #include <stdint.h>
    #include <unistd.h>

    typedef sem_t appender_bell;

    static int appender_write(int file, const char *data, size_t octets, off_t offset) {
        while (octets) {
            ssize_t written = pwrite(file, data, octets, offset);
            if (written < 0) {
                if (errno == EINTR)
                    continue;
                return errno;
            }
            data += written;
            octets -= (size_t)written;
            offset += written;
        }
        return 0;
    }

    static int appender_do(const appender_work *work) {
        int error = appender_write(work->file, work->data, work->octets, (off_t)work->offset);
        if (error)
            return error;
        /* A disk that is nearly full has no room for zeros, which are only for speed. */
        if (work->room)
            (void)appender_write(work->file, work->zeros, work->room, (off_t)(work->offset + (long long)work->octets));
        if (work->is_synced && fdatasync(work->file))
            return errno;
        return 0;
    }

    static void appender_tell(int file) {
        uint64_t one = 1;
        while (write(file, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }

    static int appender_begin(appender_bell *bell) { return sem_init(bell, 0, 0); }
    static void appender_ring(appender_bell *bell) { sem_post(bell); }
    static void appender_wait(appender_bell *bell) {
        while (sem_wait(bell) && errno == EINTR)
            ;
    }
    static void appender_end(appender_bell *bell) { sem_destroy(bell); }
    static int appender_get(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
    static void appender_set(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }

    #else

    typedef int appender_bell;
    static int appender_do(const appender_work *work) { (void)work; return 0; }
    static void appender_tell(int file) { (void)file; }
    static int appender_begin(appender_bell *bell) { (void)bell; return -1; }
    static void appender_ring(appender_bell *bell) { (void)bell; }
    static void appender_wait(appender_bell *bell) { (void)bell; }
    static void appender_end(appender_bell *bell) { (void)bell; }
    static int appender_get(const int *flag) { return *flag; }
    static void appender_set(int *flag, int value) { *flag = value; }

    #endif
    """
    ctypedef struct appender_work:
        int file
        const char *data
        size_t octets
        long long offset
        const char *zeros
        size_t room
        bint is_synced

    ctypedef struct appender_bell:
        pass

    int appender_do(const appender_work *work) nogil
    void appender_tell(int file) nogil
    int appender_begin(appender_bell *bell) nogil
    void appender_ring(appender_bell *bell) nogil
    void appender_wait(appender_bell *bell) nogil
    void appender_end(appender_bell *bell) nogil
    int appender_get(const int *flag) nogil
    void appender_set(int *flag, int value) nogil


cdef class Appender:
    """Appends for another thread, one thing at a time.

    Args:
        told: an eventfd; one is written to it at the end of each.
    """

    cdef appender_work work
    cdef appender_bell bell
    cdef Py_buffer data
    cdef Py_buffer zeros
    cdef int told
    cdef int is_under_way
    cdef int is_ending
    cdef int number

    def __cinit__(self, int told):
        self.told = told
        if appender_begin(&self.bell) != 0:
            raise OSError("no semaphore")

    def __dealloc__(self):
        PyBuffer_Release(&self.data)
        PyBuffer_Release(&self.zeros)
        appender_end(&self.bell)

    def run(self):
        """Work until `end`; for a thread of its own."""
        with nogil:
            while True:
                appender_wait(&self.bell)
                if appender_get(&self.is_under_way):
                    self.number = appender_do(&self.work)
                    appender_set(&self.is_under_way, 0)
                    appender_tell(self.told)
                elif appender_get(&self.is_ending):
                    break

    def start(self, int file, data not None, long long offset, zeros not None, bint is_synced):
        """Write data at an offset, zeros behind it if there is room for them, and have the disk keep it.

        The data can't change their size until `finish`, which is to be called once this is done.
        """
        PyObject_GetBuffer(data, &self.data, PyBUF_SIMPLE)
        PyObject_GetBuffer(zeros, &self.zeros, PyBUF_SIMPLE)
        self.work.file = file
        self.work.data = <const char *>self.data.buf
        self.work.octets = self.data.len
        self.work.offset = offset
        self.work.zeros = <const char *>self.zeros.buf
        self.work.room = self.zeros.len
        self.work.is_synced = is_synced
        appender_set(&self.is_under_way, 1)
        appender_ring(&self.bell)

    @property
    def is_done(self):
        return appender_get(&self.is_under_way) == 0

    def finish(self):
        """The number of the error that stopped it, 0 for none."""
        PyBuffer_Release(&self.data)
        PyBuffer_Release(&self.zeros)
        return self.number

    def end(self):
        """Have `run` return when it has done what it has."""
        appender_set(&self.is_ending, 1)
        appender_ring(&self.bell)
