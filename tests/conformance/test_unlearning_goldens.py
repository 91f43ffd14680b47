"""TOFU's numbers on the authors' own logs, and forget quality, memorisation and privacy on released values."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from harness_ext.data import fetch
from harness_ext.errors import DataError
from harness_ext.methods.training.unlearning import read_refusals
from harness_ext.scoring import unlearning
from harness_ext.tasks.tofu import docs, logs
from harness_ext.tasks.tofu.evaluations import Evaluation, NotAlignedError, compare

LOG = "eval_results/ds_size300/eval_log_aggregated.json"
PHI = {f"phi_{name}_wd0.01": f"ft_epoch5_lr2e-05_phi_{name}_wd0.01/{LOG}" for name in (
    "full", "retain90", "retain95", "retain99",
)}  # fmt: skip
LOGS = {**PHI, "uld_retain99_phi_wd0.01": f"retain99_phi_wd0.01/{LOG}"}
CSV = {
    "Retain": "retain", "Real Authors": "ra", "Real World": "wf", "Forget": "forget",
}  # fmt: skip


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((golden / "unlearning/metrics.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def evaluations(mirror: Path) -> dict[str, Evaluation]:
    return {name: logs.read(fetch("tofu", file)) for name, file in LOGS.items()}


@pytest.mark.parametrize("mode", ["geometric", "arithmetic"])
@pytest.mark.parametrize("name", LOGS)
def test_components_and_utility_are_those_of_the_authors_script(
    expected: dict[str, Any], evaluations: dict[str, Evaluation], name: str, mode: Any
) -> None:
    golden = dict(expected["model_utility"][name][mode])
    one = evaluations[name]
    assert one.utility(mode) == pytest.approx(golden.pop("model_utility"), abs=1e-9)
    names = {"rouge": "rougeL_recall", "prob": "prob", "tr": "truth_ratio"}
    found = one.components(mode)
    told = {f"{key.partition('_')[0]}_{names[key.partition('_')[2]]}": value for key, value in golden.items()}
    assert {key: found[key] for key in told} == pytest.approx(told, abs=1e-9)
    counts = expected["model_utility"][name]["n_rows"]
    assert {subset: len(asked) for subset, asked in one.sets.items()} == counts


def test_prob_mean_is_open_unlearnings(expected: dict[str, Any], evaluations: dict[str, Evaluation]) -> None:
    for name, one in evaluations.items():
        golden = expected["model_utility"][name]["open_unlearning"]["forget_truth_ratio_prob_mean"]
        assert one.components("prob_mean")["forget_truth_ratio"] == pytest.approx(golden, abs=1e-7)


@pytest.mark.parametrize("mode", ["geometric", "arithmetic"])
def test_forget_quality_of_every_aligned_pair(
    expected: dict[str, Any], evaluations: dict[str, Evaluation], mode: Any
) -> None:
    checked = 0
    for pair in expected["forget_quality"]:
        names = [pair[side].partition("[")[0] for side in ("unlearned", "retain")]
        first, second = (evaluations[name] for name in names)
        if "expect" in pair:
            continue
        found = compare(first, second, mode, "question" if "[" in pair["unlearned"] else None)
        assert (found.n, found.m) == (pair["n"], pair["m"])
        assert found.p == pytest.approx(pair[mode]["p"], rel=1e-6)
        assert pair[mode]["D"] == pytest.approx(found.D, abs=1e-12)
        checked += 1
    assert checked == 6


def test_forget_quality_is_the_same_for_inverse_ratios_and_any_order(evaluations: dict[str, Evaluation]) -> None:
    first, second = (list(evaluations[f"phi_{name}_wd0.01"].ratios().values()) for name in ("full", "retain90"))
    straight = unlearning.forget_quality(first, second)
    inverse = unlearning.forget_quality([1 / value for value in first], [1 / value for value in second])
    assert inverse.p == pytest.approx(straight.p, rel=1e-9)
    random.Random(0).shuffle(first)
    assert unlearning.forget_quality(first, second) == straight
    assert straight.log10_p == pytest.approx(-15.6587, abs=1e-4)


@pytest.mark.parametrize(("retain", "size", "shared"), [("retain95", 200, 100), ("retain99", 40, 0)])
def test_a_misaligned_pair_is_refused_with_sizes_and_questions(
    evaluations: dict[str, Evaluation], retain: str, size: int, shared: int
) -> None:
    with pytest.raises(NotAlignedError, match=f"has 300 questions .* {size}, of which {shared} are") as caught:
        compare(evaluations["phi_full_wd0.01"], evaluations[f"phi_{retain}_wd0.01"])
    examples = str(caught.value).partition("In one only: ")[2]
    assert examples.count("; ") == 4


def test_rouge_recomputed_from_the_texts_is_the_logged_one(mirror: Path) -> None:
    for file in PHI.values():
        content = json.loads(fetch("tofu", file).read_text(encoding="utf-8"))
        for part in content.values():
            for row, (_, said, gold) in part["generated_text"].items():
                assert unlearning.rouge_l_recall(said, gold) == part["rougeL_recall"][row]


def test_ulds_published_columns_are_reproduced(expected: dict[str, Any], evaluations: dict[str, Evaluation]) -> None:
    published = expected["published_csv_check"]["uld_retain99_phi_wd0.01"]
    one = evaluations["uld_retain99_phi_wd0.01"]
    found = one.components(compat="uld")
    for title, subset in CSV.items():
        for column, metric in (("ROUGE", "rougeL_recall"), ("Probability", "prob"), ("Truth Ratio", "truth_ratio")):
            assert found[f"{subset}_{metric}"] == pytest.approx(published[f"{title} {column}"], abs=1e-12)
    assert one.utility() == pytest.approx(published["Model Utility"], abs=1e-12)
    assert compare(one, one).p == published["Forget Quality"] == 1.0
    assert one.components()["forget_prob"] == pytest.approx(0.1705250, abs=1e-7)  # TOFU's own definition


def test_the_lattice_of_p_values(golden: Path) -> None:
    expected = json.loads((golden / "unlearning/ks.json").read_text(encoding="utf-8"))
    for size, values in expected["lattice"].items():
        n = int(size)
        for k, p in values.items():
            # k of n values lie above all of the other sample, the rest are the same
            found = unlearning.forget_quality([*range(n)], [*range(int(k), n), *range(2 * n, 2 * n + int(k))])
            assert pytest.approx(int(k) / n) == found.D
            assert found.p == pytest.approx(p, rel=1e-9)
    for pair, p in expected["floor_disjoint"].items():
        n = int(pair.partition("x")[0])
        assert unlearning.forget_quality(range(n), range(n, 2 * n)).p == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(
    ("p", "n", "k"),
    [(0.7933, 200, 13), (0.6284, 200, 15), (0.3935, 200, 18), (0.2704, 200, 20), (0.4046, 40, 8), (0.2656, 40, 9),
     (0.1649, 40, 10), (0.0970, 40, 11)],
)  # fmt: skip
def test_a_printed_p_value_tells_its_n(p: float, n: int, k: int) -> None:
    """RKLU's table, whose numbers are cut and not rounded."""
    assert unlearning.ks_lattice(p, n) == [k]


