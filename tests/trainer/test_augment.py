"""Rows shown a little otherwise in each epoch: how often, how, and what of them never changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from monitor.scoring.network import Network
from monitor.scoring.preparation import Preparer
from tests.trainer.conftest import recipe
from trainer.augment import Augmenter
from trainer.batches import Lessons
from trainer.config import AugmentRecipe, FitRecipe
from trainer.data import TRAIN, Data, Row
from trainer.methods import Full, HeadOnly
from trainer.network import build, open_base

ALWAYS = 1 - 1e-9
MIXED = "Acme Bank gains as Bolt slumps, says Acme Bank"


def row(text: str, *spans: tuple[int, int], label: str = "negative") -> Row:
    return Row(
        text=text,
        entity=text[slice(*spans[0])] if spans else None,
        spans=spans,
        labels={"sentiment": (label,)},
        soft={},
        split=TRAIN,
        weight=1.0,
        group=text,
        source="rows.jsonl",
        extra={},
    )


ACME, BOLT = row(MIXED, (0, 9), (37, 46), label="positive"), row(MIXED, (19, 23))


def shown(*rows: Row, **how: float) -> list[Row]:
    return Augmenter(rows, AugmentRecipe(**how)).epoch(Random(1))


def named(found: Row) -> set[str]:
    return {found.text[start:stop] for start, stop in found.spans}


def test_by_default_every_row_is_shown_as_it_is() -> None:
    rows = [ACME, BOLT, row("$ACME falls")]
    assert all(new is old for new, old in zip(shown(*rows), rows, strict=True))


def test_about_the_asked_share_of_rows_is_changed_and_others_are_the_rows_themselves() -> None:
    rows = [row(f"Markets were calm on day {n}") for n in range(2000)]
    found = shown(*rows, typos=0.25)
    assert 0.2 < sum(new is not old for new, old in zip(found, rows, strict=True)) / 2000 < 0.3


def test_each_epoch_draws_anew_and_a_seed_says_all() -> None:
    augmenter = Augmenter([ACME, BOLT], AugmentRecipe(swap=ALWAYS))
    chance = Random(1)
    assert augmenter.epoch(chance) != augmenter.epoch(chance)
    assert augmenter.epoch(Random(2)) == augmenter.epoch(Random(2))


@pytest.mark.parametrize("how", ["swap", "case", "noise", "typos"])
def test_nothing_but_the_text_and_where_its_company_stands_changes(how: str) -> None:
    for old, new in zip((ACME, BOLT), shown(ACME, BOLT, **{how: ALWAYS}), strict=True):
        assert new.text != old.text
        assert new.entity in named(new)
        assert replace(new, text=old.text, entity=old.entity, spans=old.spans) == old


def test_every_company_that_rows_name_in_a_text_gets_a_name_of_its_own() -> None:
    first, second = shown(ACME, BOLT, swap=ALWAYS)
    for found in (first, second):
        assert "Acme" not in found.text
        assert "Bolt" not in found.text
        assert len(named(found)) == 1
    assert first.text.startswith(f"{first.entity} gains as ")
    assert f" gains as {second.entity} slumps, says " in second.text


def test_a_company_within_another_s_name_is_left_to_it() -> None:
    inner = row("Acme Bank falls", (0, 4))
    _, found = shown(inner, row("Acme Bank falls", (0, 9)), swap=ALWAYS)
    assert found.text == f"{found.entity} falls"


def test_the_only_cashtag_of_a_text_is_its_company() -> None:
    one, two, none = shown(
        row("$ACME falls, $acme sinks on $3bn"), row("$ACME and $BOLT fall"), row("Acme falls"), cashtags=ALWAYS
    )
    assert (one.entity, one.spans) == ("$ACME", ((0, 5), (13, 18)))
    assert two.spans == none.spans == ()


def test_a_marked_cashtag_is_swapped_like_any_company() -> None:
    (found,) = shown(row("$ACME falls"), cashtags=ALWAYS, swap=ALWAYS)
    assert found.text == f"{found.entity} falls"
    assert str(found.entity).startswith("$")
    assert found.entity != "$ACME"


LABELS = {"sentiment": ("negative", "positive")}


def fresh(base: Path) -> tuple[Network, Preparer]:
    opened = open_base("path:base", base)
    return build(opened, LABELS, dropout=0.5), opened.preparer(recipe(Path("rows.jsonl"), base))


def test_an_epoch_shows_the_changed_text_and_the_next_another(base: Path) -> None:
    rows = [row(f"acme falls after strike {'x' * (n % 4 + 1)}", (0, 4)) for n in range(40)]
    data = Data(rows=rows, labels=LABELS, sha256={})
    network, preparer = fresh(base)
    for how, changed in ((AugmentRecipe(), False), (AugmentRecipe(swap=0.5), True)):
        lessons = Lessons(data, Full(network, "fp32"), preparer, FitRecipe(batch=40, unmarked=0.5, augment=how))
        epochs = [sorted(e.ids for step in lessons.epoch(n) for batch in step for e in batch.seen) for n in (1, 2)]
        marked = sum(preparer.prepare([("acme", [(0, 4)])])[0].ids[1] in ids for ids in epochs[0])
        known = {tuple(each.ids) for r in rows for each in preparer.prepare([(r.text, r.spans), (r.text, ())])}
        assert any(tuple(ids) not in known for ids in epochs[0]) == changed
        assert epochs[0] != epochs[1]
        assert 5 < marked < 35


def test_the_heads_alone_go_on_learning_with_dropout_while_changed_texts_are_read(base: Path) -> None:
    network, preparer = fresh(base)
    method = HeadOnly(network, FitRecipe(method="head", precision="fp32"))
    network.train()
    method.look(preparer.prepare([("acme falls", ())]))
    assert network.training
