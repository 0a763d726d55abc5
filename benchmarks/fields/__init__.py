"""What models of documents are used for, tried on the data of five fields.

    python -m benchmarks.fields names --data names.txt --minutes 10
    python -m benchmarks.fields molecules --data smiles.txt
    python -m benchmarks.fields domains --data domains/
    python -m benchmarks.fields reading-times --data natural-stories/ --text prose.txt
    python -m benchmarks.fields tunes --data nottingham.abc

Each trains a model with the library, prints a table in Markdown with the settings, the processor,
the date and the commit, and writes the same as JSON. docs/fields.md says what the data are, where
they come from, and what the figures mean.
"""
