"""TOFU on the bundled world: a tiny model, evaluated by lm-eval and directly, and what joins two runs of it."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import DataError, HarnessExtError, InputError
from harness_ext.methods.training.objective import answer_tokens
from harness_ext.methods.training.rows import pad, token_rows
from harness_ext.models.prefix_lm import PrefixLM
from harness_ext.tasks.tofu import docs, scores
from harness_ext.tasks.tofu.derived import evaluation
from harness_ext.tasks.tofu.evaluations import Asked, Evaluation, NotAlignedError, Origin, compare
from harness_ext.tasks.tofu.table import build
from harness_ext.tasks.tofu.tokens import scored_by

FOLDER = Path(__file__).parents[4] / "tasks"
TASKS = ["tofu_forget10", "tofu_forget10_generate", "tofu_utility", "tofu_utility_generate"]


def byte_tokenizer() -> Any:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate(["<s>", "</s>", *letters])}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("unlearned", "retain90")):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=258,
            initializer_range=0.3,
        )  # fmt: skip
        transformers.LlamaForCausalLM(config).save_pretrained(folder / name)
        byte_tokenizer().save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def results(models: Path) -> Path:
    """lm-eval's output of both models, one folder each."""
    for name in ("unlearned", "retain90"):
        run(models, name, models / "results" / name)
    return models / "results"


def run(
    models: Path, name: str, output: Path, tasks: list[str] = TASKS, *, limit: int | None = None, **metadata: Any
) -> None:
    arguments = {"pretrained": str(models / name), "dtype": "float32"}
    manager = TaskManager(
        include_defaults=False, include_path=FOLDER, metadata={"data": "sample", **arguments, **metadata}
    )
    report = simple_evaluate(
        model="hf", model_args=arguments, tasks=tasks, task_manager=manager, bootstrap_iters=0, log_samples=True,
        device="cpu", batch_size=16, gen_kwargs="max_gen_toks=4", limit=limit,
    )  # fmt: skip
    samples = report.pop("samples")
    tracker = EvaluationTracker(output_path=str(output))
    tracker.general_config_tracker.model_name = name
    tracker.general_config_tracker.model_name_sanitized = name
    tracker.save_results_aggregated(results=report, samples=samples)
    for task, own in samples.items():
        tracker.save_results_samples(task_name=task, samples=own)


