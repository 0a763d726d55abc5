"""Baselines: what models without a network make of a text, so that a figure can be placed.

This folder counts n-grams and runs compressors on the ids of texts. It must not know networks,
checkpoints or training runs; `charlm.training.baselines` compares it with a trained model.
"""
