"""Which version of the library is this? Importing `r1book` loads nothing else."""

__version__ = "0.1.0"
