"""Whatever stands in a file of somebody else, a command ends with one sentence, or lists the file and goes on.

Malformed are: values of a wrong type anywhere in a valid file, missing and renamed keys, deep nesting, long numbers,
half characters, text that is cut off, flipped bytes, and bytes of no file at all; 200 files of each kind.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import sqlite3
import struct
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import typer
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness_ext.cli import main
from harness_ext.cli.app import app
from harness_ext.cli.saying import warnings_said
from harness_ext.errors import HarnessExtError

if TYPE_CHECKING:
    from tests.conftest import ChatServer

DATE = "2026-05-01T10-00-00.000001"

ODD = (
    *(None, True, 0, -1, 1.5, 10**300, float("nan"), float("inf"), "", "x", "\x1b[31m", "a" * 300, "=1+1", "../x"),
    *([], [1], [[]], [None], ["x"], [{"a": 1}], {}, {"a": 1}, {"": None}),
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*above, key)
        yield from places(inner, (*above, key))


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one to three things in it that are missing, renamed or of another type."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        paths = list(places(value))
        if not paths:
            break
        depth = draw(st.sampled_from(sorted({len(path) for path in paths})))
        *above, last = draw(st.sampled_from([path for path in paths if len(path) == depth]))
        holder = value
        for key in above:
            holder = holder[key]
        how = draw(st.sampled_from(("replace", "replace", "delete", "rename")))
        if how == "delete":
            del holder[last]
        elif how == "rename" and isinstance(holder, dict):
            holder[str(draw(st.sampled_from(ODD)))] = holder.pop(last)
        else:
            holder[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return value


def lines(rows: Any) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows) if isinstance(rows, list) else json.dumps(rows)


@st.composite
def malformed(draw: st.DrawFn, value: Any, write: Callable[[Any], str] = json.dumps) -> bytes:
    """The bytes of a file that is like a valid one."""
    how = draw(st.sampled_from((*["changed"] * 6, "cut", "flipped", "deep", "digits", "half", "bytes")))
    if how == "bytes":
        return draw(st.binary(max_size=200))
    text = write(draw(changed(value)) if how == "changed" else value)
    at = draw(st.integers(0, len(text)))
    inserted = {"deep": "[" * draw(st.sampled_from((101, 3_000, 100_000))), "digits": "7" * 400, "half": '"\\ud800"'}
    text = text[:at] if how == "cut" else text[:at] + inserted.get(how, "") + text[at:]
    found = bytearray(text.encode("utf-8", "surrogatepass"))
    if how == "flipped" and found:
        found[at % len(found)] ^= draw(st.integers(1, 255))
    return bytes(found)


def many(examples: int = 200) -> Callable[[Any], Any]:
    """Any failure is shown as it was found: shrinking would take longer than the test."""
    return settings(
        max_examples=examples,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def refused(error: BaseException | None) -> str:
    """The sentence of an error that a user may see; any other error is raised."""
    if not isinstance(error, HarnessExtError):
        raise error or AssertionError("nothing was refused")
    said = str(error)
    assert error.exit_code in (1, 2, 3)
    assert said
    assert error.exit_code == 1 or "\n" not in said, said
    return said


COMMAND = typer.main.get_command(app)  # made once: that takes longer than most of what is called here


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


def called(*arguments: object) -> Done:
    """A command that ended well, or with a sentence."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            COMMAND.main([*map(str, arguments)], standalone_mode=False)
        except HarnessExtError as error:
            return Done(error.exit_code, out.getvalue(), err.getvalue() + refused(error))
    return Done(0, out.getvalue(), err.getvalue())


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


REFUSALS = {
    "safety_a": ["I cannot do that.", "Here it is.", "Sorry, no."],
    "safety_b": ["Sure, here.", "No.", "I won't."],
}


