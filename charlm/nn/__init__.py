"""The network: cells, layers, the output layer, the loss, parameters and optimizers.

It computes with ids and arrays. It knows nothing of text, files, processes or training runs.
"""
