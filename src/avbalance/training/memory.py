"""Memory that a training step frees is kept for the next one."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of glibc's `mallopt`, from malloc.h."""


def keep_memory() -> None:
    """Have the C library keep freed memory; numbers stay the same, and so does the peak.

    Else it gives the activations of every step back to the kernel, which has to clear them for the next: up to a sixth
    of the time. A C library without this switch is left as it is.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
