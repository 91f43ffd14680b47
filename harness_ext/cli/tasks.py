"""``harness-ext tasks``: what there is to run, and how."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from harness_ext.cli.saying import print_json, print_table


class Facts(NamedTuple):
    """What a name of ``--tasks`` stands for; the keys of ``--json``."""

    name: str
    kind: str
    """group, tag or task"""
    bench: str
    asks: str
    metrics: dict[str, bool | None]
    """Those it is judged by, and whether higher is better."""
    chance: list[float]
    """What trivial predictors of its tasks score, lowest first."""
    answers: list[str]
    """text: generated, so any model or server will do; likelihood: needs log-likelihoods, which chat servers lack."""
    languages: list[str]
    docs: int | None
    sources: list[str]
    """Data cards."""
    licences: list[str]
    data: str
    """here, partly here, missing, or unknown."""
    sample: bool
    """Whether it also runs on records bundled with the package."""
    tasks: list[str]
    """What it runs; empty for a task."""
    run: list[str]
    """Commands."""


def tasks(
    search: Annotated[
        str | None,
        typer.Argument(
            help="Part of a name, of what is asked, of a source or a language.", show_default="all groups and tags"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
) -> None:
    """List what `--tasks` of lm_eval takes from this package and its plug-ins, groups first.

    For each: what is asked, the metric it is judged by and its direction, what a trivial predictor scores (chance),
    the language, how many docs it has, their licence, and whether the data is on this machine. A full name shows all
    about it: what it runs, and the commands to run it. lm-eval's own tasks are listed by `lm_eval ls groups`.

    Examples:

    - `harness-ext tasks`
    - `harness-ext tasks eibench`
    - `harness-ext tasks zh --json`

    Exit codes: 2 nothing is called so.
    """
    from harness_ext.errors import InputError
    from harness_ext.results.catalogue import catalogue, leaves, nearest

    known = catalogue()
    if search is None:
        inside = {leaf for entry in known.values() if entry.kind != "task" for leaf in leaves(entry.name)}
        names = [name for name, entry in known.items() if as_json or entry.kind != "task" or name not in inside]
    elif search in known and not as_json:
        _show(_facts(search))
        return
    else:
        names = [name for name in known if _matches(name, search.lower())]
    if not names:
        near = nearest(search or "", known)
        raise InputError(
            f"no task is called {search!r} or asks for it"
            f"{'' if not near else '; near to it: ' + ', '.join(near)}. `harness-ext tasks` lists all groups."
        )
    found = [_facts(name) for name in names]
    if as_json:
        print_json([facts._asdict() for facts in found])
        return
    print_table(_HEADER, [_cells(facts) for facts in found], numbers=("chance", "docs"))
    typer.echo(
        "\n`harness-ext tasks NAME` shows what a name runs and how. Chance: what a trivial predictor scores.", err=True
    )


_HEADER = ("name", "asks", "answers", "metric", "chance", "language", "docs", "licence", "data")


def _matches(name: str, search: str) -> bool:
    facts = _facts(name)
    return any(search in text.lower() for text in (name, facts.bench, facts.asks, *facts.sources)) or (
        search in facts.languages
    )


def _facts(name: str) -> Facts:
    from harness_ext.results.benches import homes
    from harness_ext.results.catalogue import asked, catalogue, leaves, metrics, size

    known = catalogue()
    entry, run = known[name], leaves(name)
    own = [known[leaf] for leaf in run if leaf in known]
    metadata = [leaf.metadata for leaf in own]
    chances = {float(data["chance"]) for data in metadata if isinstance(data.get("chance"), int | float)}
    sources = sorted({str(data["source"]) for data in metadata if data.get("source")})
    home = homes().get(entry.bench)
    sample = bool(home and (home.folder / "sample.jsonl").is_file() and len(own) == len(run))
    licences, data = _data(sources) if len(own) == len(run) else ([], "unknown")
    judged = any(leaf.name.endswith("_judged") for leaf in own)
    return Facts(
        name=name,
        kind=entry.kind,
        bench=entry.bench,
        asks=asked(name),
        metrics=metrics(name),
        chance=sorted(chances),
        answers=sorted({_answer(leaf.config) for leaf in own}),
        languages=sorted({str(data["language"]) for data in metadata if data.get("language")}),
        docs=size(name),
        sources=sources,
        licences=licences,
        data=data,
        sample=sample,
        tasks=[] if entry.kind == "task" else run,
        run=_commands(name, sample=sample, judged=judged),
    )


def _answer(config: Any) -> str:
    return "text" if config.get("output_type", "generate_until") == "generate_until" else "likelihood"


def _commands(name: str, *, sample: bool, judged: bool) -> list[str]:
    import json

    command = f"lm_eval --model hf --model_args pretrained=MODEL --tasks {name} --output_path results --log_samples"
    judge = {"judge": "judge.yaml"} if judged else {}
    switches: list[dict[str, str]] = [judge, *([{"data": "sample"} | judge] if sample else [])]
    return [f"{command} --metadata '{json.dumps(chosen)}'" if chosen else command for chosen in switches]


def _data(sources: list[str]) -> tuple[list[str], str]:
    """Licences of the sources, and whether the files of their test sets are on this machine, unverified."""
    from harness_ext.data.cards import list_sources, load_card
    from harness_ext.data.fetching import local_copies

    cards = [load_card(source) for source in sources if source in list_sources()]
    licences = list(dict.fromkeys(card.hub.license for card in cards))
    if len(cards) < len(sources) or not cards:
        return licences, "unknown"
    tested = [(card, card.file(name)) for card in cards for name in card.splits.get("test", card.names)]
    here = [bool(local_copies(*file)) for file in tested]
    return licences, "here" if all(here) else "partly here" if any(here) else "missing"


def _cells(facts: Facts) -> tuple[str, ...]:
    return (
        facts.name,
        facts.asks,
        " and ".join(facts.answers) or "–",
        _metric(facts),
        _chance(facts),
        ", ".join(facts.languages) or "–",
        "–" if facts.docs is None else f"{facts.docs:,}",
        _few(facts.licences),
        facts.data,
    )


def _metric(facts: Facts) -> str:
    arrows = {True: " ↑", False: " ↓", None: ""}
    return ", ".join(metric + arrows[higher] for metric, higher in facts.metrics.items()) or "–"


def _chance(facts: Facts) -> str:
    if not facts.chance:
        return "–"
    low, high = (f"{round(value, 2):g}" for value in (facts.chance[0], facts.chance[-1]))
    return low if low == high else f"{low}–{high}"


def _few(licences: list[str]) -> str:
    return ", ".join(licences[:2]) + (f" and {len(licences) - 2} more" if len(licences) > 2 else "") or "–"


def _show(facts: Facts) -> None:
    """All about one name."""
    likelihood = facts.answers == ["likelihood"]
    lines = {
        facts.kind: facts.name,
        "asks": facts.asks or "–",
        "metric": _metric(facts),
        "chance": _chance(facts),
        "answers": " and ".join(facts.answers) + (", which chat servers do not give" if likelihood else "") or "–",
        "language": ", ".join(facts.languages) or "–",
        "docs": "unknown" if facts.docs is None else f"{facts.docs:,}",
        "licence": ", ".join(facts.licences) or "–",
        "data": facts.data + (f" (harness-ext data show {' / '.join(facts.sources)})" if facts.sources else ""),
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<10}{value}")
    typer.echo("\nrun it:\n" + "\n".join(f"  {command}" for command in facts.run))
    if facts.tasks:
        typer.echo("")
        from harness_ext.results.catalogue import catalogue

        rows = [_cells(_facts(task)) for task in facts.tasks if task in catalogue()]
        rows += [
            (task, "lm-eval's own", *("–" * (len(_HEADER) - 2))) for task in facts.tasks if task not in catalogue()
        ]
        print_table(_HEADER, rows, numbers=("chance", "docs"))