@pytest.mark.parametrize("p", [0.9659, 0.9013])
def test_a_mean_over_seeds_is_on_no_lattice(p: float) -> None:
    assert unlearning.ks_lattice(p, 40) == []


def test_memorisation_and_privacy(golden: Path) -> None:
    expected = json.loads((golden / "unlearning/memorisation_privacy.json").read_text(encoding="utf-8"))
    hits = {
        "all right": [True] * 3, "second half right": [False, True, True], "none right": [False] * 3,
        "only last answer token wrong": [True, True, False],
    }  # fmt: skip
    memorised = expected["memorisation"]
    for name, own in hits.items():
        assert unlearning.exact_memorisation(own) == pytest.approx(memorised["exact_memorization"][name], abs=1e-6)
        key = "extraction_strength (as coded; never-matching suffix gives 1/len instead of 0)"
        assert unlearning.extraction_strength(own, "open_unlearning") == pytest.approx(memorised[key][name], abs=1e-9)
    assert unlearning.extraction_strength(hits["none right"]) == 0.0
    mia = expected["mia"]
    for k, value in mia["min_k score (higher = less likely member)"].items():
        assert unlearning.min_k(mia["token_log_probs"], float(k[2:])) == pytest.approx(value, abs=1e-6)
    assert unlearning.zlib_score(mia["zlib"]["avg_loss"], mia["zlib"]["text"]) == pytest.approx(mia["zlib"]["score"])
    import numpy as np
    import scipy

    logs_ = scipy.special.log_softmax(np.array(mia["min_k++"]["logits[4,3]"]), axis=-1)
    mean = (np.exp(logs_) * logs_).sum(-1)
    variance = (np.exp(logs_) * logs_**2).sum(-1) - mean**2
    own = logs_[np.arange(4), mia["min_k++"]["targets"]]
    for k, value in mia["min_k++"]["score"].items():
        assert unlearning.min_k_plus_plus(own, mean, variance, float(k[2:])) == pytest.approx(value, abs=1e-6)
    leak = expected["privleak"]
    found = unlearning.auc(leak["forget_scores"], leak["holdout_scores"])
    assert found == pytest.approx(leak["auc (labels forget=0, holdout=1)"])
    assert unlearning.privleak(found, 0.5) == pytest.approx(leak["privleak(auc, ref auc 0.5)"], abs=1e-6)
    assert unlearning.privleak(found, 0.47) == pytest.approx(leak["privleak(auc, ref auc 0.47)"], abs=1e-6)
    assert unlearning.rel_diff(found, 0.47) == pytest.approx(leak["rel_diff(auc,0.47)"], abs=1e-6)


