"""Data parallelism: worker processes, MPI process groups, and gradient sums in a fixed order.

This folder depends on networks and batches. It does not depend on training runs or their files.
"""
