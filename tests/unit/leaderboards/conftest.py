"""Runs in lm-eval's file layout, small and as nasty as a test wants them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from harness_ext.scoring.soft_labels import agg_s_rmse

DATE = "2026-05-01T10-00-00.000001"


class WriteRun(Protocol):
    """The fixture ``write_run``."""

    def __call__(
        self,
        model: str,
        samples: Sequence[dict[str, Any]],
        *,
        task: str = ...,
        metadata: dict[str, Any] = ...,
        aggregations: dict[str, Callable[[Sequence[Any]], float]] = ...,
    ) -> Path: ...


def mean(items: Sequence[Any]) -> float:
    return sum(items) / len(items)


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run of one task; samples give ``prompt``, ``answer``, ``gold`` and items by metric."""

    def write(
        model: str,
        samples: Sequence[dict[str, Any]],
        *,
        task: str = "toy",
        metadata: dict[str, Any] | None = None,
        aggregations: dict[str, Callable[[Sequence[Any]], float]] | None = None,
    ) -> Path:
        folder = tmp_path / "results" / f"run{len(list(tmp_path.glob('results/*')))}"
        folder.mkdir(parents=True)
        used = aggregations or {"acc": mean}
        lines = []
        for number, sample in enumerate(samples):
            name = str(sample.get("filter", "none"))
            lines.append(
                {
                    "doc_id": sample.get("doc_id", number),
                    "doc": {"id": sample.get("id", f"d{number}")} | sample.get("doc", {}),
                    "target": sample.get("gold", ""),
                    "arguments": sample.get("arguments")
                    or {"gen_args_0": {"arg_0": sample.get("prompt", "Prompt"), "arg_1": {"until": []}}},
                    "resps": sample.get("resps", [[sample.get("answer", "")]]),
                    "filtered_resps": sample.get("filtered_resps", [sample.get("parse", sample.get("answer", ""))]),
                    "filter": name,
                    "metrics": list(used),
                    **{metric: sample.get(metric, 1.0) for metric in used},
                }
            )
        filters = list(dict.fromkeys(str(line["filter"]) for line in lines))
        n = len({line["doc_id"] for line in lines})
        content = {
            "results": {
                task: {"alias": task}
                | {
                    f"{metric},{name}": aggregate([line[metric] for line in lines if line["filter"] == name])
                    for metric, aggregate in used.items()
                    for name in filters
                }
            },
            "configs": {
                task: {
                    "task": task,
                    "metric_list": [
                        {"metric": metric, "aggregation": "mean" if agg is mean else str(agg)}
                        for metric, agg in used.items()
                    ],
                    "metadata": metadata if metadata is not None else {"source": "emobench"},
                }
            },
            "higher_is_better": {task: {metric: agg is not agg_s_rmse for metric, agg in used.items()}},
            "n-samples": {task: {"original": n, "effective": n}},
            "config": {"model": "hf", "model_args": {"pretrained": model}, "limit": None},
            "date": 1.0,
            "lm_eval_version": "0.4.13",
        }
        (folder / f"results_{DATE}.json").write_text(json.dumps(content))
        (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return write