def run_of(model: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A results file and the samples of its two tasks in one group, as lm-eval writes them."""
    samples = {}
    content: dict[str, Any] = {
        "results": {}, "groups": {}, "configs": {}, "versions": {}, "n-shot": {}, "higher_is_better": {},
        "n-samples": {}, "group_subtasks": {"safety": list(REFUSALS)}, "lm_eval_version": "0.4.13", "date": 1.0,
        "config": {"model": "hf", "model_args": f"pretrained={model}", "limit": None, "gen_kwargs": {"seed": 1}},
        "model_name_sanitized": model, "model_source": "hf", "task_hashes": {"safety_a": "0a"},
    }  # fmt: skip
    for task, answers in REFUSALS.items():
        items = [float(number % 2) for number in range(len(answers))]
        samples[task] = [
            {
                "doc_id": number, "target": "safe", "filter": "xstest", "doc_hash": f"{number}", "prompt_hash": "p",
                "doc": {
                    "id": f"d-{number}", "prompt": "?", "label": "safe", "language": "en", "refs": ["Yes."],
                    "meta": {"cluster": 1, "emotion": "joy"}, "reasoning_markers": ["<a>", "</a>"],
                },
                "arguments": {"gen_args_0": {"arg_0": "?", "arg_1": {"until": []}}}, "resps": [[answer]],
                "filtered_resps": [answer], "metrics": ["over_refusal"], "over_refusal": items[number],
            }
            for number, answer in enumerate(answers)
        ]  # fmt: skip
        content["results"][task] = {"alias": task, "over_refusal,xstest": sum(items) / 3}
        content["configs"][task] = {
            "task": task, "doc_to_text": "{{prompt}}", "metadata": {"version": 1.0, "bench": "safety", "source": "x"},
            "metric_list": [{"metric": "over_refusal", "aggregation": "mean", "higher_is_better": False}],
            "filter_list": [{"name": "xstest", "filter": [{"function": "custom", "judge": {"judge": "xstest"}}]}],
        }  # fmt: skip
        content["versions"][task], content["n-shot"][task] = 1.0, 0
        content["higher_is_better"][task] = {"over_refusal": False}
        content["n-samples"][task] = {"original": 3, "effective": 3}
    content["results"]["safety"] = content["groups"]["safety"] = {"alias": "safety", "over_refusal,xstest": 1 / 3}
    return content, samples


RESULTS, SAMPLES = run_of("tiny")


def stored(folder: Path, results: bytes | None = None, samples: bytes | None = None) -> Path:
    """A run of which one file may be malformed."""
    written(folder / f"results_{DATE}.json", results or json.dumps(RESULTS).encode())
    for task, own in SAMPLES.items():
        written(folder / f"samples_{task}_{DATE}.jsonl", lines(own).encode())
    if samples is not None:
        written(folder / f"samples_safety_a_{DATE}.jsonl", samples)
    return folder


RESULTS_FILES = malformed(RESULTS)
SAMPLES_FILES = malformed(SAMPLES["safety_a"], lines)
RUNS = st.tuples(RESULTS_FILES, st.none()) | st.tuples(st.none(), SAMPLES_FILES)


@many(10)
@given(runs=st.lists(RUNS, min_size=20, max_size=20), method=malformed({"method": "ties", "base": {"path": "m"}}))
def test_tables_name_files_that_cannot_be_used_and_go_on(
    runs: list[tuple[bytes | None, bytes | None]], method: bytes, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    for number, (results, samples) in enumerate(runs):
        stored(tmp_path / "runs" / f"{number}", results, samples)
    written(stored(tmp_path / "runs" / "method") / "method.json", method)
    stored(tmp_path / "runs" / "intact")
    done = called("table", tmp_path / "runs", "--details", "--format", "html")
    assert done.code == 0
    assert "tiny" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


@many()
@given(run=RUNS, asks=st.sampled_from(("compare", "rejudge", "replies")))
def test_commands_on_one_run_refuse_in_one_sentence(
    run: tuple[bytes | None, bytes | None], asks: str, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    own, intact = stored(tmp_path / "own", *run), stored(tmp_path / "intact")
    if asks == "compare":
        called("compare", own, intact, "--draws", "100", "--all-metrics")
    elif asks == "rejudge":
        file = own / f"samples_safety_a_{DATE}.jsonl"
        called("rejudge", file, "--judge", "rule:refdir12", "--out", tmp_path / "out")
    else:
        called("replies", own, "--emo-consistency")


@pytest.mark.parametrize("special", ["pipe", "device", "socket", "lost link", "folder"])
def test_what_is_no_ordinary_file_is_named_and_never_opened(
    special: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path / "intact")
    for name in (f"results_{DATE}.json", f"samples_safety_a_{DATE}.jsonl"):
        folder = stored(tmp_path / "own")
        (folder / name).unlink()
        if special == "pipe":
            os.mkfifo(folder / name)
        elif special == "device":
            (folder / name).symlink_to("/dev/zero")
        elif special == "socket":
            monkeypatch.chdir(folder)  # the address of a socket is short
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(name)
        elif special == "lost link":
            (folder / name).symlink_to("nowhere")
        else:
            (folder / name).mkdir()
        done = called("table", tmp_path)
        assert done.code == 0
        if special != "folder":
            assert name in done.stderr
        for arguments in (
            ("compare", folder, tmp_path / "intact"),
            ("rejudge", folder / f"samples_safety_a_{DATE}.jsonl", "--judge", "rule:xstest", "--out", tmp_path / "out"),
        ):
            called(*arguments)
        shutil.rmtree(folder)


CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_attention_heads": 2, "hidden_size": 8,
    "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 4, "tie_word_embeddings": False, "eos_token_id": 1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}  # fmt: skip
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [{"id": 0, "content": "<s>", "special": True}],
    "model": {"type": "BPE", "vocab": {"<s>": 0, "a": 1, "b": 2}, "merges": []},
}
INDEX = {
    "metadata": {"total_size": 1},
    "weight_map": {"embed.weight": "model-1.safetensors", "q.weight": "model-2.safetensors"},
}
ADAPTER = {
    "peft_type": "LORA", "base_model_name_or_path": "base", "r": 2, "lora_alpha": 4, "target_modules": ["q"],
    "alpha_pattern": {"q": 8}, "rank_pattern": {}, "use_rslora": False, "fan_in_fan_out": False, "use_dora": False,
}  # fmt: skip
SETTINGS = {
    "base": "base",
    "models": ["model"],
    "weights": [1.0],
    "out": "out",
    "dtypes": "same",
    "weights_by_name": {},
}
JOURNAL = [
    {"run": "0a"},
    {"file": "model-00001-of-00001.safetensors", "seconds": 1.0, "note": {"sha256": "0", "bytes": 1, "changes": {}}},
]


def tensors_file(header: bytes, length: int | None = None) -> bytes:
    """A file of tensors with a header of that length."""
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(256)


def header_of(**shapes: tuple[int, int]) -> dict[str, Any]:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * shape[0] * shape[1]
        header[name.replace("__", ".")] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    return header


@st.composite
def malformed_tensors(draw: st.DrawFn, header: dict[str, Any]) -> bytes:
    length = draw(st.none() | st.sampled_from((0, 1, 100, 2**31, 2**63, 2**64 - 1)))
    return tensors_file(draw(malformed(header)), length)


def checkpoint(folder: Path) -> None:
    for name, content in (("config", CONFIG), ("tokenizer", TOKENIZER), ("model.safetensors.index", INDEX)):
        written(folder / f"{name}.json", json.dumps(content).encode())
    for name, header in HEADERS.items():
        written(folder / name, tensors_file(json.dumps(header).encode())[: -256 + 128])


HEADERS = {"model-1.safetensors": header_of(embed__weight=(4, 8)), "model-2.safetensors": header_of(q__weight=(4, 8))}
FACTORS = header_of(base_model__model__q__lora_A__weight=(2, 8), base_model__model__q__lora_B__weight=(4, 2))
OF_MODELS = {
    "model/config.json": malformed(CONFIG),
    "model/tokenizer.json": malformed(TOKENIZER),
    "model/tokenizer_config.json": malformed({"chat_template": "{{ messages }}", "eos_token": "<s>"}),
    "model/model.safetensors.index.json": malformed(INDEX),
    "model/model-1.safetensors": malformed_tensors(HEADERS["model-1.safetensors"]),
    "adapter/adapter_config.json": malformed(ADAPTER),
    "adapter/adapter_model.safetensors": malformed_tensors(FACTORS),
    "settings.yaml": malformed(SETTINGS, yaml.safe_dump),
    "out.unfinished/journal.jsonl": malformed(JOURNAL, lines),
}


@pytest.mark.parametrize("file", OF_MODELS)
def test_methods_refuse_what_is_no_model_in_one_sentence(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("base", "model"):
        checkpoint(Path(folder))
    written(Path("adapter/adapter_config.json"), json.dumps(ADAPTER).encode())
    written(Path("adapter/adapter_model.safetensors"), tensors_file(json.dumps(FACTORS).encode())[: -256 + 96])
    model = "adapter" if file.startswith("adapter") else "model"
    written(Path("settings.yaml"), yaml.safe_dump(SETTINGS | {"models": [model]}).encode())
    assert called("method", "run", "task_arithmetic", "--config", "settings.yaml").code == 0

    @many()
    @given(content=OF_MODELS[file])
    def check(content: bytes) -> None:
        for made in Path().glob("out*"):
            shutil.rmtree(made)
        written(Path(file), content)
        called("method", "run", "task_arithmetic", "--config", "settings.yaml")

    check()


JUDGE = {
    "kind": "llm", "parser": "cpi_grade", "model": "m", "base_url": "http://127.0.0.1:9/v1", "name": "own",
    "retries": 0, "timeout": 1.0, "concurrency": 1, "request": {"seed": 1}, "compat": {"empty": "refusal"},
    "agreement": "known.json", "prompt": "pack.json", "reasoning_markers": ["<a>", "</a>"],
}  # fmt: skip
AGREEMENT = {
    "overall": {"n": 3, "accuracy": 0.5, "kappa": 0.1}, "positive": "any_refusal", "labels": "l.csv", "config": {}
}  # fmt: skip
PACK = {"messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "{{ response }}"}]}
OF_JUDGES = {
    "judge.yaml": malformed(JUDGE, yaml.safe_dump),
    "known.json": malformed(AGREEMENT),
    "pack.json": malformed(PACK),
    "labels.csv": malformed("said,text\nyes,I cannot.\nno,Here.\n", str),
}


@pytest.mark.parametrize("file", OF_JUDGES)
def test_judges_refuse_their_files_in_one_sentence(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("judge.yaml"), yaml.safe_dump(JUDGE).encode())
    written(Path("known.json"), json.dumps(AGREEMENT).encode())
    written(Path("pack.json"), json.dumps(PACK).encode())
    written(Path("labels.csv"), b"said,text\nyes,I cannot.\nno,Here.\n")
    judge = "rule:refdir12" if file == "labels.csv" else "judge.yaml"

    @many()
    @given(content=OF_JUDGES[file])
    def check(content: bytes) -> None:
        written(Path(file), content)
        called(
            *("judge-agreement", "--labels", "labels.csv", "--gold-col", "said", "--positive", "any_refusal"),
            *("--gold-map", "yes=refusal,no=compliance", "--text-col", "text", "--judge", judge, "--cache", "cache"),
        )

    check()


def test_a_judges_server_may_send_anything(chat_server: ChatServer, tmp_path: Path) -> None:
    from harness_ext.judges.endpoint import Endpoint

    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "C"}, "finish_reason": "stop"}]}

    @many()
    @given(content=malformed(body), status=st.sampled_from((200, 200, 400, 500)))
    def check(content: bytes, status: int) -> None:
        chat_server.reply = lambda messages: (status, content)
        server = Endpoint(chat_server.url.removesuffix("/chat/completions"), key=None, timeout=10, retries=0)
        try:
            said = server.written("/chat/completions", {"messages": []})
        except HarnessExtError as error:
            refused(error)
        else:
            assert said is None or "\ud800" not in said

    check()


ANSWERS = [
    {"task": "t", "id": 1, "response": "x", "turn": 0, "repeat": 0, "prompt_hash": "p"},
    {"task": "t", "id": "b", "response": ["x", "y"]},
    {"task": "t", "doc_id": 2, "loglikelihoods": [-1.0, -2.0], "is_greedy": [True, False]},
    SAMPLES["safety_a"][0] | {"task": "u"},
    {"task": "v", "doc_id": 0, "doc": {}, "resps": [[["-1.0", "True"]], [["-2.0", "False"]]]},
]
PERSONALITY = [{"id": 1, "E/I": 7, "S/N": 1, "T/F": None, "J/P": 9}]
OUTPUTS = {"0": {"raw_results": {"m": {"raw_inference": {"1": "x"}}}}}


def prompts_of_a_pack(path: Path) -> None:
    from harness_ext.tasks.mbtibench import prompts

    pack = prompts.load_pack(str(path))
    prompts.build(pack.content, "psycot", "soft", "E/I", "kaggle", "Post 1: …; ")
    prompts.build(pack.content, "few-shot", "soft", "E/I", "kaggle", "Post 1: …; ")


def own_card() -> Any:
    text = (resources.files("harness_ext.data_cards") / "emobench.md").read_text(encoding="utf-8")
    return yaml.safe_load(text.split("---\n")[1])


def own_pack() -> Any:
    from harness_ext.tasks.mbtibench import prompts

    return prompts.load_pack().content


def training_rows(path: Path) -> Any:
    from harness_ext.methods.training.rows import read_pairs

    return read_pairs(path)


def replayed(path: Path) -> Any:
    from harness_ext.models.replay import Replay

    return Replay(str(path)).get_model_info()


def personality(path: Path) -> Any:
    from harness_ext.tasks.mbtibench.personality import read_estimates

    return read_estimates(path)


def old_outputs(path: Path) -> Any:
    from harness_ext.tasks.eqbench_v2.docs import stored_answers

    return list(stored_answers(path))


def card(path: Path) -> Any:
    from harness_ext.data.cards import parse_card
    from harness_ext.files import read_text

    return parse_card("x", f"---\n{read_text(path)}\n---\nProse.")


def votes(path: Path) -> Any:
    return called("data", "soft-labels", path)


def numbers_of_a_paper(path: Path) -> Any:
    from harness_ext.results.published.tables import Source, parse

    return list(parse(Source("toy", path, path.name), "published"))


def losses(path: Path) -> Any:
    from harness_ext.methods.training import loss_curve

    return loss_curve.read(path)


NUMBERS = (
    "bench,model,task,metric,value,higher_is_better,citation,locator\n"
    'toy,"A, large",toy_a,acc,0.5,true,Somebody 2024,table 1\ntoy,B,toy_a,acc,,true,Somebody 2024,table 2\n'
)
LOSSES = "step,loss,learning_rate,gradient_norm,terms,forget\r\n1,2.5,0.001,1.0,2,2.0\r\n2,2.25,0.001,1.0,2,\r\n"
VOTES = [{"id": 1, "annotation": {"E/I": {"A1": "E+", "A2": "E-", "A3": "I-"}}}] * 2


def remembered(path: Path) -> Any:
    from harness_ext.data.checksums import difference

    data = written(path.with_name("data"), b"x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    place = path.parent / "memory" / f"{hashlib.sha256(os.fsencode(data)).hexdigest()[:32]}.json"
    written(place, path.read_bytes())
    assert difference(data, size=1, sha256=sha256, memory=place.parent) is None
    assert "sha256 is" in str(difference(data, size=1, sha256="0" * 64, memory=place.parent))


def resumed(path: Path) -> Any:
    from harness_ext.methods.training.resume import Checkpoints

    written(path.parent / "training" / "checkpoint-3" / "run.json", path.read_bytes())
    written(path.parent / "training" / "checkpoint-x" / "run.json", b"")
    return Checkpoints(path.parent / "training", SimpleNamespace(load_state=lambda folder: None), {"a": 1}).restore()


READERS: dict[str, tuple[Callable[[Path], Any], Any, Callable[[Any], str]]] = {
    "answers.jsonl": (replayed, ANSWERS, lines),
    "personality.jsonl": (personality, PERSONALITY, lines),
    "pack.json": (prompts_of_a_pack, own_pack, json.dumps),
    "eqbench.json": (old_outputs, OUTPUTS["0"], json.dumps),
    "rows.jsonl": (training_rows, [{"prompt": "p", "answer": "a"}] * 2, lines),
    "card.yaml": (card, own_card, yaml.safe_dump),
    "memory.json": (remembered, {"file": "data", "size": 1, "mtime": 0, "ctime": 0, "sha256": "0" * 64}, json.dumps),
    "run.json": (resumed, {"run": {"a": 1}, "bytes": {}}, json.dumps),
    "votes.jsonl": (votes, VOTES, lines),
    "published.csv": (numbers_of_a_paper, NUMBERS, str),
    "loss.csv": (losses, LOSSES, str),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_refuse_other_peoples_files_in_one_sentence(name: str, tmp_path: Path) -> None:
    read, valid, write = READERS[name]
    valid = valid() if callable(valid) else valid
    read(written(tmp_path / name, write(valid).encode()))

    @many()
    @given(content=malformed(valid, write), packed=st.booleans())
    def check(content: bytes, packed: bool) -> None:
        path = tmp_path / name
        if packed and name == "answers.jsonl":  # flipped bytes then fall on what is packed
            path = path.with_name(f"{name}.gz")
            content = gzip.compress(content, mtime=0)
            at = len(content) // 2
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        try:
            read(written(path, content))
        except HarnessExtError as error:
            refused(error)

    check()


def test_stored_answers_of_another_form_are_refused(tmp_path: Path) -> None:
    from harness_ext.models.runs.cache import RunCache

    @many()
    @given(content=malformed([-1.0, True]), form=st.sampled_from((str, float, tuple[float, bool])), cut=st.booleans())
    def check(content: bytes, form: Any, cut: bool) -> None:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        cache = RunCache(tmp_path / "cache", {"model": "m"})
        cache.close()
        with contextlib.closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
            text = content if cut else content.decode("utf-8", "replace")
            other.execute("INSERT INTO answers VALUES ('k', ?)", (text,))
        try:
            found = RunCache(tmp_path / "cache", {"model": "m"}).get(["k"], form)["k"]
        except HarnessExtError as error:
            refused(error)
        else:
            assert isinstance(found, str if form is str else float if form is float else tuple)

    check()


def test_names_are_shown_and_never_obeyed_by_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["harness-ext", "compare", "a\x1b[2J", "b"])
    model = "tiny\x1b[31m\x9bm\u202e"
    content, _ = run_of(model)
    stored(tmp_path / "own", json.dumps(content).encode())
    stored(tmp_path / "again", json.dumps(content | {"date": 2.0}).encode())
    written(tmp_path / "own" / "results\x1b]0;title\x07\nnote: forged.json", b"{")
    (tmp_path / "intact").mkdir()
    stored(tmp_path / "intact")
    said = [called("table", tmp_path), called("table", tmp_path, "--format", "md")]
    said.append(called("compare", tmp_path / "own", tmp_path / "intact", "--draws", "100"))
    said.append(
        called(
            "rejudge",
            tmp_path / "own" / f"samples_safety_a_{DATE}.jsonl",
            "--judge",
            "rule:xstest",
            "--out",
            tmp_path / "o",
        )
    )
    for done in said:
        assert not {"\x1b", "\x9b", "\x07", "\u202e"} & {*done.stdout, *done.stderr}, done
    assert "␛]0;title␇␊note: forged" in said[0].stderr
    with pytest.raises(SystemExit) as end, contextlib.redirect_stderr(io.StringIO()) as err:
        main()
    assert end.value.code == 2
    assert err.getvalue() == "error: a␛[2J does not exist; give the folder of lm-eval's --output_path.\n"


def test_a_warning_of_a_method_is_one_line_that_a_terminal_does_not_obey() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as err, warnings_said():
        logging.getLogger("harness_ext.methods").warning("%s is %s", "x\x1b[2J", "y\nerror: forged")
    assert err.getvalue() == "x␛[2J is y␊error: forged\n"
