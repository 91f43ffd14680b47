"""``harness-ext probes``: tasks with pictures, to be looked at, or passed on as a table."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from harness_ext.cli.saying import group, say, write
from harness_ext.errors import InputError

app = group("Look at tasks with pictures, and pass them on.")

Tasks = Annotated[
    list[str], typer.Argument(metavar="TASK...", help="Tasks, groups or tags with pictures.", show_default=False)
]
Metadata = Annotated[
    str | None,
    typer.Option(metavar="JSON", help="As lm-eval's --metadata, such as '{\"seed\": 1}'.", show_default=False),
]
IncludePath = Annotated[
    Path | None, typer.Option(help="Folder of more tasks, as lm-eval's --include_path.", show_default=False)
]
_WAY_OUT = "Free some space, or give another --output."


@app.command()
def preview(
    task: Tasks,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page's file.")] = Path("probes.html"),
    docs: Annotated[int, typer.Option(min=1, help="Docs of each task.")] = 3,
    metadata: Metadata = None,
    include_path: IncludePath = None,
) -> None:
    """Show questions with their pictures and right answers on one page.

    The page is one file that loads nothing. Pictures of others that a task reads are in it: do not publish it then.

    Examples:

    - `harness-ext probes preview gpt4v_probes -o probes.html`
    - `harness-ext probes preview gpt4v_probes_syn_math --docs 9 --metadata '{"seed": 1}'`

    Exit codes: 0 written, 2 wrong input, 3 data missing or broken.
    """
    from harness_ext.leaderboards.preview import Shown, ShownTask
    from harness_ext.leaderboards.preview import preview as page

    shown = []
    for own in _with_pictures(task, metadata, include_path):
        first = [
            Shown(
                str(doc.get("id", number)),
                _pictures(own, doc),
                _question(own, doc),
                str(own.doc_to_target(doc)),
                str(doc.get("level") or ""),
            )
            for number, doc in enumerate(islice(own.eval_docs, docs))
        ]
        shown.append(ShownTask(own.config.task, len(own.eval_docs), first))
    write(output, page(f"Probes: {', '.join(task)}", shown), _WAY_OUT, make_folder=True)
    say(f"{output}: {sum(len(one.docs) for one in shown)} docs of {len(shown)} tasks.")


@app.command()
def tsv(
    task: Tasks,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table's file.", show_default=False)],
    metadata: Metadata = None,
    include_path: IncludePath = None,
) -> None:
    """Write docs with one picture each as a table in the layout of VLMEvalKit.

    Its columns are index, image (base64), question, the letters of the options, answer and category, the task's name.

    Examples:

    - `harness-ext probes tsv gpt4v_probes_syn_vqa gpt4v_probes_syn_depth -o probes.tsv`

    Exit codes: 0 written, 2 wrong input, 3 data missing or broken.
    """
    rows = [row for own in _with_pictures(task, metadata, include_path) for row in _rows(own)]
    letters = sorted({key for row in rows for key in row if len(key) == 1})
    content = io.StringIO(newline="")
    header = ["index", "image", "question", *letters, "answer", "category"]
    table = csv.DictWriter(content, header, restval="", delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write(output, content.getvalue(), _WAY_OUT, make_folder=True)
    say(f"{output}: {len(rows)} rows.")


def _with_pictures(names: list[str], metadata: str | None, include_path: Path | None) -> list[Any]:
    from harness_ext.cli.pairs import leaves

    tasks = [own for own in leaves(names, metadata, include_path) if own.config.doc_to_image is not None]
    if not tasks:
        raise InputError(f"{' '.join(names)} shows no pictures; `harness-ext tasks picture` finds tasks that do.")
    return tasks


def _pictures(task: Any, doc: Any) -> list[str]:
    found = []
    for picture in task.doc_to_image(doc):
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, format="PNG")
        found.append(base64.b64encode(stream.getvalue()).decode())
    return found


def _question(task: Any, doc: Any) -> str:
    return str(task.doc_to_text(doc)).replace("<image>", "").strip()


def _rows(task: Any) -> Iterator[dict[str, str]]:
    for number, doc in enumerate(task.eval_docs):
        pictures = _pictures(task, doc)
        if len(pictures) != 1:
            raise InputError(f"{task.config.task}: doc {number} shows {len(pictures)} pictures; the table holds one.")
        row = {
            "index": f"{task.config.task}/{doc.get('id', number)}",
            "image": pictures[0],
            "question": _question(task, doc),
        }
        row |= dict(zip(doc.get("letters") or "", doc.get("options") or (), strict=False))
        yield row | {"answer": str(task.doc_to_target(doc)), "category": task.config.task}
