"""What stands between charlm and the machine.

Files, locks, memory, BLAS and the rounding of numbers. It knows nothing of networks or text.
"""
