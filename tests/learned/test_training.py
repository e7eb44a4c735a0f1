"""Training of the network: the same network as without PyTorch, its pieces, its rate, and going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nlmeans import formula  # noqa: E402
from nlmeans.backends.contract import Run  # noqa: E402
from nlmeans.learned.network import Denoiser  # noqa: E402
from nlmeans.learned.training import Pieces, Recipe, Trainer, smaller  # noqa: E402
from nlmeans.network.arithmetic import Network  # noqa: E402

TINY = Recipe(steps=40, warm=2, batch=2, crop=32, pieces=2, first=2, fresh=0.0, half=False)


def pieces(recipe: Recipe = TINY, seed: int = 0) -> Pieces:
    picture = np.random.default_rng(1).integers(0, 255, (170, 180, 3), dtype=np.uint8)
    return Pieces([picture], recipe, np.random.default_rng(seed))


def trainer(recipe: Recipe = TINY, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    return Trainer(Denoiser(8, 1), pieces(recipe, seed), recipe)


def arrays(network: Denoiser) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("shape", [(40, 52), (31, 47), (1, 1)])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("guided", [False, True])
def test_torch_and_numpy_are_one_network(shape: tuple[int, int], mapped: bool, guided: bool) -> None:
    network = Denoiser(8, 2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    rng = np.random.default_rng(0)
    noisy, pilot = rng.normal(size=(2, *shape)).astype(np.float32)
    sigma = rng.uniform(0.1, 0.5, shape).astype(np.float32) if mapped else np.full(shape, 0.3, np.float32)
    sigma.flat[0] = 0
    guide = rng.normal(size=(2, *shape)).astype(np.float32) if guided else None
    with torch.no_grad():
        planes = (torch.from_numpy(a)[None, None] for a in (noisy, pilot, sigma))
        change = network(*planes, None if guide is None else torch.from_numpy(guide)[None])[0, 0].numpy()
    plain = Network(arrays(network), turned=False)
    led = None if guide is None else (guide[0], guide[1])
    np.testing.assert_allclose(plain.change(noisy, pilot, sigma, Run(), led), change, atol=1e-5)
    assert plain.reach == network.reach


def test_it_begins_as_no_change_with_and_without_blocks() -> None:
    for blocks in ((), (1,)):
        noisy = torch.randn(1, 1, 24, 20)
        assert not Denoiser(8, 2, blocks)(noisy, noisy + 0.1, torch.tensor(0.2)).any()


def test_making_a_picture_smaller_keeps_means() -> None:
    grey = np.random.default_rng(0).random((24, 24)).astype(np.float32)
    means = grey.reshape(8, 3, 8, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(smaller(grey, 8), means, atol=1e-6)
    np.testing.assert_allclose(smaller(grey, 24), grey, atol=1e-6)
    np.testing.assert_array_equal(smaller(np.stack([grey, 1 - grey]), 17)[0], smaller(grey, 17))
    assert smaller(grey, 17).mean() == pytest.approx(grey.mean(), abs=1e-6)


def test_pieces_are_noisy_pictures_with_their_pilots() -> None:
    held = pieces(replace(TINY, batch=6, crop=64, colours=0.0))
    held.add(), held.add()
    noisy, pilot, clean, sigma, guide = held.batch()
    assert guide.shape == (6, 2, 64, 64)
    assert not guide.any()
    assert noisy.shape == pilot.shape == clean.shape == (6, 1, 64, 64)
    spread = ((noisy - clean) / sigma).std(dim=(1, 2, 3))
    assert ((spread > 0.9) & (spread < 1.1)).all()
    assert ((pilot - clean).std(dim=(1, 2, 3)) < (noisy - clean).std(dim=(1, 2, 3))).all()
    held.add()
    assert len(held.held) == 2  # the oldest gives way


def test_of_a_square_in_colours_the_luminance_and_both_differences_are_pieces() -> None:
    held = pieces(replace(TINY, pieces=9, colours=1.0))
    assert held.add() == len(held.held) == 3
    light, ends, middle = (piece.clean.astype(np.float32) for piece in held.held)
    channels = formula.from_opponent(np.stack([light, ends, middle]), np)
    assert channels.min() > -0.01
    assert channels.max() < 1.01
    assert light.min() > 0 > ends.min()
    for piece in held.held:
        assert piece.noise.astype(np.float32).std() == pytest.approx(1, abs=0.1)
        assert np.std((piece.pilot - piece.clean).astype(np.float32)) < piece.sigma
    assert [piece.guide for piece in held.held] == [None, held.held[0], held.held[0]]


def test_the_guide_of_a_difference_is_the_luminance_at_the_same_place_turned_alike() -> None:
    held = pieces(replace(TINY, batch=30, crop=64, colours=1.0))
    held.add()
    light = held.held[0]
    held.held = [replace(light, guide=light)]
    noisy, pilot, _, _, guide = held.batch()
    np.testing.assert_array_equal(guide.numpy(), torch.cat([noisy, pilot], 1).numpy())


def test_patterns_take_the_place_of_pictures() -> None:
    held = pieces(replace(TINY, colours=1.0, patterns=1.0))
    held.pattern = lambda rng, side: np.full((3, side, side), 0.5, np.float32)
    held.add()
    assert {float(np.ptp(piece.clean)) for piece in held.held} == {0.0}


def test_pieces_in_colours_and_grey_take_turns_by_their_part() -> None:
    held = pieces(replace(TINY, pieces=99))
    made = [held.add() for _ in range(16)]
    assert set(made) == {1, 3}
    assert len(held.held) == sum(made)


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=1000, falling=0.4, rate=1e-3, warm=100)
    rates = [recipe.rate_at(s) for s in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[300] == 1e-3
    assert rates[800] == pytest.approx(5e-4)
    assert rates[999] < 2e-5


def test_steps_lessen_the_loss_and_move_the_average() -> None:
    """Of one batch, which comes again and again."""
    one = trainer()
    one.advance()
    batch = one.pieces.batch()
    one.pieces.batch = lambda: batch  # type: ignore[method-assign]
    losses = [one.advance() for _ in range(10)]
    assert losses[-1] < 0.999 * losses[0]
    now, average = arrays(one.network), arrays(one.averaged())
    assert any(np.abs(now[n] - average[n]).max() > 0 for n in now)


def test_the_same_seed_gives_the_same_and_weights_go_on() -> None:
    one, two = trainer(), trainer()
    for _ in range(3):
        assert one.advance() == two.advance()
    other = trainer(seed=5)
    other.restore(one.averaged().state_dict(), one.step)
    for name, array in arrays(one.averaged()).items():
        np.testing.assert_array_equal(arrays(other.averaged())[name], array)
        np.testing.assert_array_equal(arrays(other.network)[name], array)
    assert other.step == 3
