"""Products of one member: the call without a batch around it where that has the same bits, else the batched one."""

import pytest
import torch

from nnlab.core.learners.stack import products
from nnlab.core.learners.stack.products import as_batched, product

SHAPES = [(229, 20, 128), (256, 128, 64), (37, 20, 32), (64, 64, 16), (1000, 32, 96), (4, 10, 10), (2, 128, 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_one_member_have_the_bits_that_they_have_among_others(shape, dtype, turned):
    rows, n_in, n_out = shape
    if not as_batched(rows, n_in, n_out, torch.zeros(0, dtype=dtype)):
        pytest.skip("this library of products gives other bits, so none is taken out of its batch")
    draw = torch.Generator().manual_seed(1)
    x, dz, w = (torch.randn(5, *s, generator=draw, dtype=dtype) for s in ((rows, n_in), (rows, n_out), (n_out, n_in)))
    w = w.mT.contiguous().mT if turned else w
    b = torch.randn(5, 1, n_out, generator=draw, dtype=dtype)
    for first, second, like, more in ((x, w.mT, dz, b), (dz.mT, x, w, None), (dz, w, x, None)):
        every = torch.empty_like(like)
        product(first, second, every, 1.0, more)()
        for k in range(5):
            own = torch.empty_like(like[k])
            product(first[k], second[k], own, 1.0, None if more is None else more[k])()
            assert torch.equal(own, every[k])


def test_one_product_of_other_bits_in_the_trial_leaves_all_in_their_batch(monkeypatch):
    like = torch.zeros(0, dtype=torch.float16)  # not tried yet
    monkeypatch.setattr(products, "_alike", lambda a, *_: a.shape[-1] != 64)
    products._tried.cache_clear()
    try:
        assert not as_batched(256, 128, 64, like)
    finally:
        products._tried.cache_clear()


@pytest.mark.parametrize("shape", [(4096, 512, 512), (4, 8, 8), (1, 128, 64)], ids=str)
def test_large_and_very_small_products_and_vectors_stay_in_their_batch(shape):
    assert not as_batched(*shape, torch.zeros(0))
