"""Benchmarks of charlm against PyTorch, JAX and the machine: see README.md in this folder."""