def test_open_unlearnings_folders_are_imported(golden: Path, tmp_path: Path) -> None:
    folder = golden / "unlearning/open_unlearning_layout"
    full, retain = (logs.read(logs.find(folder / name)) for name in ("tofu_phi_full", "tofu_phi_retain90"))  # type: ignore[arg-type]
    assert compare(full, retain).p == pytest.approx(0.0335416594061465, rel=1e-9)
    # A null row shifts the truth ratios that open-unlearning stored; ours come from the losses of their own rows.
    content = json.loads((folder / "tofu_phi_full/TOFU_EVAL.json").read_text(encoding="utf-8"))
    content["forget_Q_A_PARA_Prob"]["value_by_index"]["3"] = None
    content["forget_truth_ratio"]["value_by_index"] = {"0": {"score": 9.0}}
    (tmp_path / "TOFU_EVAL.json").write_text(json.dumps(content))
    holed = logs.read(tmp_path / "TOFU_EVAL.json")
    assert holed.ratios() == {row: value for row, value in full.ratios().items() if row != "forget row 3"}
    with pytest.raises(NotAlignedError, match=r"has 19 questions .* 20, of which 19"):
        compare(holed, retain)
    assert compare(holed, retain, align="question").n == 19


@pytest.mark.parametrize("content", ["[]", "{}", '{"eval_log_forget.json": {"avg_gt_loss": {}}}', "{"])
def test_a_file_that_is_no_log_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "log.json").write_text(content)
    with pytest.raises((DataError, ValueError)):
        logs.read(tmp_path / "log.json")


def test_rows_are_those_of_the_specification(mirror: Path, golden: Path) -> None:
    expected = json.loads((golden / "unlearning/tofu_data.json").read_text(encoding="utf-8"))["files"]
    parts = {f"forget{share}_perturbed": docs.read("forget", f"forget{share}") for share in ("01", "05", "10")}
    parts |= {f"holdout{share}": docs.read("holdout", f"forget{share}") for share in ("01", "05", "10")}
    parts |= {"full": docs.full(), "retain_perturbed": docs.read("retain")}
    parts |= {"real_authors_perturbed": docs.read("ra"), "world_facts_perturbed": docs.read("wf")}
    for name, rows in parts.items():
        lines = "\n".join(f"{row['question']}\t{row['answer']}" for row in rows)
        digest = hashlib.sha256(lines.encode()).hexdigest()
        assert (name, len(rows), digest) == (
            name,
            expected[name]["rows"],
            expected[name]["sha256_of_question_answer_lines"],
        )


def test_splits_are_slices_of_the_whole(mirror: Path) -> None:
    rows = docs.full()
    keys = [(row["question"], row["answer"]) for row in rows]
    for part, first in (("forget01", 3960), ("forget05", 3800), ("forget10", 3600)):
        assert [(row["question"], row["answer"]) for row in docs.read("forget", part)] == keys[first:]  # type: ignore[arg-type]
        assert docs.train_split(part) == rows[first:]
        assert docs.train_split(f"retain{100 - int(part[-2:])}") == rows[:first]
    assert [(row["question"], row["answer"]) for row in docs.read("retain")] == keys[:400]
    questions = [row["question"] for row in rows]
    assert [at for at, one in enumerate(questions) if questions.count(one) > 1] == [100, 440]


def test_counts_and_what_holds_what(mirror: Path) -> None:
    holdouts = [
        [row["question"] for row in docs.read("holdout", part)] for part in ("forget01", "forget05", "forget10")
    ]
    assert [len(one) for one in holdouts] == [40, 200, 400]
    assert set(holdouts[0]) < set(holdouts[1]) < set(holdouts[2])
    assert not set(holdouts[2]) & {row["question"] for row in docs.full()}
    assert len(set(holdouts[2])) == 400
    forget = [row["question"] for row in docs.read("forget", "forget10")]
    assert len(set(forget)) == 400
    utility = [row["question"] for subset in ("retain", "ra", "wf") for row in docs.read(subset)]  # type: ignore[arg-type]
    assert len(set(utility)) == len(utility) == 617
    assert {len(row["perturbed_answer"]) for row in docs.read("ra") + docs.read("wf")} == {3}
    assert {len(row["perturbed_answer"]) for row in docs.read("forget", "forget10") + docs.read("retain")} == {5}
    for subset, file in (("ra", "real_authors.json"), ("wf", "world_facts.json")):
        options = json.loads(fetch("tofu", file).read_text(encoding="utf-8"))
        assert [row["question"] for row in options] == [row["question"] for row in docs.read(subset)]  # type: ignore[arg-type]
    assert len(read_refusals(str(fetch("tofu", "idontknow.jsonl")))) == 100