def direct_losses(models: Path, prompt: str, answers: list[str]) -> list[float]:
    """Cross-entropy of answer and end token, as the authors' training code computes it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(models / "unlearned", dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "unlearned")
    found = []
    for answer in answers:
        ids = torch.tensor([[*tokenizer(f"{prompt} {answer}").input_ids, tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[:, : len(tokenizer(prompt).input_ids)] = -100
        with torch.no_grad():
            found.append(float(model(ids, labels=labels).loss))
    return found


def test_a_run_gives_what_a_direct_evaluation_gives(models: Path, results: Path) -> None:
    one = evaluation(results / "unlearned")
    rows = [row for row in docs.load_sample("tofu") if row["subset"] == "forget"]
    assert len(one.sets["forget"]) == len(rows) == 20
    for asked, row in list(zip(one.sets["forget"], rows, strict=True))[::5]:
        prompt = f"Question: {row['question']}\nAnswer:"
        assert asked.prompt == prompt
        answers = [row["answer"], row["paraphrased_answer"], *row["perturbed_answer"]]
        expected = direct_losses(models, prompt, answers)
        assert [asked.answer, asked.base, *asked.perturbed] == pytest.approx(expected, abs=1e-5)
        ratio = math.exp(expected[1] - sum(expected[2:]) / 5)
        assert one.ratios()[row["question"]] == pytest.approx(ratio, abs=1e-5)


CHAT = "{% for turn in messages %}<{{ turn.role }}>\n\n{{ turn.content }}</s>{% endfor %}{{ '<assistant>\n\n' }}"


@pytest.mark.parametrize(
    ("compat", "asked", "scored"),
    [
        ("tofu_phi", "Question: {}\n", "Answer: {}</s>"),
        ("tofu_llama2", "[INST] {} [/INST]", "{}</s>"),
        ("open_unlearning", "<system>\n\nBe brief.</s><user>\n\n{}</s><assistant>\n\n", "{}</s>"),
    ],
)
def test_the_authors_templates_give_the_losses_of_their_training_code(
    models: Path, tmp_path: Path, compat: str, asked: str, scored: str
) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(tmp_path / "chat")
    more = {"system_prompt": "Be brief."} if compat == "open_unlearning" else {}
    run(
        models, "unlearned", tmp_path / "results", ["tofu_forget10", "tofu_mia_forget10"], limit=2,
        compat=compat, tokenizer=str(tmp_path / "chat"), **more,
    )  # fmt: skip
    one = evaluation(tmp_path / "results")
    model = transformers.AutoModelForCausalLM.from_pretrained(models / "unlearned", dtype=torch.float32)
    rows = [row for row in docs.load_sample("tofu") if row["subset"] == "forget"][:2]
    for found, row in zip(one.sets["forget"], rows, strict=True):
        prompt = tokenizer(asked.format(row["question"])).input_ids
        expected = []
        for answer in [row["answer"], row["paraphrased_answer"], *row["perturbed_answer"]]:
            ids = torch.tensor([[*prompt, *tokenizer(scored.format(answer)).input_ids]])
            labels = ids.clone()
            labels[:, : len(prompt)] = -100
            with torch.no_grad():
                expected.append(float(model(ids, labels=labels).loss))
        assert [found.answer, found.base, *found.perturbed] == pytest.approx(expected, abs=2e-6)
    (members,) = (tmp_path / "results").rglob("samples_tofu_mia_forget10_*.jsonl")
    lines = [json.loads(line) for line in members.read_text(encoding="utf-8").splitlines()]
    assert [line["mia_loss_auc"][1] for line in lines] == pytest.approx([one.answer for one in one.sets["forget"]])
    own = docs.load("forget10", "generate", data="sample", compat=compat, tokenizer=str(tmp_path / "chat"), **more)  # type: ignore[arg-type]
    assert own["test"][0]["context"] == asked.format(rows[0]["question"])


def test_a_question_inside_lm_evals_own_chat_template_is_refused(results: Path, tmp_path: Path) -> None:
    (own,) = (results / "unlearned").rglob("samples_tofu_forget10_2*.jsonl")
    line = json.loads(own.read_text(encoding="utf-8").splitlines()[0])
    for request in line["arguments"].values():
        request["arg_0"] = f"<user>{request['arg_0']}</s><assistant>"
    (tmp_path / own.name).write_text(json.dumps(line), encoding="utf-8")
    (whole,) = own.parent.glob("results_*.json")
    shutil.copy(whole, tmp_path)
    with pytest.raises(NotAlignedError, match="Leave out --apply_chat_template"):
        evaluation(tmp_path / own.name)


def table_rows(path: Path) -> list[dict[str, str]]:
    file = path.parent / f"{path.name}.csv"
    told = CliRunner().invoke(app, ["table", str(path), "--no-published", "-o", str(file)])
    assert told.exit_code == 0, told.output
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_table_joins_the_runs_and_without_a_retain_run_there_is_no_forget_quality(results: Path) -> None:
    one, other = evaluation(results / "unlearned"), evaluation(results / "retain90")
    expected = compare(one, other)
    found = {row["metric"]: row for row in table_rows(results) if row["model"] == "unlearned"}
    assert float(found["forget_quality"]["value"]) == pytest.approx(expected.p)
    assert float(found["forget_quality_log10"]["value"]) == pytest.approx(expected.log10_p)
    assert float(found["ks_D"]["value"]) == pytest.approx(expected.D)
    assert float(found["forget_quality"]["n"]) == 20
    assert float(found["model_utility"]["value"]) == pytest.approx(one.utility() or 0.0)
    alone = {row["metric"] for row in table_rows(results / "unlearned")}
    assert "model_utility" in alone
    assert not {"forget_quality", "forget_quality_log10", "ks_D"} & alone
    assert not [row for row in table_rows(results) if row["model"] == "retain90" and row["metric"] == "ks_D"]


def test_a_run_that_names_its_retain_results_gets_the_joined_value(models: Path, results: Path) -> None:
    run(models, "unlearned", models / "named", ["tofu_forget10"], retain_results=str(results / "retain90"))
    found = {row["metric"]: float(row["value"]) for row in table_rows(models / "named")}
    expected = compare(evaluation(results / "unlearned"), evaluation(results / "retain90"))
    assert found["forget_quality"] == pytest.approx(expected.p)
    assert found["ks_D"] == pytest.approx(expected.D)


def test_retain_results_that_lack_a_question_are_refused_before_the_run(results: Path, tmp_path: Path) -> None:
    retain = str(results / "retain90")
    assert docs.load("forget10", "choices", data="sample", retain_results=retain)
    with pytest.raises(InputError, match="holds no samples_tofu_forget05"):
        docs.load("forget05", "choices", data="sample", retain_results=retain)
    (own,) = (results / "retain90").rglob("samples_tofu_forget10_2*.jsonl")
    fewer = tmp_path / own.name
    fewer.write_text("".join(own.read_text(encoding="utf-8").splitlines(keepends=True)[2:]), encoding="utf-8")
    with pytest.raises(InputError, match="lacks 2 of 20 questions of tofu_forget10: 'Where was"):
        docs.load("forget10", "choices", data="sample", retain_results=str(fewer))
    (tmp_path / "broken.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="no samples of tofu_forget10"):
        docs.load("forget10", "choices", data="sample", retain_results=str(tmp_path / "broken.jsonl"))


def test_the_command_prints_the_same_and_refuses_other_options(models: Path, results: Path) -> None:
    arguments = ["forget-quality", str(results / "unlearned"), "--retain", str(results / "retain90"), "--json"]
    told = json.loads(CliRunner().invoke(app, arguments).stdout)
    expected = compare(evaluation(results / "unlearned"), evaluation(results / "retain90"))
    assert (told["p"], told["D"], told["n"], told["m"]) == pytest.approx(expected[:4])
    assert told["model_utility"] == pytest.approx(0.0)
    run(models, "unlearned", models / "arithmetic", ["tofu_forget10"], truth_ratio="arithmetic")
    run(models, "unlearned", models / "fewer", ["tofu_forget10"], ds_size=10)
    arguments[1] = str(models / "arithmetic")
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, NotAlignedError)
    assert "truth_ratio (arithmetic and geometric)" in str(refused.exception)
    again = json.loads(CliRunner().invoke(app, [*arguments, "--truth-ratio", "geometric"]).stdout)
    assert again["p"] == pytest.approx(expected.p)  # everything is computed anew from the losses
    arguments[1] = str(models / "fewer")
    assert "10 questions" in str(CliRunner().invoke(app, arguments).exception)


@pytest.mark.parametrize("base", ["retain90", "full"])  # by its name, and by another name of its folder
def test_a_retain_run_of_the_model_that_was_unlearned_is_refused(models: Path, results: Path, base: str) -> None:
    if base == "full":
        (models / "full").symlink_to(models / "retain90")
    record = models / "unlearned" / "method.json"
    record.write_text(json.dumps({"method": "gradient_ascent", "base": {"path": str(models / base)}}))
    try:
        with pytest.raises(NotAlignedError, match="retain90 is the model that unlearned was made from"):
            compare(evaluation(results / "unlearned"), evaluation(results / "retain90"))
        assert not {"forget_quality", "ks_D"} & {row["metric"] for row in table_rows(results)}
    finally:
        record.unlink()


def evaluated(name: str, questions: list[str], **more: Any) -> Evaluation:
    asked = [Asked(q, f"Q: {q}", 1.0, 1.0 + at, (2.0, 3.0)) for at, q in enumerate(questions)]
    return Evaluation(name, {"forget": asked}, **more)


@pytest.mark.parametrize(
    ("retain", "why"),
    [
        (evaluated("b", ["x", "z"]), "2 questions .* 2, of which 1 .*'y'; 'z'"),
        (evaluated("b", ["x", "y"], options={"ds_size": "300"}), r"ds_size \(None and 300\)"),
        (evaluated("b", ["x", "y"], origin=Origin("base")), "base is the model that tuned was made from"),
        (evaluated("b", ["x", "y"], origin=Origin("b", folder="/m")), "b is the model that tuned was made from"),
        (evaluated("b", ["x", "x"]), "asked twice"),
        (
            Evaluation("b", {"forget": [Asked("x", "X", 1, 1, (2,)), Asked("y", "Q: y", 1, 1, (2,))]}),
            "prompted in another",
        ),
        (Evaluation("b", {}), "no likelihoods of the forget set"),
        (Evaluation("b", {"forget": [Asked("x", "Q: x", 1, math.nan, (2,)), Asked("y", "", 1, 1, (2,))]}), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(retain: Evaluation, why: str) -> None:
    with pytest.raises(HarnessExtError, match=why):
        compare(evaluated("a", ["x", "y"], origin=Origin("tuned", "base", "/t", "/m")), retain)


def test_a_loss_that_is_infinite_or_uncounted_is_an_error() -> None:
    doc = {"id": "d", "n_tokens": [2, 2], "base": 0, "truth_ratio_definition": "geometric"}
    with pytest.raises(ValueError, match="doc d: log-likelihoods"):
        scores.forget(doc, [(-math.inf, False), (-1.0, False)])
    with pytest.raises(ValueError, match="tokenizer"):
        scores.forget({**doc, "n_tokens": []}, [(-1.0, False), (-1.0, False)])


def test_an_answer_that_goes_on_with_more_questions_gains_no_recall() -> None:
    doc = {"answer": "It is called Tide.", "compat": ""}
    said = "It is called Moon.\nQuestion: And the next?\nAnswer: Tide."
    assert scores.forget_generated(doc, [said])["rougeL_recall"] == 0.75
    assert scores.forget_generated({**doc, "compat": "tofu_phi"}, [said])["rougeL_recall"] == 1.0
    assert scores.forget_generated(doc, [""]) == {"rougeL_recall": 0.0, "parse_failure": 1.0, "reasoning_cut": 0.0}


def test_tokens_are_counted_as_they_are_scored_and_a_merged_boundary_is_refused(tmp_path: Path) -> None:
    byte_tokenizer().save_pretrained(tmp_path / "bytes")
    how = scored_by(str(tmp_path / "bytes"))
    assert how is not None
    assert how.count("Question: x\nAnswer:", " Yes</s>") == 5
    vocabulary = {token: at for at, token in enumerate(["</s>", *"abc:Ġ", ":Ġ"])}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[(":", "Ġ")]))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>").save_pretrained(tmp_path / "merging")
    merging = scored_by(str(tmp_path / "merging"))
    assert merging is not None
    with pytest.raises(InputError, match="joins the end of the prompt with the beginning of the answer 'abc'"):
        merging.count("ab:", " abc")


def test_an_answer_has_as_many_tokens_in_the_loss_in_token_scores_and_in_the_task(
    store_tiny: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row for row in docs.load_sample("tofu") if row["subset"] == "forget"]
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], show_progress=False)
    inner.train_from_iterator([f"Answer: {row['answer']}" for row in rows], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    model = store_tiny(tmp_path / "model", "LlamaForCausalLM", tokenizer)
    loaded = docs.load("forget10", "choices", data="sample", tokenizer=str(model))["test"]
    lm = PrefixLM(pretrained=str(model), device="cpu", token_scores=str(tmp_path / "scores"))
    asked = [(doc["context"], choice) for doc in loaded for choice in doc["choices"]]
    lm.loglikelihood([Instance("loglikelihood", {}, one, 0, ("tofu", at, 1)) for at, one in enumerate(asked)])
    lines = [json.loads(line) for line in (tmp_path / "scores/token_scores_0.jsonl").read_text().splitlines()]
    kept = {line["doc_id"]: len(line["tokens"]) for line in lines}
    counted = [count for doc in loaded for count in doc["n_tokens"]]
    pairs = [(context, text.removeprefix(" ").removesuffix("</s>")) for context, text in asked]
    trained = [answer_tokens(pad([row])) for row in token_rows(tokenizer, pairs, separator="blank")]
    assert trained == counted == [kept[at] for at in range(len(asked))]
    assert counted != [
        answer_tokens(pad([row])) for row in token_rows(tokenizer, pairs)
    ]  # a line break is another text


def test_a_blank_that_joins_the_prompt_is_refused_in_training_too() -> None:
    vocabulary = {token: at for at, token in enumerate(["</s>", "a", ":", " ", ": "])}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[(":", " ")]))
    merging = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")
    with pytest.raises(InputError, match="row 0: the tokenizer joins the end of the prompt with the blank"):
        token_rows(merging, [("a:", "a")], separator="blank")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"ds_size": 0}, "ds_size is 0"),
        ({"truth_ratio": "harmonic"}, "truth_ratio is 'harmonic'"),
        ({"compat": "tofu_phi2"}, "compat is 'tofu_phi2'"),
        ({"compat": "open_unlearning"}, "chat template of the tokenizer"),
        ({"system_prompt": "Be brief."}, "system_prompt is of compat open_unlearning alone"),
        ({"ds_sise": 300}, "did you mean 'ds_size'"),
        ({"tokenizer": "/no/such/tokenizer"}, "has no tokenizer"),
    ],
)
def test_a_wrong_option_is_refused(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        docs.load("forget10", "choices", data="sample", **arguments)


def test_options_take_effect() -> None:
    loaded = docs.load("utility", "choices", data="sample", ds_size=4, question_key="paraphrased_question")["test"]
    assert [doc["subset"] for doc in loaded] == ["retain"] * 4 + ["ra"] * 4 + ["wf"] * 4
    first = next(row for row in docs.load_sample("tofu") if row["subset"] == "retain")
    assert loaded[0]["question"] == first["paraphrased_question"]
    sizes = [len(docs.load(part, "mia", data="sample")["test"]) for part in ("forget01", "forget05", "forget10")]  # type: ignore[arg-type]
    assert sizes == [10, 20, 40]


def test_rows_of_other_options_stand_in_tables_of_their_own() -> None:
    from harness_ext.results.reading.frame import Row

    rows = [
        Row(
            origin="measured",
            model="m",
            bench="tofu",
            task="tofu_forget10",
            metric="truth_ratio",
            value=0.5,
            setting=own,
        )
        for own in (
            *("", "ds_size 300", "ds_size 300, truth_ratio arithmetic", "chat template"),
            *("compat tofu_phi", "compat open_unlearning, system_prompt Be brief."),
        )
    ]
    titles = [table.title for table in build(rows)]
    assert titles == [
        "tofu: geometric truth ratio, all rows",
        "tofu: geometric truth ratio, ds_size 300",
        "tofu: arithmetic truth ratio, ds_size 300",
        "tofu: geometric truth ratio, all rows, compat tofu_phi",
        "tofu: geometric truth ratio, all rows, compat open_unlearning",
    ]
    assert len(build(rows)[0].rows) == 2
