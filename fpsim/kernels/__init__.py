"""Compiled kernels (numba, optional): the same bits as the NumPy loops, many times faster.

Layer 1. `loading` decides when numba is worth importing and is the only file that other rooms import; `steps` holds
single rounded operations, `sums` the orders of accumulation, `arrays` the rounding of arrays, `images` the layouts of
convolution and pooling. Plain arrays and numbers only: no formats' names, no tensors.
"""
