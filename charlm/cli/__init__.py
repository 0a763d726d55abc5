"""The command line: each command parses its options, calls the library and renders the result.

Only this folder prints. It loads NumPy and the library inside the commands, so that
`charlm --help` starts fast.
"""
