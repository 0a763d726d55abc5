"""Benchmarks of charlm against PyTorch, JAX and the hardware limit; see README.md here."""
