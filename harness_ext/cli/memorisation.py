"""``harness-ext memorisation``: what a model knows of texts word for word, and whether it tells them from others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness_ext.cli.saying import print_json
from harness_ext.errors import DataError, InputError


def memorisation(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder or name of a Hugging Face model.")],
    forget: Annotated[Path, typer.Argument(metavar="FORGET", help="JSONL of rows with prompt and answer.")],
    holdout: Annotated[
        Path | None, typer.Option(help="The same of texts that the model never saw: attacks are measured against them.")
    ] = None,
    reference_auc: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="AUC by min-k of a model that was trained without FORGET; gives privleak."),
    ] = None,
    k: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the tokens that min-k looks at.")] = 0.4,
    model_args: Annotated[str, typer.Option(help="More arguments of hf-prefix, as lm-eval's --model_args.")] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON for machines.")] = False,
) -> None:
    """Measure how much of the answers in FORGET a model has memorised, from its score of every token.

    exact_memorization: share of the tokens that it would have chosen itself; extraction_strength: share of the answer
    that it finishes by itself (both without the end token). With --holdout, AUC of attacks by loss, zlib, min-k and
    min-k++: 1 and 0 are leaks, 0.5 is ideal. Intervals are 95 % bootstrap intervals over rows.

    Examples:

    - `harness-ext memorisation runs/unlearned forget.jsonl`
    - `harness-ext memorisation runs/unlearned forget.jsonl --holdout holdout.jsonl --reference-auc 0.52`

    Exit codes: 0 measured, 2 wrong input, 3 a file is broken.
    """
    if reference_auc is not None and holdout is None:
        raise InputError("--reference-auc is compared with an AUC, which needs --holdout.")
    sides = {"forget": _rows(forget), **({"holdout": _rows(holdout)} if holdout else {})}
    scored = _scored(model, model_args, sides)
    found = _numbers(scored, k)
    if reference_auc is not None:
        from harness_ext.scoring.unlearning import privleak

        leak = privleak(found["mia_min_k_auc"]["value"], reference_auc)
        found["privleak"] = {"value": leak, "low": math.nan, "high": math.nan, "reference_auc": reference_auc}
    if json_:
        print_json({"metrics": found, "n": {name: len(rows) for name, rows in scored.items()}, "k": k})
        return
    for name, one in found.items():
        interval = f" [{one['low']:.4f}, {one['high']:.4f}]" if math.isfinite(one["low"]) else ""
        against = f" (reference AUC {one['reference_auc']:g})" if "reference_auc" in one else ""
        leaks = " a leak: far from 0.5" if name.endswith("_auc") and abs(one["value"] - 0.5) > 0.1 else ""
        typer.echo(f"{name:24} {one['value']:.4f}{interval}{against}{leaks}")


def _rows(path: Path) -> list[tuple[str, str]]:
    from harness_ext.files import FileError, json_lines

    found = []
    try:
        for number, row in json_lines(path):
            if not (isinstance(row, dict) and isinstance(row.get("answer"), str) and row["answer"].strip()):
                raise DataError(f"{path} line {number}: no answer. Rows have prompt and answer.")
            prompt = row.get("prompt", row.get("question", ""))
            if not isinstance(prompt, str) or prompt != prompt.rstrip():
                raise DataError(
                    f"{path} line {number}: the prompt ends in a blank or is no text. A blank is set between prompt "
                    "and answer; end the prompt without one."
                )
            found.append((prompt, row["answer"]))
    except FileError as error:
        raise DataError(f"{path}: {error}.") from error
    if not found:
        raise DataError(f"{path}: no rows.")
    return found


def _scored(
    model: str, arguments: str, sides: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[str, list[dict[str, Any]]]:
    """The token scores of every row, set by set and in order."""
    import tempfile

    from lm_eval.api.instance import Instance
    from lm_eval.utils import simple_parse_args_string

    from harness_ext.files import json_lines
    from harness_ext.models.prefix_lm import PrefixLM

    with tempfile.TemporaryDirectory() as folder:
        given = {"device": None, **simple_parse_args_string(arguments)}
        lm = PrefixLM(pretrained=model, token_scores=folder, **{key: value for key, value in given.items() if value})
        end = lm.tok_decode([lm.eot_token_id], skip_special_tokens=False)
        requests = [
            Instance("loglikelihood", {}, (prompt, f" {answer}{end}"), 0, (name, number, 1))
            for name, rows in sides.items()
            for number, (prompt, answer) in enumerate(rows)
        ]
        lm.loglikelihood(requests)
        lines = [line for file in sorted(Path(folder).glob("*.jsonl")) for _, line in json_lines(file)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for line in sorted(lines, key=lambda line: int(line["doc_id"])):
        answer = sides[line["task"]][int(line["doc_id"])][1]
        if len(line["tokens"]) < 2:
            raise DataError(f"{line['task']} row {line['doc_id']}: {answer[:60]!r} has no token of its own.")
        found[line["task"]].append({**line, "answer": answer})
    for name, rows in sides.items():
        if len(found[name]) != len(rows):
            raise DataError(f"{name}: {len(found[name])} of {len(rows)} rows were scored.")
    return found


def _numbers(scored: Mapping[str, Sequence[Mapping[str, Any]]], k: float) -> dict[str, dict[str, float]]:
    from harness_ext.results.statistics.bootstrap import interval
    from harness_ext.scoring import unlearning
    from harness_ext.scoring.resampled.numbers import nanmean

    losses = {name: [-sum(row["log_probs"]) / len(row["tokens"]) for row in rows] for name, rows in scored.items()}
    forget = scored["forget"]
    means = {
        "prob": [math.exp(-loss) for loss in losses["forget"]],
        "exact_memorization": [unlearning.exact_memorisation(row["hits"][:-1]) for row in forget],
        "extraction_strength": [unlearning.extraction_strength(row["hits"][:-1]) for row in forget],
    }
    attacks = {
        "mia_loss_auc": losses,
        "mia_zlib_auc": {
            name: [unlearning.zlib_score(loss, row["answer"]) for loss, row in zip(losses[name], rows, strict=True)]
            for name, rows in scored.items()
        },
        "mia_min_k_auc": {n: [unlearning.min_k(row["log_probs"], k) for row in rows] for n, rows in scored.items()},
        "mia_min_k_plus_plus_auc": {
            name: [unlearning.min_k_plus_plus(row["log_probs"], row["mean"], row["variance"], k) for row in rows]
            for name, rows in scored.items()
        },
    }
    found = {name: interval(nanmean(values)) for name, values in means.items()}
    if "holdout" in scored:
        for name, sides in attacks.items():
            items = [(float(side == "forget"), value) for side, values in sides.items() for value in values]
            found[name] = interval(unlearning.member_auc(items))
    return {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in found.items()}
