"""The attention study: seeded, comparable between variants, resumable, and told from its JSON alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from nlmeans.benchmarks.__main__ import main  # noqa: E402
from nlmeans.benchmarks.report import attention as attention_report  # noqa: E402
from nlmeans.benchmarks.report import attention_chart  # noqa: E402
from nlmeans.benchmarks.studies.attention import study as attention  # noqa: E402
from nlmeans.benchmarks.studies.attention.measuring import quality  # noqa: E402
from nlmeans.benchmarks.studies.attention.training import (  # noqa: E402
    Schedule,
    Variant,
    batches,
    built,
    sharpen,
    train,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")
SMALL = Schedule(steps=3, batch=2, crop=12, channels=6, units=5, width=3)
PICTURES = [np.random.default_rng(n).random((20, 24)).astype(np.float32) for n in range(3)]
COMMITTED = Path(__file__).parents[2] / "benchmarks" / "results" / "attention.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files of a quick study, by the command."""
    path = tmp_path_factory.mktemp("study") / "attention.json"
    torch.set_num_threads(1)
    assert main(["attention", "--quick", "--json", str(path)]) == 0
    return path


@pytest.fixture
def result(made):
    """What a quick study finds."""
    return json.loads(made.read_text())


def test_variants_of_one_seed_differ_in_their_blocks_alone_and_start_as_one_function():
    plain, other = (built(SMALL, attention.VARIANTS[n], 0) for n in ("no block", "NL-means similarity"))
    state = other.state_dict()
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, state[name])
    noisy = torch.rand(1, 1, 12, 14)
    assert torch.equal(plain(noisy), other(noisy))
    assert not torch.equal(plain.head.weight, built(SMALL, Variant(blocks=False), 1).head.weight)


def test_batches_are_seeded_and_hold_the_noise_that_was_asked_for():
    first, second = (next(batches(PICTURES, SMALL, 0)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], next(batches(PICTURES, SMALL, 1))[0])
    many = Schedule(batch=200, crop=12)
    noisy, clean = next(batches(PICTURES, many, 0))
    assert float((noisy - clean).std()) == pytest.approx(many.sigma, rel=0.02)


def test_training_is_the_same_twice():
    networks = [built(SMALL, attention.MAIN["NL-means similarity"], 0) for _ in range(2)]
    for network in networks:
        train(network, attention.MAIN["NL-means similarity"], PICTURES, SMALL, 0, lambda _: None)
    for one, two in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", [n for n in attention.VARIANTS if n != "no block"])
def test_logits_spread_as_the_variant_says_whatever_else_it_has(name):
    variant, noisy = attention.VARIANTS[name], next(batches(PICTURES, SMALL, 0))[0]

    def spreads(network):
        found = []
        with torch.no_grad():
            for block, x in zip(network.blocks.values(), network.seen(noisy), strict=True):
                q, k, _ = (t.flatten(1, -2) for t in block.embedded(x))
                logits = q @ k.mT if block.log_h is None else -((q[:, :, None] - k[:, None]) ** 2).sum(-1)
                h = 1.0 if block.log_h is None else float(block.log_h.exp())
                found.append(float((logits / h**2).std(-1).mean()))
        return found

    network = built(SMALL, variant, 0)
    sharpen(network, variant, SMALL, noisy, 0)
    model = Variant(tied=True, unit=True) if variant.sharp else Variant()
    assert spreads(network) == pytest.approx(spreads(built(SMALL, model, 0)), rel=1e-3)


def test_a_checkpoint_is_taken_up_and_one_of_another_plan_is_not(tmp_path):
    told: list[str] = []
    order = attention.Order(PICTURES, {}, schedule=SMALL, folder=tmp_path)
    first, course = attention.trained(order, "tied, sharp", 0, told.append)
    lines = len(told)
    again, same = attention.trained(order, "tied, sharp", 0, told.append)
    assert len(told) == lines > 0
    assert same == course
    assert torch.equal(first.head.weight, again.head.weight)
    longer = attention.Order(
        PICTURES, {}, schedule=Schedule(**SMALL.to_dict() | {"steps": 4}), folder=tmp_path
    )
    attention.trained(longer, "tied, sharp", 0, told.append)
    assert len(told) > lines


