"""From files to ids: reading, vocabulary, the encoded corpus and its cache, batches.

This package must not depend on networks.
"""
