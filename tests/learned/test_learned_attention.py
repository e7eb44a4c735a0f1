"""Attention rows and their statistics: closed forms, planted collapse, frames, and what blocks do."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

import nlmeans
from nlmeans.attention.independence import Independence, chosen_queries, measure, measured
from nlmeans.attention.statistics import (
    cosine_distance,
    entropy,
    jensen_shannon,
    mutual_information,
    relative,
    self_weight,
)
from nlmeans.errors import InvalidTypeError, InvalidValueError, MemoryLimitError

RANDOM = np.random.default_rng(0)


def distributions(n, keys, sharpness=1.0):
    rows = np.exp(sharpness * RANDOM.normal(size=(n, keys)))
    return rows / rows.sum(-1, keepdims=True)


# --- single statistics ---------------------------------------------------------------------------


def test_the_closed_form_of_the_cosine_distance_is_the_mean_over_all_pairs():
    for vectors in (RANDOM.normal(size=(17, 5)), distributions(17, 30), RANDOM.normal(2, 1, size=(17, 5))):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        pairs = np.array([[(1 - a @ b) / 2 for a in unit] for b in unit])
        assert cosine_distance(vectors) == pytest.approx(pairs.mean(), rel=1e-12)
        assert cosine_distance(vectors, distinct=True) == pytest.approx(pairs.sum() / (17 * 16), rel=1e-12)


def test_constant_maps_are_at_distance_0_and_opposite_ones_at_a_half():
    rows = np.repeat(distributions(1, 40), 9, axis=0)
    assert cosine_distance(rows) == pytest.approx(0, abs=1e-15)
    assert jensen_shannon(rows) == pytest.approx(0, abs=1e-15)
    assert mutual_information(rows) == pytest.approx(0, abs=1e-15)
    assert cosine_distance([[1.0], [-1.0]]) == 0.5
    assert cosine_distance([[1.0], [-1.0]], distinct=True) == 1.0


def test_vectors_without_direction_are_left_out_and_sizes_do_not_matter():
    assert cosine_distance([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) == pytest.approx(0.25)
    assert cosine_distance([[1e-200 * 0, 0.0]] * 3) != cosine_distance([[1.0, 0.0]] * 3)
    assert math.isnan(cosine_distance(np.zeros((3, 2))))
    assert math.isnan(cosine_distance([[1.0, 0.0]], distinct=True))
    assert cosine_distance([[1e200, 0.0], [0.0, 1e-20]]) == pytest.approx(0.25)


def test_jensen_shannon_matches_its_definition_on_every_pair():
    rows = distributions(7, 12)

    def divergence(p, q):
        m = (p + q) / 2
        return (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2

    pairs = [divergence(rows[i], rows[j]) for i in range(7) for j in range(7) if i != j]
    assert jensen_shannon(rows) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_jensen_shannon_is_bounded_by_ln_2_and_sampled_near_its_mean():
    apart = np.eye(30)
    assert jensen_shannon(apart) == pytest.approx(math.log(2), rel=1e-12)
    rows = distributions(80, 50, 3.0)
    exact = jensen_shannon(rows, pairs=10**6)
    assert 0 < exact < math.log(2)
    sampled = jensen_shannon(rows, pairs=400, seed=3)
    assert sampled != exact
    assert sampled == pytest.approx(exact, rel=0.05)
    assert sampled == jensen_shannon(rows, pairs=400, seed=3)


def test_mutual_information_is_the_mean_divergence_from_the_mean_row_up_to_ln_n():
    rows = distributions(9, 20, 2.0)
    mean = rows.mean(0)
    assert mutual_information(rows) == pytest.approx((rows * np.log(rows / mean)).sum(1).mean(), rel=1e-12)
    assert mutual_information(np.eye(9)) == pytest.approx(math.log(9))


def test_perplexity_counts_the_keys_of_equal_weight():
    rows = np.zeros((2, 8))
    rows[0, :5] = 0.2
    rows[1, 3] = 1
    np.testing.assert_allclose(np.exp(entropy(rows)), [5, 1], rtol=1e-12)


def test_rows_that_are_no_distributions_have_no_divergence():
    for rows in ([[0.5, -0.5, 1.0]] * 2, [[0.5, 0.6]] * 2):
        with pytest.raises(InvalidValueError, match="distributions"):
            jensen_shannon(rows)
        with pytest.raises(InvalidValueError, match="distributions"):
            mutual_information(rows)


def test_self_weight_is_the_entry_of_the_query():
    rows = RANDOM.random((3, 4, 5))
    at = [(0, 0), (3, 4), (2, 1)]
    np.testing.assert_array_equal(self_weight(rows, at), [rows[0, 0, 0], rows[1, 3, 4], rows[2, 2, 1]])


def test_relative_offsets_are_those_from_the_query_and_0_outside():
    rows = RANDOM.random((3, 6, 5))
    at, radius = [(0, 0), (5, 4), (3, 2)], (2, 1)
    moved = relative(rows, at, radius)
    assert moved.shape == (3, 5, 3)
    for n, (y, x) in enumerate(at):
        for dy in range(-2, 3):
            for dx in range(-1, 2):
                inside = 0 <= y + dy < 6 and 0 <= x + dx < 5
                expected = rows[n, y + dy, x + dx] if inside else 0.0
                assert moved[n, dy + 2, dx + 1] == expected


def test_queries_are_all_or_a_seeded_draw_and_inside_where_windows_are_whole():
    assert chosen_queries((2, 3), 10).tolist() == [[y, x] for y in range(2) for x in range(3)]
    inner = chosen_queries((5, 6), 100, inside=(2, 2))
    assert inner.tolist() == [[2, 2], [2, 3]]
    drawn = chosen_queries((20, 20), 30, seed=1)
    assert len({tuple(q) for q in drawn.tolist()}) == 30
    assert drawn.tolist() == chosen_queries((20, 20), 30, seed=1).tolist()
    assert drawn.tolist() != chosen_queries((20, 20), 30, seed=2).tolist()
    with pytest.raises(InvalidValueError, match="whole window"):
        chosen_queries((4, 9), 3, inside=(2, 2))


# --- the measurement -----------------------------------------------------------------------------


def test_the_measurement_in_chunks_is_that_of_all_rows(monkeypatch):
    rows, x, y = distributions(60, 25, 2.0), RANDOM.normal(size=(60, 3)), RANDOM.normal(size=(60, 4))
    at = np.arange(60)[:, None]
    asked = []

    def rows_of(queries):
        asked.append(len(queries))
        return rows[queries[:, 0]]

    monkeypatch.setattr("nlmeans.attention.independence.CHUNK", 7 * 8 * 25)
    found = measured(rows_of, at, x, y, own=lambda r, q: r[np.arange(len(q)), q[:, 0] % 25], keys=25)
    assert max(asked[:-1]) == 7  # the last are those for pairs
    assert found.attention == pytest.approx(cosine_distance(rows), rel=1e-12)
    assert found.input == pytest.approx(cosine_distance(x))
    assert found.output == pytest.approx(cosine_distance(y))
    assert found.mutual_information == pytest.approx(mutual_information(rows))
    assert found.perplexity == pytest.approx(math.exp(entropy(rows).mean()))
    assert found.self_weight == pytest.approx(np.mean([rows[n, n % 25] for n in range(60)]))
    assert found.jensen_shannon == pytest.approx(jensen_shannon(rows), rel=0.05)


def test_a_planted_constant_map_is_found_collapsed_and_a_planted_query_dependent_one_is_not():
    at, x = np.arange(40)[:, None], RANDOM.normal(size=(40, 3))
    row, values = distributions(1, 40, 2.0), RANDOM.normal(size=(40, 3))
    constant = measured(lambda q: np.repeat(row, len(q), 0), at, x, np.repeat(row @ values, 40, 0))
    assert max(constant.attention, constant.output, constant.jensen_shannon) < 1e-12
    assert constant.input > 0.3
    moving = measured(lambda q: np.eye(40)[q[:, 0]], at, x, values)
    assert moving.attention == pytest.approx(0.5, abs=0.02)
    assert moving.jensen_shannon == pytest.approx(math.log(2))


def test_the_mean_over_images_keeps_what_all_have():
    one = Independence(4, 9, "position", 0.4, 0.2, 0.1, 0.3, 0.2, 5.0, 0.5)
    two = Independence(4, 9, "position", 0.2, 0.4, 0.3, None, None, None, 0.1)
    both = Independence.mean([one, two])
    assert (both.input, both.attention, both.jensen_shannon) == (pytest.approx(0.3), pytest.approx(0.2), None)
    assert both.self_weight == pytest.approx(0.3)
    with pytest.raises(InvalidValueError, match="at least one"):
        Independence.mean([])
    assert Independence(1, 1, "position", math.nan, 0, 0).to_dict()["input"] is None


# --- NL-means itself -----------------------------------------------------------------------------


def test_the_filters_rows_are_its_weights_by_offset():
    image = RANDOM.normal(size=(14, 13)).cumsum(0)
    settings = {"sigma": 0.5, "h": 1.0, "patch_radius": 1, "search_radius": 2}
    found = measure(image, queries=1000, **settings)
    at = chosen_queries((14, 13), 1000, inside=(2, 2))
    rows = relative([nlmeans.weights(image, tuple(q), **settings) for q in at.tolist()], at, (2, 2))
    assert (found.queries, found.keys, found.frame) == (90, 25, "offset")
    assert found.attention == pytest.approx(cosine_distance(rows.reshape(90, -1)), rel=1e-9)
    assert found.self_weight == pytest.approx(rows[:, 2, 2].mean())
    assert found.perplexity == pytest.approx(math.exp(entropy(rows.reshape(90, -1)).mean()))


def test_the_filter_with_a_huge_strength_collapses_and_with_a_small_one_does_not():
    image = RANDOM.normal(size=(20, 20))
    flat = measure(image, sigma=0, h=1e6, patch_radius=1, search_radius=3, center="one")
    assert flat.attention < 1e-9
    assert flat.perplexity == pytest.approx(49)
    sharp = measure(image, sigma=0, h=0.3, patch_radius=1, search_radius=3)
    assert sharp.attention > 0.1
    assert sharp.output > 0.1


def test_the_filter_takes_colour_masks_and_holes():
    image = RANDOM.normal(size=(12, 12, 3))
    mask = np.ones((12, 12), bool)
    mask[5:7, 5:7] = False
    found = measure(image, channel_axis=-1, mask=mask, sigma=1.0, patch_radius=1, search_radius=2)
    assert 0 < found.attention < 0.5
    assert found.queries == 60
    with pytest.raises(InvalidValueError, match="valid"):
        measure(image, channel_axis=-1, mask=~mask & False, sigma=1.0, patch_radius=1, search_radius=2)


def test_a_strength_of_0_and_a_picture_below_the_window_are_refused():
    with pytest.raises(InvalidValueError, match="h = 0"):
        measure(np.ones((9, 9)), h=0, patch_radius=1, search_radius=2)
    with pytest.raises(InvalidValueError, match="whole window"):
        measure(RANDOM.normal(size=(4, 9)), sigma=1.0, patch_radius=1, search_radius=2)


# --- blocks --------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")
pytest.importorskip("torch")
learned = importlib.import_module("nlmeans.learned")
from nlmeans.learned.measuring import (  # noqa: E402
    attention_rows,
    measure_block,
    random_block,
    read_block,
    without_window,
)

MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation", "euclidean")


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [None, 1])
def test_the_row_of_a_query_is_that_of_the_full_map(mode, window, monkeypatch):
    block = learned.NonLocal2d(4, mode=mode, window=window, zero_init=False).double()
    x = torch.randn(2, 4, 5, 6, dtype=torch.double)
    _, full = block(x, return_attention=True)
    full = full.detach().numpy().reshape(2, 5, 6, 5, 6)
    at = [(0, 0), (4, 5), (2, 3), (4, 0)]
    monkeypatch.setattr("nlmeans.learned.measuring._AT_ONCE", 3 * 8 * 60)  # three queries at once
    rows = attention_rows(block, x, at)
    np.testing.assert_allclose(rows, np.stack([full[:, y, w] for y, w in at], 1), rtol=1e-12, atol=1e-15)
    assert attention_rows(block, x, []).shape == (2, 0, 5, 6)


def test_rows_of_a_large_map_take_no_square():
    block = learned.NonLocal2d(2, max_memory=2**24)
    x = torch.randn(1, 2, 256, 256)
    assert attention_rows(block, x, [(7, 9), (200, 1)]).sum((2, 3)) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(MemoryLimitError):
        block(x, return_attention=True)


def planted(**settings):
    """A block whose logits are 0: uniform rows, whatever the query."""
    block = learned.NonLocal2d(4, zero_init=False, **settings).double()
    with torch.no_grad():
        for parameter in block.theta.parameters():
            parameter.zero_()
    return block


@pytest.mark.parametrize(("window", "frame", "keys"), [(None, "position", 81), (2, "offset", 25)])
def test_a_planted_uniform_block_is_found_collapsed_also_in_a_window(window, frame, keys):
    x = torch.randn(2, 4, 9, 9, dtype=torch.double)
    found = measure_block(planted(window=window), x)
    assert (found.frame, found.keys) == (frame, keys)
    assert found.attention < 1e-12
    assert found.jensen_shannon < 1e-12
    assert found.perplexity == pytest.approx(keys)
    assert found.self_weight == pytest.approx(1 / keys)
    assert found.input > 0.3
    if window is None:
        assert found.output < 1e-12


def test_by_position_the_rows_of_a_uniform_window_would_look_query_dependent():
    rows = attention_rows(planted(window=2), torch.randn(1, 4, 12, 12).double(), [(3, 3), (8, 8)])[0]
    assert cosine_distance(rows.reshape(2, -1)) > 0.2
    assert cosine_distance(relative(rows, [(3, 3), (8, 8)], (2, 2)).reshape(2, -1)) < 1e-12


def test_a_sharp_block_is_not_collapsed_and_its_numbers_are_those_of_the_full_map():
    block = learned.NonLocal2d(
        4, mode="euclidean", tied=True, unit_length=True, bandwidth=0.2, zero_init=False
    ).double()
    x = torch.randn(1, 4, 6, 7, dtype=torch.double)
    found = measure_block(block, x)
    z, full = block(x, return_attention=True)
    rows = full.detach().numpy().reshape(42, 42)
    added = (z - x).detach().numpy().reshape(4, 42).T
    assert found.attention == pytest.approx(cosine_distance(rows), rel=1e-9)
    assert found.output == pytest.approx(cosine_distance(added), rel=1e-9)
    assert found.input == pytest.approx(cosine_distance(x.numpy().reshape(4, 42).T), rel=1e-9)
    assert found.self_weight == pytest.approx(np.diag(rows).mean(), rel=1e-9)
    assert found.attention > 0.2


@pytest.mark.parametrize("mode", ["dot_product", "concatenation"])
def test_rows_that_are_no_distributions_have_cosine_distances_only(mode):
    found = measure_block(learned.NonLocal2d(4, mode=mode, zero_init=False), torch.randn(1, 4, 6, 6))
    assert found.jensen_shannon is found.perplexity is found.mutual_information is None
    assert 0 <= found.attention <= 1


def test_pooled_keys_have_no_self_weight():
    block = learned.NonLocal2d(4, sub_sample=True, zero_init=False)
    found = measure_block(block, torch.randn(1, 4, 6, 8))
    assert (found.keys, found.self_weight) == (12, None)


def test_a_new_block_adds_nothing_so_its_output_has_no_distance():
    assert measure_block(learned.NonLocal2d(4), torch.randn(1, 4, 5, 5)).to_dict()["output"] is None


def test_without_its_window_a_block_has_the_same_weights_and_stays_as_it_was():
    block = learned.NonLocal2d(4, window=1, zero_init=False)
    other = without_window(block)
    assert other.theta is block.theta
    assert (block.settings.window, other.settings.window) == (1, None)
    x = torch.randn(1, 4, 7, 7)
    assert measure_block(block, x, unmasked=True) == measure_block(other, x)


def test_a_random_block_is_of_the_same_kind_and_leaves_the_random_state():
    block = learned.NonLocal1d(6, 2, mode="euclidean", tied=True, learn_bandwidth=True).double().eval()
    state = torch.get_rng_state()
    one, two = random_block(block, seed=1), random_block(block, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert {n: w.shape for n, w in one.state_dict().items()} == {
        n: w.shape for n, w in block.state_dict().items()
    }
    assert torch.equal(one.theta.conv.weight, two.theta.conv.weight)
    assert not torch.equal(one.theta.conv.weight, random_block(block, seed=2).theta.conv.weight)
    assert bool(one.conv_out.conv.weight.any())
    assert one.theta.conv.weight.dtype == torch.double


@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_block_is_read_from_its_file_alone(tmp_path, norm):
    block = learned.NonLocal1d(
        6, 2, mode="euclidean", tied=True, unit_length=True, window=3, norm=norm, zero_init=False
    ).eval()
    learned.save_weights(block, tmp_path / "b.safetensors")
    read = read_block(tmp_path / "b.safetensors")
    x = torch.randn(1, 6, 9)
    assert type(read) is learned.NonLocal1d
    torch.testing.assert_close(read(x), block(x))


def test_weights_in_another_layout_are_read_with_their_prefix_and_other_files_refused(tmp_path):
    from safetensors.torch import save_file

    block = learned.NonLocal2d(4, zero_init=False).eval()
    save_file({f"layer.{n}": w for n, w in block.state_dict().items()}, tmp_path / "m.safetensors")
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(read_block(tmp_path / "m.safetensors", prefix="layer.")(x), block(x))
    with pytest.raises(InvalidValueError, match="no non-local block"):
        read_block(tmp_path / "m.safetensors")


def test_what_is_no_block_and_an_empty_batch_are_refused():
    with pytest.raises(InvalidTypeError, match="block"):
        measure_block(torch.nn.Identity(), torch.randn(1, 1, 3, 3))
    with pytest.raises(InvalidValueError, match="at least one image"):
        measure_block(learned.NonLocal2d(2), torch.randn(0, 2, 3, 3))


@pytest.mark.parametrize("center", ["max", "one", "zero"])
def test_the_rows_of_the_filter_as_a_block_are_its_weights(center):
    parameters = nlmeans.Parameters(
        patch_radius=1, search_radius=3, sigma=0.5, h=1.0, center=center, aggregate="pixel"
    )
    block = learned.NonLocal2d.from_parameters(parameters).double()
    image = RANDOM.normal(size=(12, 11))
    at = [(0, 0), (6, 5), (11, 3)]
    rows = attention_rows(block, torch.from_numpy(image)[None, None], at)[0]
    for row, query in zip(rows, at, strict=True):
        expected = nlmeans.weights(image, query, **parameters.to_dict())
        np.testing.assert_allclose(row, expected, atol=1e-12)
