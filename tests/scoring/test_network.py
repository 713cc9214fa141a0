from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from monitor.scoring.network import attention


def parts(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The same query, key and value each time."""
    chance = torch.Generator().manual_seed(1)
    query, key, value = (
        torch.randn(3, 2, 10, 8, generator=chance).bfloat16().to(dtype).requires_grad_() for _ in range(3)
    )
    return query, key, value


@pytest.mark.parametrize("masked", [False, True])
def test_attention_written_out_for_learning_is_torch_s_own(masked: bool) -> None:
    seen = torch.ones(3, 1, 1, 10, dtype=torch.bool)
    seen[1, :, :, 6:] = False
    mask = seen if masked else None
    ours, own = parts(torch.bfloat16), parts(torch.float32)
    found = attention(*ours, mask)
    expected = functional.scaled_dot_product_attention(*own, mask)
    assert torch.allclose(found.float(), expected, atol=0.03)
    for result in (found, expected):
        result.float().square().sum().backward()  # type: ignore[no-untyped-call]
    for mine, other in zip(ours, own, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert torch.allclose(mine.grad.float(), other.grad, atol=0.1)


def test_learning_in_bf16_on_a_cpu_never_meets_the_slow_kernel() -> None:
    learned = attention(*parts(torch.bfloat16), None)
    assert learned.grad_fn is not None
    assert "ScaledDotProduct" not in learned.grad_fn.name()
