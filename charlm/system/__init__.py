"""Access to the operating system and the hardware: files, locks, memory and BLAS.

This package must not depend on networks or text.
"""
