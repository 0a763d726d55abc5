"""The reported perplexity is right: on text whose entropy is known, training reaches it.

No model can on average do better than the source's own probabilities, and one that has learned
the source comes close to them. Both are measured on the same held-out text.
"""

import numpy as np
import pytest

import charlm
from charlm import Budget, ModelConfig, TrainConfig
from corpora.sources import IndependentSource, MarkovSource

SOURCES = {
    "independent": IndependentSource("abcdefg\n", [0.4, 0.2, 0.15, 0.1, 0.06, 0.05, 0.03, 0.01]),
    "markov": MarkovSource.random("abcde", 2, np.random.default_rng(3), concentration=0.3),
}


@pytest.mark.parametrize(("name", "steps"), [("independent", 120), ("markov", 400)])
def test_held_out_bits_reach_the_sources_own(name: str, steps: int) -> None:
    source = SOURCES[name]
    text = source.generate(120_000, np.random.default_rng(0))
    model = charlm.train(
        text, ModelConfig(hidden=48), TrainConfig(batch_size=32), Budget(steps=steps)
    )
    unseen = source.generate(40_000, np.random.default_rng(1))
    got = model.score(unseen)
    own = source.nats(unseen)
    expected = own.mean()
    sampling_error = own.std() / np.sqrt(own.size)
    assert got.nats_per_char < 1.02 * expected
    assert got.nats_per_char > expected - 4 * sampling_error
    assert got.characters == len(unseen) - 1
