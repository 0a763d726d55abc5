"""The network: cells, layers, the output layer, the loss, parameters and optimizers.

It computes with ids and arrays. It does not depend on text, files, processes or training runs.
"""
