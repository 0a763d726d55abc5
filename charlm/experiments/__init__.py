"""Reproducible experiments on common claims about recurrent networks.

    python -m charlm.experiments memory      # print one table, and save it with a picture

Each module has a function `run(quick)` that returns a `Report`; `quick` is the small version that
the tests run.
"""
