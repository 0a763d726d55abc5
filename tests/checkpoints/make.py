"""Write a checkpoint of an older format with the charlm that wrote it, and print what it scores.

How the fixtures beside this file were made, each from the code of the commit that is named:

    mkdir old && git archive COMMIT | tar x -C old
    PYTHONPATH=old python tests/checkpoints/make.py FILE [MIN_COUNT]

    format-1.npz                c2e6a4c, the last code to write format 1
    format-1-signs.npz          c2e6a4c, with a MIN_COUNT of 20
    format-2-signs.npz          697fabe, the last code to write format 2, with a MIN_COUNT of 20
    format-3-min-count.npz      e8efd1c, the last code to write format 3, with a MIN_COUNT of 20
    format-1-before-signs.npz   ca9653a^, which knew no sign for unknown characters

Each is the `last.npz` of a run after 8 of its 16 steps. tests/faults/test_versions.py has the
perplexities that were printed.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import charlm

TEXT = "the cat sat on the mat.\n" * 12
SCORED = "the mat sat on the bat.\n"


def main(target: Path, **options: int) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def keep(record: object) -> None:
            if getattr(record, "step", 0) == 9:  # the run was saved after step 8
                shutil.copy(Path(folder, "last.npz"), target)

        charlm.train(
            TEXT,
            charlm.ModelConfig(cell="lstm", hidden=4),
            charlm.TrainConfig(seq_len=5, batch_size=4, eval_every=8, lr=0.1, **options),
            charlm.Budget(steps=16),
            out=folder,
            on_record=keep,
            threads=1,
        )
    print(f"{target.name}: perplexity {charlm.load(target).perplexity(SCORED)!r}")


if __name__ == "__main__":
    path, *min_count = sys.argv[1:]
    main(Path(path), **({"min_count": int(min_count[0])} if min_count else {}))
