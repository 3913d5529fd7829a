"""Which version of the library is this? Importing `r1book` loads nothing else."""

import os

__version__ = "0.1.0"

# oneDNN, which does torch's products in bfloat16 on a CPU, keeps the kernels of the last 1,024
# shapes. Here nearly every batch has a shape of its own: they took more memory than all else. Read
# when torch is imported, so that the Makefile sets it, too, for notebooks that import torch first.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
