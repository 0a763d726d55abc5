"""Folk tunes in ABC notation: the bits of held-out tunes, and how many samples are ABC.

A tune is what stands between empty lines, as with `--separator '\\n\\n'`. A tenth is held out. A
sample is accepted if `abc_check` finds no fault in it; real tunes have some, so the share of the
held-out tunes is the figure to compare with.
"""

from collections.abc import Sequence

from benchmarks import harness
from benchmarks.fields.abc_check import fault
from benchmarks.fields.common import parse, parser, samples, share, split, train
from benchmarks.harness import Session
from charlm.text.config import TextConfig
from charlm.text.documents import documents_of

SAMPLES, LONGEST = 200, 3000
SEPARATED = TextConfig(separator="\n\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the field."""
    own = parser(__doc__, seq_len=128, dropout=0.2, layers=2)
    own.add_argument("--show", action="store_true", help="print the first sample of each kind")
    options = parse(own, argv)
    with Session("fields-tunes", options) as session:
        text = options.data.read_text(encoding="utf-8")
        groups = documents_of([text], SEPARATED, options.data.name)
        tunes = list(dict.fromkeys(tune for group in groups for tune in group if tune))
        known, test = split(tunes, len(tunes) // 10, options.random_seed)
        model = train(known, session)
        total = model.score(test).total
        drawn = samples(model, SAMPLES, LONGEST, options.random_seed)
        sampled = [document.text for document in drawn]
        rows = [
            (
                "held out",
                len(test),
                f"{total.bits_per_char:.4f}",
                f"{total.bits_per_char * total.characters / total.documents:.1f}",
                "",
                share(sum(not fault(tune) for tune in test), len(test)),
                "",
            ),
            (
                "sampled",
                SAMPLES,
                "",
                "",
                share(sum(document.ended for document in drawn), SAMPLES),
                share(sum(not fault(tune) for tune in sampled), SAMPLES),
                share(len(set(sampled) - set(known)), SAMPLES),
            ),
        ]
        columns = ["tunes", "number", "bits per character", "bits per tune", "ended", "accepted"]
        columns += ["unique and new"]
        harness.table(f"Trained on {len(known):,} tunes", columns, rows)
        accepted = share(sum(not fault(tune) for tune in tunes), len(tunes))
        session.facts["check"] = f"accepts {accepted} of all {len(tunes):,} tunes of the data"
        if options.show:
            _show(sampled)
        session.finish([dict(zip(columns, row, strict=True)) for row in rows])


def _show(sampled: Sequence[str]) -> None:
    """Print the first sample that is accepted and the first that is not, with its fault."""
    for is_accepted in (True, False):
        tune = next((tune for tune in sampled if (not fault(tune)) == is_accepted), "")
        print(f"\n{fault(tune) or 'accepted'}:\n\n{tune}")
