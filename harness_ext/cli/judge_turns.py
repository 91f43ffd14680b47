"""``harness-ext judge-turns``: a judge rates the saved answers of MT-Bench, turn by turn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness_ext.cli.import_judgments import import_judgments
from harness_ext.cli.saying import say
from harness_ext.errors import DataError, InputError

if TYPE_CHECKING:
    from harness_ext.tasks.mtbench.judging import Dialogue

API_KEY = "HARNESS_EXT_JUDGE_API_KEY"


def judge_turns(
    samples: Annotated[
        Path, typer.Argument(help="Samples file of a task mtbench_* (--log_samples).", show_default=False)
    ],
    prompts: Annotated[
        Path, typer.Option(help="FastChat's judge_prompts.jsonl, or one in its form.", show_default=False)
    ],
    base_url: Annotated[
        str, typer.Option(help="OpenAI-compatible endpoint, up to and without /chat/completions.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="The judge's model at that endpoint.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for judgments and results.", show_default=False)],
    timeout: Annotated[float, typer.Option(help="Seconds for one try.")] = 120.0,
    retries: Annotated[int, typer.Option(help="Further tries.", min=0, max=100)] = 6,
) -> None:
    """Let a model rate each answer of MT-Bench from 1 to 10, with the benchmark's own prompts, which you provide.

    Question, answers and right answers are shown whole and behind any reasoning. A judgment without a rating, and one
    that the judge cannot read for its length, is invalid: it is named and in no mean. Turns that the prompts say
    nothing about are missing, and said before anything is asked. Judgments are kept in the folder as they come: run
    again to go on. The key of the endpoint is read from HARNESS_EXT_JUDGE_API_KEY.

    Examples:

    - `harness-ext judge-turns samples_mtbench_ja_*.jsonl --prompts p.jsonl --base-url http://gpu/v1 --model m --out j`

    Exit codes: 0 judged, 2 wrong input or the judge cannot be reached, 3 a file is broken.
    """
    from harness_ext.judges.endpoint import Endpoint
    from harness_ext.results.reading.samples import SAMPLES_NAME
    from harness_ext.tasks.mtbench.judging import judge, plan, read_templates

    name = SAMPLES_NAME.fullmatch(samples.name)
    if name is None or not name["task"].startswith("mtbench_") or name["task"].startswith("mtbench_t1"):
        raise InputError(f"{samples.name} is no samples file of a task mtbench_* with two turns.")
    asked = plan(read_templates(prompts), _dialogues(samples))
    for sentence in asked.said():
        say(f"{name['task']}, {sentence}.")
    if not asked.asked:
        raise InputError(f"{prompts} has no prompt for any answer of {samples.name}.")
    kept = out / f"judgments_{name['task']}.jsonl"
    own = samples.resolve().parent.name
    endpoint = Endpoint(base_url, key=os.environ.get(API_KEY) or None, timeout=timeout, retries=retries)
    judge(asked.asked, own, model, endpoint, kept)
    import_judgments(kept, name["task"], out)


def _dialogues(samples: Path) -> list[Dialogue]:
    from harness_ext.models.dialogues.turns import answers_of
    from harness_ext.results.reading.samples import sample_lines
    from harness_ext.scoring.answers import MARKERS, answer_of
    from harness_ext.tasks.mtbench.judging import Dialogue

    found = []
    try:
        for line in sample_lines(samples, ("none",)):
            doc: dict[str, Any] = line["doc"]
            answers = [answer_of(text, doc.get(MARKERS)).text for text in answers_of(line["resps"][0][0])]
            found.append(Dialogue(str(doc["id"]), doc["category"], doc["turns"], answers, doc["reference"]))
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{samples.name}: {error}. Give a samples file of lm-eval.") from error
    return found
