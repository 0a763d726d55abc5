"""Training a model: the trainer, the loop, checkpoints and the run directory.

It yields events and prints nothing.
"""
