"""``harness-ext forget-quality``: is an unlearned model like one that never saw what it was to forget."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness_ext.cli.saying import print_json

if TYPE_CHECKING:
    from harness_ext.tasks.tofu.evaluations import Evaluation


class Align(str, Enum):
    """What to do with questions that only one model was asked."""

    question = "question"


class TruthRatioOption(str, Enum):
    """Definitions of the truth ratio."""

    geometric = "geometric"
    arithmetic = "arithmetic"
    prob_mean = "prob_mean"


def forget_quality(
    unlearned: Annotated[Path, typer.Argument(metavar="UNLEARNED", help="Results of the model that was unlearned.")],
    retain: Annotated[Path, typer.Option(help="Results of a model that was trained without the forget set.")],
    align: Annotated[
        Align | None, typer.Option(help="Compare the questions that both were asked; otherwise they must be the same.")
    ] = None,
    truth_ratio: Annotated[
        TruthRatioOption | None,
        typer.Option(help="Definition of the truth ratio. Default: the runs' own, or geometric."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON for machines.")] = False,
) -> None:
    """Compare the truth ratios of two models on TOFU's forget set with a Kolmogorov-Smirnov test.

    Results are folders or samples files of lm-eval (--log_samples), logs of TOFU's or ULD's code, or folders of
    open-unlearning. p above 0.05 is called forgetting in the literature; with n questions p takes n + 1 values only, so
    compare none of other n, and read forget probability and ROUGE beside it. Different questions, prompts or options
    are refused.

    Examples:

    - `harness-ext forget-quality results/unlearned --retain results/retain90`
    - `harness-ext forget-quality eval_log_aggregated.json --retain retain/eval_log_aggregated.json --json`

    Exit codes: 0 compared (whatever the result), 1 refused because the runs are not comparable, 2 wrong input, 3 a file
    is broken.
    """
    from harness_ext.tasks.tofu.evaluations import compare

    first, second = _read(unlearned), _read(retain)
    options = [one.options.get("truth_ratio", "") for one in (first, second)]
    mode = truth_ratio.value if truth_ratio else next(filter(None, options), "geometric")
    if truth_ratio:  # everything is computed anew from the losses
        first, second = (one._replace(options={**one.options, "truth_ratio": mode}) for one in (first, second))
    found = compare(first, second, mode, align.value if align else None)  # type: ignore[arg-type]
    numbers = {**found._asdict(), "truth_ratio": mode, "model_utility": first.utility(mode)}  # type: ignore[arg-type]
    numbers["components"] = first.components(mode)  # type: ignore[arg-type]
    if json_:
        print_json(numbers)
        return
    typer.echo(f"forget quality  p = {found.p:.6g} (log10 p = {found.log10_p:.3f}, {found.method})")
    typer.echo(f"KS distance     D = {found.D:.6g}, n = {found.n}, m = {found.m}, {mode} truth ratio")
    if numbers["model_utility"] is not None:
        typer.echo(f"model utility   {numbers['model_utility']:.6f}")
    for name, value in first.components(mode).items():  # type: ignore[arg-type]
        typer.echo(f"{name:15} {value:.6f}")


def _read(path: Path) -> Evaluation:
    from harness_ext.tasks.tofu import logs
    from harness_ext.tasks.tofu.derived import evaluation

    found = logs.find(path)
    return logs.read(found) if found else evaluation(path)
