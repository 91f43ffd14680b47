"""``make mutants``: does a test fail when one line of the code is wrong?

Each mutant is one change by hand, in the kind that has gone unnoticed before, and names the tests that have to notice.
It is tried in a copy of the checkout; nothing else is touched. A mutant that no test notices *survives*; one whose text
is no longer in its file is *stale* and has to be written anew. ``python tests/mutants.py scoring em.py`` tries those
whose room or file is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
GOAL = 0.95
Outcome = Literal["killed", "survived", "stale"]


class Mutant(NamedTuple):
    """A change of one file, and the tests below ``tests/`` that have to fail with it."""

    file: str
    old: str
    new: str
    tests: str
    excuse: str = ""
    """Why it may survive: it changes nothing that anybody could see."""


S, T, R = "harness_ext/scoring", "unit/scoring", "harness_ext/results"
M, D, J = "harness_ext/models", "harness_ext/data", "harness_ext/judges"
MUTANTS: dict[str, tuple[Mutant, ...]] = {
    "scoring": (
        Mutant(f"{S}/em.py", "(posterior[j], names[j])", "posterior[j]", f"{T}/test_em.py"),
        Mutant(f"{S}/em.py", "counts[outward] / 2", "counts[outward]", "conformance/test_mbtibench_scoring_em.py"),
        Mutant(f"{S}/answers.py", "        end = match.end()\n    if", "        end = end or match.end()\n    if",
               f"{T}/test_answers.py"),
        Mutant(f"{S}/answers.py", "opening.search(response, end)", "opening.search(response)", f"{T}/test_answers.py"),
        Mutant(f"{S}/answers.py", r"(?:\s[^<>\n]{{0,80}})?>|【", ">|【", f"{T}/test_answers.py"),
        Mutant(f"{S}/answers.py", "= text.lstrip()\n", "= text\n", f"{T}/test_answers.py"),
        Mutant(f"{S}/eqbench.py", "> _LARGEST", ">= _LARGEST", "unit/tasks/eqbench_v2/test_eqbench.py"),
        Mutant(f"{S}/eqbench.py", r'(\w+)(?::\s+(\d+))?', r'(\w+):\s+(\d+)', f"{T}/test_growth.py -k eqbench"),
        Mutant(f"{S}/eqbench.py", "if difference <= 5", "if difference < 5",
               "unit/tasks/eqbench_v2/test_eqbench.py conformance/test_eqbench.py"),
        Mutant(f"{S}/choice_likelihoods.py", "0.5 if pole is None", "0.0 if pole is None",
               f"{T}/test_soft_labels_likelihoods.py"),
        Mutant(f"{S}/spans.py", "return 100.0 * (g == p)", "return 0.0", f"{T}/test_spans.py"),
        Mutant(f"{S}/safety.py", "ratio(2 * answered * declined, answered + declined, NAN)",
               "(answered + declined) / 2",
               "unit/tasks/safety/test_scoring.py"),
        Mutant(f"{S}/safety.py", '"partial": 1.0', '"partial": 0.0', "unit/tasks/safety/test_scoring.py"),
        Mutant(f"{S}/verdict_parsers.py", '"i": "refusal"', '"i": "partial"', "unit/judges/test_reasoning.py"),
        Mutant(f"{S}/affect.py", r"(?!A\s+[a-z])", "", "conformance/test_eibench_parsers.py"),
        Mutant(f"{S}/generation.py", "np.exp(values)", "np.exp(-values)", f"{T}/test_generation.py"),
    ),
    "results": (
        Mutant(f"{R}/statistics/bootstrap.py", "tails = ((1 - CONFIDENCE) / 2", "tails = ((1 - CONFIDENCE)",
               "unit/results/test_bootstrap.py"),
        Mutant(f"{R}/statistics/bootstrap.py", "defined.std(ddof=1)", "defined.std(ddof=1) / 2",
               "unit/results/test_bootstrap.py"),
        Mutant(f"{R}/statistics/significance.py", "inv_cdf(1 - alpha / 2)", "inv_cdf(1 - alpha)",
               "unit/results/test_significance.py"),
        Mutant(f"{R}/statistics/significance.py", "stderr * math.sqrt(units)", "stderr",
               "unit/results/test_significance.py unit/results/test_compare.py"),
        Mutant(f"{R}/statistics/significance.py", "if total < 2:", "if total < 3:",
               "unit/results/test_significance.py"),
        Mutant(f"{R}/statistics/paired.py", "(self.difference > 0) == self", "(self.difference < 0) == self",
               "unit/results/test_compare.py"),
        Mutant(f"{R}/derived.py", "sign * other < sign * value", "sign * other <= sign * value",
               "unit/results/test_derived.py"),
        Mutant(f"{R}/reading/samples.py", "scores.numbers.append(number)",
               "scores.numbers.append(str(len(scores.ids)))",
               "unit/results/test_compare.py unit/results/test_reader.py"),
        Mutant(f"{R}/judging/judged_metrics.py", 'labels & {"unsafe"}', "labels", "unit/results/test_rejudge.py"),
        Mutant(f"{R}/judging/answers.py", 'line["resps"][0][0]', 'line["resps"][0][-1]',
               "unit/results/test_rejudge.py"),
    ),
    "judges": (
        Mutant(f"{J}/model_judge.py", '"version": self.version, **self._asked.about()}\n', "**self._asked.about()}\n",
               "unit/judges/test_verdict_keys.py"),
        Mutant(f"{J}/model_judge.py", "item.prompt, item.response, ", "", "unit/judges/test_verdict_keys.py",
               "what the model is shown holds prompt and response; the key has them only to be safe"),
        Mutant(f"{J}/model_judge.py", "result = own or self", "result = self", "unit/judges/test_reasoning.py"),
        Mutant(f"{J}/model_judge.py", 'result.label == "invalid"', "False", "unit/judges/test_judge_llm.py"),
        Mutant(f"{J}/model_judge.py", "< self._compat.min_words", "<= self._compat.min_words",
               "unit/judges/test_judge_llm.py"),
        Mutant(f"{J}/rule.py", "given.text.strip() else self._empty or", "given.text else self._empty or",
               "unit/judges/test_judge_filters.py"),
        Mutant(f"{J}/llm.py", '"temperature": 0, "max_tokens": self._max_tokens, **config.request},\n', "},\n",
               "unit/judges/test_verdict_keys.py"),
        Mutant(f"{J}/llm.py", '"sha256": self._prompt.sha256', '"sha256": ""', "unit/judges/test_judge_llm.py"),
        Mutant(f"{J}/bounded_templates.py", "if steps[0] > MOST_STEPS:", "if False:",
               "unit/judges/test_bounded_templates.py"),
        Mutant(f"{J}/bounded_templates.py", "if length > MOST_CHARACTERS:", "if False:",
               "unit/judges/test_bounded_templates.py"),
        Mutant(f"{J}/cache.py", "INSERT OR IGNORE", "INSERT OR REPLACE", "unit/judges/test_verdict_keys.py"),
        Mutant(f"{J}/classifier.py", '"left" if self._parser else "right"', '"right"',
               "unit/judges/test_judge_classifier.py"),
    ),
    "models": (
        Mutant(f"{M}/dialogues/turns.py", "answers[int(slot[1]) - 1]", "answers[0]", "unit/models/test_turns.py"),
        Mutant(f"{M}/dialogues/turns.py", "until), stop]", "until)]", "unit/models/test_turns.py"),
        Mutant(f"{M}/dialogues/filter.py", "len(answers) if self.turn", "1 if self.turn", "unit/models/test_turns.py"),
        Mutant(f"{M}/dialogues/player.py", "seen[id(request)] += 1", "pass", "unit/models/test_turns.py"),
        Mutant(f"{M}/replay/lm.py", "asked[id(request)] += 1", "pass", "unit/models/test_replay.py"),
        Mutant(f"{M}/replay/lm.py", "if answer.doc_hash and", "if not answer.doc_hash and",
               "unit/models/test_replay.py"),
        Mutant(f"{M}/replay/answers.py", "self.repeat + step", "self.repeat", "unit/models/test_replay.py"),
        Mutant(f"{M}/replay/answers.py", "if known.value != answer.value", "if False", "unit/models/test_replay.py"),
        Mutant(f"{M}/runs/switches.py", "asked.keys() - model_args.keys()", "asked.keys()",
               "unit/models/test_switches.py"),
        Mutant(f"{M}/runs/switches.py", "if not all(hasattr", "if not any(hasattr", "unit/models/test_switches.py"),
        Mutant(f"{M}/prefix/tree.py", "< min_saving", "<= min_saving", "unit/models/prefix/test_prefix_tree.py"),
        Mutant(f"{M}/prefix/tree.py", "first=span.first + shift", "first=span.first",
               "unit/models/prefix/test_prefix_tree.py"),
    ),
    "methods": (
        Mutant("methods/deltas/__init__.py", "< 1 - drop", "< drop", "unit/methods/test_deltas.py"),
        Mutant("methods/deltas/__init__.py", "tensor * float(weight)", "tensor", "unit/methods/test_deltas.py"),
        Mutant("methods/deltas/__init__.py", "select(chunks, int(density * entries))",
               "select(chunks, int(density * entries) + 1)",
               "unit/methods/test_deltas.py conformance/test_delta_goldens.py"),
        Mutant("methods/checkpoints/tied.py", "in tied_weights(base).items():", "in ((head, embeddings),):",
               "unit/methods/test_checkpoints_fit.py -k several_ties"),
        Mutant("methods/checkpoints/write.py", "and not (tokenizer and _of_texts(path))", "",
               "unit/methods/test_checkpoints_fit.py -k every_method_writes"),
        Mutant("methods/irr/__init__.py", "mul_(2 / count)", "mul_(1 / count)",
               "methods/irr/__init__.py --doctest-modules"),
        Mutant("methods/irr/__init__.py", "here[:, j + 1 :] -= ", "here[:, j + 1 :] += ",
               "unit/methods/test_irr_linear.py"),
        Mutant("methods/safe_lora/__init__.py", "V @ V.T / norm", "V @ V.T", "unit/methods/test_safe_lora.py"),
        Mutant("methods/safe_lora/__init__.py", "if cosine <= threshold", "if cosine < threshold",
               "unit/methods/test_safe_lora.py conformance/test_safe_lora_goldens.py"),
        Mutant("methods/safepatching/tensor.py", "(alpha, beta), (d_se", "(alpha, alpha), (d_se",
               "unit/methods/test_safepatching.py"),
        Mutant("methods/deltas/__init__.py", "kept.div_(1 - drop)", "kept.div_(drop)",
               "unit/methods/test_deltas.py conformance/test_delta_goldens.py"),
    ),
    "data": (
        Mutant(f"{D}/checksums.py", "if seen != sha256:", "if not seen:", "unit/data"),
        Mutant(f"{D}/checksums.py", '"mtime": status.st_mtime_ns, ', "", "unit/data",
               "whatever changes the one time changes ctime too, which is noted beside it"),
        Mutant(f"{D}/downloading.py", "if arrived > self.size:", "if arrived >= self.size:",
               "unit/data/test_fetch_download.py"),
        Mutant(f"{D}/downloading.py", '.startswith(f"bytes {arrived}-")', "", "unit/data/test_fetch_download.py",
               "a part of another place gives another checksum, and the download begins anew"),
        Mutant(f"{D}/downloading.py", "if seen == sha256:", "if seen:", "unit/data/test_fetch_download.py"),
        Mutant(f"{D}/fetching.py", "if not is_accepted(card):", "if False:", "unit/data"),
        Mutant(f"{D}/fetching.py", "if offline := offline_because():", "if False and (offline := offline_because()):",
               "unit/data"),
        Mutant(f"{D}/fetching.py", "[mirror] if mirror else []), cache_folder", "[]), cache_folder", "unit/data"),
        Mutant(f"{D}/acceptance.py", "== _terms(card)", "!= ''", "unit/data/test_acceptance.py"),
        Mutant(f"{D}/reasoning.py", "len(reasoning_markers) == 2", "len(reasoning_markers)",
               f"{T}/test_answers.py"),
    ),
    "tasks": (
        Mutant("tasks/eibench/readers/esconv.py", "window(turns, i - 1, previous=4)", "window(turns, i, previous=4)",
               "conformance/test_prompts_and_answers.py -k esc_"),
        Mutant("tasks/eibench/readers/cicero_v2.py", "start=1", "start=0",
               "conformance/test_prompts_and_answers.py -k cicero"),
        Mutant("tasks/eibench/scores.py", "{number - 1 for number in numbers}", "{number for number in numbers}",
               "conformance/test_eibench_replay.py -k oracle_scores_100_on_all"),
        Mutant("tasks/eibench/meld.yaml", "  - {metric: weighted_f1,", "  # {metric: weighted_f1,",
               "unit/tasks/test_load.py -k meld"),
        Mutant("tasks/tombench/scores.py", '== "A")}', '== "B")}', "unit/tasks/tombench"),
        Mutant("tasks/emobench/scores.py", '"joint", min(right)', '"joint", max(right)', "unit/tasks/emobench"),
        Mutant("tasks/mbtibench/scores.py", 'not doc["swapped"] else flip(p)', 'True else flip(p)',
               "unit/tasks/mbtibench/test_scores.py"),
        Mutant("tasks/seceu/scores.py", "math.nan if answer is None", "0.0 if answer is None", "unit/tasks/seceu"),
        Mutant("tasks/eqbench_v2/scores.py", "@of_answer\ndef short", "def short",
               "unit/tasks/test_answers.py -k eqbench"),
        Mutant("tasks/safety/docs.py", "prompt.strip(), \"label\"", "prompt, \"label\"",
               "conformance/test_safety_docs.py"),
    ),
}  # fmt: skip


def changed(place: Path, mutant: Mutant) -> Iterator[bool]:
    """Change the file for as long as the caller looks; False where the text is not there, or not once."""
    file = place / mutant.file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text.count(mutant.old) != 1:
        yield False
        return
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        yield True
    finally:
        file.write_text(text, encoding="utf-8")


def passes(place: Path, tests: str) -> bool:
    words = [f"tests/{word}" if word.startswith(("unit", "conformance", "e2e")) else word for word in tests.split()]
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words]
    settings = {**os.environ, "PYTHONPATH": str(place), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=place, env=settings, capture_output=True, check=False).returncode == 0


def tried(place: Path, mutant: Mutant) -> Outcome:
    for there in changed(place, mutant):
        return ("survived" if passes(place, mutant.tests) else "killed") if there else "stale"
    raise AssertionError("unreachable")


def main(words: list[str]) -> int:
    """Try the mutants whose room or file is named, by default all; 1 if a room misses the goal or a text is stale."""
    totals: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copytree(ROOT, Path(folder) / "checkout", ignore=LEFT_OUT))
        sound = cache(lambda tests: passes(place, tests))
        for room, mutants in MUTANTS.items():
            for mutant in mutants:
                if words and not any(word == room or word in mutant.file for word in words):
                    continue
                if not sound(mutant.tests):
                    sys.exit(f"{mutant.tests} fails without any change: mend it first.")
                outcome = tried(place, mutant)
                counted = totals.setdefault(room, Counter())
                counted["excused" if outcome == "survived" and mutant.excuse else outcome] += 1
                if outcome != "killed":
                    print(f"{outcome}: {mutant.file}: {mutant.old!r} -> {mutant.new!r}  {mutant.excuse}", flush=True)
    failed = False
    for room, counted in totals.items():
        known = counted["killed"] + counted["survived"]
        rate = counted["killed"] / known if known else 1.0
        failed |= rate < GOAL or bool(counted["stale"])
        notes = ", ".join(f"{count} {kind}" for kind, count in counted.items() if kind != "killed")
        print(f"{room:8} {counted['killed']} of {known} killed ({rate:.0%})" + (f", {notes}" if notes else ""))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
