"""Numba kernels: arrays in, arrays out; one file a job, each beside its slow reference.

Every kernel releases the GIL and is cached on disk, so that only the first run on a machine compiles.
"""
