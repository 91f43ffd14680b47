"""Docs of the toy benchmark."""

import json
from pathlib import Path

from datasets import Dataset


def load(**_):
    lines = (Path(__file__).parent / "sample.jsonl").read_text(encoding="utf-8").splitlines()
    docs = [json.loads(line) for line in lines]
    return {"test": Dataset.from_list(docs[:12]), "dev": Dataset.from_list(docs[12:])}
