"""Published tables, remade: the figures of books and of other programs, beside those of charlm.

    python -m benchmarks.reproduce --data texts/
    python -m benchmarks.reproduce names --data texts/ --random-seeds 0 1 2
    python -m benchmarks.reproduce names --data texts/ --quick

`--data` is a folder with the texts, which are not in this repository; docs/reproduce.md says where
they are from and has the tables.
"""
