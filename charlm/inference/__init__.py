"""What a trained network computes: scores, samples, fillings, corrections, classes.

It takes a network with its weights. It knows nothing of training or of checkpoints.
"""
