"""What is said of recurrent networks, as experiments that anyone can run again.

python -m charlm.experiments memory      # one of them: a table, and a picture beside it

Each is a module with a function `run(quick)`, which returns a `Report`; `quick` is the smaller
version that the tests run.
"""
