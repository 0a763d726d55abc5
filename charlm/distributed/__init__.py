"""The processes that share one training step, and the order in which their gradients are summed.

It knows networks and batches, and nothing of training runs or files.
"""
