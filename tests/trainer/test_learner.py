from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from monitor.errors import ConfigurationError
from monitor.scoring.network import Network
from tests.trainer.conftest import headlines, recipe
from trainer.adversary import Adversary
from trainer.batches import Lessons
from trainer.config import FitRecipe, HeadRecipe, Recipe
from trainer.data import load
from trainer.fit import fit
from trainer.learner import Learner
from trainer.methods import Full
from trainer.network import Targets, balance, build, loss, open_base, targets

Write = Callable[..., Path]


def first_steps(asked: Recipe, base: Path, **settings: object) -> tuple[Network, list[float]]:
    """Take three steps, and return the network with its losses."""
    asked = asked.model_copy(update={"fit": asked.fit.model_copy(update=settings)})
    data, _ = load(asked, Path())
    opened = open_base(asked.base, base)
    torch.manual_seed(1)
    network = build(opened, data.labels, asked.fit.dropout)
    network.encoder.words.weight.requires_grad = False
    method = Full(network, asked.fit.precision)
    lessons = Lessons(data, method, opened.preparer(asked), asked.fit)
    learner = Learner(method, asked, 3, {})
    steps = lessons.epoch(1)
    return network, [learner.learn(next(steps))[0] for _ in range(3)]


def answers(network: Network, head: str) -> Tensor:
    """Return the head's last weights."""
    weight: Tensor = network.state_dict()[f"heads.{head}.4.weight"]
    return weight


def test_two_batches_of_a_step_teach_what_one_of_twice_the_size_does(base: Path, write_rows: Write) -> None:
    asked = recipe(write_rows(*headlines(80, seed=5)), base)
    one, losses = first_steps(asked, base, batch=16)
    two, others = first_steps(asked, base, batch=8, accumulate=2)
    assert others == pytest.approx(losses, abs=1e-5)
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)


def test_an_adversary_moves_each_text_by_its_length_to_where_the_loss_is_higher(base: Path) -> None:
    torch.manual_seed(1)
    network = build(open_base("path:x", base), {"sentiment": ("a", "b")}, 0.0)
    network.encoder.words.weight.requires_grad = False
    ids, pool = torch.randint(8, 30, (4, 8)), torch.full((4, 2, 8), 1 / 8)
    read: list[Tensor] = []
    network.encoder.words.register_forward_hook(lambda _module, _given, result: read.append(result.detach()))

    def lost() -> Tensor:
        return torch.nn.functional.cross_entropy(network(ids, pool)["sentiment"], torch.tensor([0, 1, 0, 1]))

    adversary = Adversary(network.encoder.words, 0.5)
    with adversary.watching():
        before = lost()
        before.backward()  # type: ignore[no-untyped-call]
    moved: list[Tensor] = []
    with adversary.attacking():
        last = network.encoder.words.register_forward_hook(
            lambda _module, _given, result: moved.append(result.detach())
        )
        after = lost()
        last.remove()
    assert after.item() > before.item()
    assert (moved[0] - read[0]).flatten(1).norm(dim=1) == pytest.approx([0.5] * 4, abs=1e-4)
    assert torch.equal(lost(), before)


def test_a_step_against_an_adversary_learns_something_else(base: Path, write_rows: Write) -> None:
    asked = recipe(write_rows(*headlines(80, seed=5)), base)
    plain, losses = first_steps(asked, base)
    hardened, others = first_steps(asked, base, adversarial=0.5)
    assert others[0] == pytest.approx(losses[0])  # what is told is the loss on the texts as they are
    assert not torch.equal(answers(plain, "sentiment"), answers(hardened, "sentiment"))
    assert torch.equal(plain.encoder.words.weight, hardened.encoder.words.weight)


def test_an_adversary_needs_an_encoder_that_reads_anew() -> None:
    with pytest.raises(ValidationError, match="adversarial moves what the encoder reads"):
        FitRecipe(method="head", adversarial=0.1)


def of_labels(*labels: int, among: int = 2) -> Targets:
    wanted = torch.nn.functional.one_hot(torch.tensor(labels), among).float()
    return Targets(torch.arange(len(labels)), wanted, torch.ones(len(labels)))


def test_balanced_labels_weigh_by_how_rare_they_are_and_a_row_by_one_in_the_mean() -> None:
    wanted = {"sentiment": of_labels(*[0] * 90, *[1] * 10, among=3)}
    whole = balance(wanted, {"sentiment": HeadRecipe(balance=1.0)})["sentiment"]
    half = balance(wanted, {"sentiment": HeadRecipe(balance=0.5)})["sentiment"]
    assert whole[1] / whole[0] == pytest.approx(9.0)
    assert half[1] / half[0] == pytest.approx(3.0)
    assert [0.9 * float(each[0]) + 0.1 * float(each[1]) for each in (whole, half)] == pytest.approx([1.0, 1.0])
    assert float(whole[2]) == 1.0
    assert balance(wanted, {"sentiment": HeadRecipe()}) == {}


def test_a_rare_label_s_mistake_costs_more_where_labels_are_balanced() -> None:
    heads = {"single": HeadRecipe(balance=1.0), "multi": HeadRecipe(kind="multi", balance=1.0)}
    wanted = dict.fromkeys(heads, of_labels(0, 0, 0, 1))
    balanced = balance(wanted, heads)
    rare = {name: Targets(torch.tensor([0]), torch.tensor([[0.0, 1.0]]), torch.ones(1)) for name in heads}
    logits = dict.fromkeys(heads, torch.tensor([[1.0, -1.0]]))
    for name in heads:
        plain, heavy = (float(loss(logits, {name: rare[name]}, heads, balanced=each)) for each in ({}, balanced))
        assert heavy > 1.5 * plain


def test_a_fit_balances_its_heads_by_its_training_rows(base: Path, write_rows: Write, tmp_path: Path) -> None:
    asked = recipe(write_rows(*headlines(80, seed=5)), base, epochs=1)
    heads = {name: head.model_copy(update={"balance": 1.0}) for name, head in asked.heads.items()}
    data, _ = load(asked, Path())
    plain, balanced = (
        fit(each, data, open_base(asked.base, base), tmp_path / name, lambda _: None)
        for name, each in (("plain", asked), ("balanced", asked.model_copy(update={"heads": heads})))
    )
    assert not torch.equal(answers(plain, "topic"), answers(balanced, "topic"))
    assert set(balance(targets(data.rows, data.labels), heads)) == {"sentiment", "topic"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU takes fp16")
def test_fp16_is_refused_without_a_gpu(base: Path, write_rows: Write, tmp_path: Path) -> None:
    asked = recipe(write_rows(*headlines(60, seed=5)), base)
    asked = asked.model_copy(update={"fit": asked.fit.model_copy(update={"precision": "fp16"})})
    data, _ = load(asked, Path())
    with pytest.raises(ConfigurationError, match="found fp16, which needs a GPU; on a CPU expected bf16 or fp32"):
        fit(asked, data, open_base(asked.base, base), tmp_path / "out", lambda _: None)