def test_rows_made_uniform_and_blocks_left_out_change_the_result_and_are_undone():
    variant = attention.MAIN["NL-means similarity"]
    network = built(SMALL, variant, 0)
    with torch.no_grad():
        for block in network.blocks.values():
            block.conv_out.conv.weight.normal_()
        network.tail.weight.normal_()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    found = quality(network, PICTURES[:1], SMALL)
    assert len({round(found[k][0], 6) for k in ("psnr", "psnr_uniform", "psnr_without")}) == 3
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    assert all(block.settings.window is None for block in network.blocks.values())


def test_the_study_has_every_variant_and_is_told_from_its_json(result):
    runs = [(row["name"], row["seed"]) for row in result["rows"]]
    assert runs == [(n, 0) for n in attention.VARIANTS]
    page = attention_report.full_report(result)
    for name in attention.VARIANTS:
        assert f"| {name} |" in page
    words = [e.text for e in ElementTree.fromstring(attention_chart.plot(result)).iter() if e.text]
    assert set(attention.VARIANTS) - {"no block"} <= set(words)
    assert result["left_out"] == []


def test_maps_are_drawn_beside_the_json(made):
    from imageio.v3 import imread

    assert imread(made.with_suffix(".png")).shape[2] == 3


def test_runs_come_in_the_order_of_their_importance():
    later = attention.APART | attention.FURTHER
    order = attention.Order(PICTURES, {}, seeds=2, apart_seeds=1)
    assert order.runs() == [(n, s) for s in (0, 1) for n in attention.MAIN] + [(n, 0) for n in later]


def test_gains_are_against_the_same_seed_and_told_by_how_much_a_block_has(result):
    changed = copy.deepcopy(result)
    for row in changed["rows"]:
        v = row["variant"]
        gain = 0.1 * v["tied"] + 0.02 * v["unit"] + 0.3 * v["sharp"] if v["blocks"] else 0.0
        row["psnr"] = [20.0 + row["seed"] + gain] * 2
    assert attention_report.gains(changed, "NL-means similarity") == pytest.approx([0.42])
    assert attention_report.gains(changed, "tied") == pytest.approx([0.1])
    cells = attention_report.apart(changed)
    assert {count: len(each) for count, each in cells.items()} == {0: 1, 1: 3, 2: 3, 3: 1}
    assert cells[2]["tied, sharp"] == pytest.approx([0.4])
    assert "With all of the three: NL-means similarity +0.42 dB." in attention_report.full_report(changed)


def test_collapse_is_said_of_small_rows_and_outputs_only(result):
    changed = copy.deepcopy(result)
    for row in changed["rows"]:
        for block in row["blocks"]:
            flat = row["name"] == "embedded Gaussian"
            block["whole"] |= {"input": 0.4, "output": 0.01 if flat else 0.3, "attention": 0.02}
    page = attention_report.full_report(changed)
    assert "**embedded Gaussian** collapses" in page
    assert "**NL-means similarity** does not collapse" in page


def test_what_the_time_did_not_allow_is_left_out_and_listed(result):
    order = attention.Order(
        PICTURES, {"a": PICTURES[0]}, schedule=SMALL, seeds=1, apart_seeds=0, time_limit=0
    )
    found = attention.record(order, lambda _: None)
    assert found["rows"] == []
    assert found["left_out"] == [[name, 0] for name in attention.MAIN]
    assert "not measured" in attention_report.full_report(found)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="no picture"):
        main(["attention", "--quick", "--train", str(tmp_path)])


@pytest.mark.skipif(not COMMITTED.exists(), reason="the study was not run yet")
def test_the_committed_report_is_that_of_the_committed_figures():
    found = json.loads(COMMITTED.read_text())
    assert COMMITTED.with_suffix(".md").read_text() == attention_report.full_report(found)
    assert COMMITTED.with_suffix(".svg").read_text() == attention_chart.plot(found)
    assert "/" not in found["command"].replace("--json benchmarks/results/attention.json", "")
