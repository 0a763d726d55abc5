"""Inference with a trained network: scoring, sampling, filling, proofreading, classification.

It does not depend on training or checkpoints.
"""
