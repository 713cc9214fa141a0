from __future__ import annotations

from pathlib import Path

import pytest

from trainer.config import FitRecipe
from trainer.network import build, open_base
from trainer.schedule import depth, optimiser, share


@pytest.mark.parametrize(("schedule", "half"), [("linear", 0.5), ("cosine", 0.5)])
def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing(schedule: str, half: float) -> None:
    how = FitRecipe.model_validate({"schedule": schedule, "warmup": 0.2})
    shares = [share(step, 100, how) for step in range(101)]
    assert shares[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert max(shares) == 1.0
    assert shares[60] == pytest.approx(half)
    assert shares[100] == pytest.approx(0.0)
    assert shares[20:] == sorted(shares[20:], reverse=True)


def test_a_cosine_stays_high_longer_and_ends_more_gently_than_a_line() -> None:
    line, cosine = (FitRecipe.model_validate({"schedule": name, "warmup": 0.0}) for name in ("linear", "cosine"))
    assert share(20, 100, cosine) > share(20, 100, line)
    assert share(90, 100, cosine) < share(90, 100, line)


def test_each_layer_learns_slower_than_the_one_above_it(base: Path) -> None:
    network = build(open_base("path:x", base), {"sentiment": ("a", "b")}, 0.1)
    how = FitRecipe(rate=1.0, layer_decay=0.5, freeze_words=False)
    groups = optimiser(network, how).param_groups
    peaks = {id(weight): group["peak"] for group in groups for weight in group["params"]}
    found = {name: peaks[id(weight)] for name, weight in network.named_parameters()}
    assert found["heads.sentiment.4.weight"] == 1.0
    assert found["encoder.layers.1.up.weight"] == 0.5
    assert found["encoder.layers.0.qkv.bias"] == 0.25
    assert found["encoder.words.weight"] == found["encoder.norm.bias"] == 0.125
    assert {group["peak"] for group in optimiser(network, FitRecipe(rate=1.0)).param_groups} == {1.0}


def test_an_adapter_lies_as_deep_as_its_layer() -> None:
    assert depth("encoder.layers.3.qkv.lora_A.fit.weight", 6) == 3
