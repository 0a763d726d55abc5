"""Molecules as SMILES: how many of 1,000 samples are valid, unique and new.

valid: RDKit parses the sample, and it is not empty. unique: the share of distinct molecules among
the valid ones. new: the share of the distinct valid ones that are not in the data. Molecules are
compared by RDKit's canonical SMILES. These are the definitions of MOSES (Polykovskiy et al. 2020),
whose figures stand beside ours but not for the same task: its models were trained on 1.6 million
molecules of ZINC on a GPU; its validity is of 30,000 samples, its uniqueness of the first 1,000 and
10,000 of them.

RDKit is part of the extra `bench`.
"""

from collections.abc import Sequence

from benchmarks import harness
from benchmarks.fields.common import lines, parse, parser, samples, share, train
from benchmarks.harness import Session

SAMPLES, LONGEST = 1000, 200
PUBLISHED = (
    ("MOSES: CharRNN", "ZINC, GPU", "0.975", "1.000 (0.999 of 10,000)", "0.842"),
    ("MOSES: n-gram", "ZINC", "0.238", "0.974 (0.922 of 10,000)", "0.969"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the field."""
    options = parse(parser(__doc__, seq_len=64, batch_size=64), argv)
    try:
        from rdkit import Chem, RDLogger, rdBase
    except ImportError as error:
        raise SystemExit(f"{error}; run: pip install rdkit") from error
    RDLogger.DisableLog("rdApp.*")

    def canonical(smiles: str) -> str:
        """The canonical SMILES; empty for what is no molecule."""
        molecule = Chem.MolFromSmiles(smiles)
        return Chem.MolToSmiles(molecule) if molecule is not None else ""

    with Session("fields-molecules", options) as session:
        session.facts["rdkit"] = rdBase.rdkitVersion
        molecules = lines(options.data)
        model = train(molecules, session)
        drawn = [d.text for d in samples(model, SAMPLES, LONGEST, options.random_seed)]
        valid = [smiles for smiles in map(canonical, drawn) if smiles]
        known = set(map(canonical, molecules))
        rows = [
            (
                "charlm",
                options.data.name,
                share(len(valid), SAMPLES),
                share(len(set(valid)), len(valid)),
                share(len(set(valid) - known), len(set(valid))),
            ),
            *PUBLISHED,
        ]
        columns = ["model", "data", "valid", "unique", "new"]
        harness.table(f"{len(molecules):,} molecules, {SAMPLES:,} samples", columns, rows)
        session.finish([dict(zip(columns, row, strict=True)) for row in rows])
