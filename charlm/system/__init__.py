"""Access to the operating system and the hardware: files, locks, memory and BLAS.

This package must not know about networks or text.
"""
