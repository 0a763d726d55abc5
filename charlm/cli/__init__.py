"""The command line: one file a command, each of which parses, calls the library and renders.

It is the only folder that prints, and it computes nothing itself.
"""
