"""Inference with a trained network: scoring, sampling, filling, proofreading, classification.

It must not know training or checkpoints.
"""
