"""From files to ids: reading, the vocabulary, the encoded corpus and its cache, streams.

It knows nothing of networks.
"""
