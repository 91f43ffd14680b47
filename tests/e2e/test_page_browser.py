"""The page in a real browser: results of lm-eval's own command line, answers as nasty as models can be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from warm_python import python

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

MAIN = "from harness_ext.cli import main; main()"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

NASTY = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'><!-- \u2028 \x07 \u202e"
MODELS = ("careful", "<b>bold</b> & \"quoted\" 'model'")
DOCS = 45
LONG = 5_000_000

TASK = """\
task: nasty
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
generation_kwargs: {{until: [], max_gen_toks: 8, do_sample: false}}
filter_list:
  - {{name: strict, filter: [{{function: take_first}}]}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0, judge: "exact <i>match</i>"}}
"""


def answers(model: int) -> Iterator[dict[str, Any]]:
    """One model's stored answers; document 7 is 5 MB, document 3 tries everything."""
    for at in range(DOCS):
        text = {3: NASTY, 7: "x" * LONG + " the very end"}.get(at, f"answer {at if at % (model + 2) else -1}")
        yield {"task": "nasty", "id": f"q{at}", "response": text}
    for code in ("ei", "sn", "tf", "jp"):
        for at in range(18):
            text = f"I think [[{1 + (at * (3 + model)) % 9}]]" if at != 5 else f"No. {NASTY}"
            yield {"task": f"mbtibench_zero_shot_{code}", "id": 100001 + at, "response": text}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page made of two runs of lm-eval by the two commands that a user types."""
    folder = tmp_path_factory.mktemp("page")
    docs = [{"id": f"q{at}", "question": f"{NASTY} question {at}?", "answer": f"answer {at}"} for at in range(DOCS)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "nasty.yaml").write_text(TASK.format(data=folder / "docs.jsonl"))
    for number, model in enumerate(MODELS):
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers(number)))
        run(
            "-m", "lm_eval", "run", "--model", "replay", "--tasks", "nasty,mbtibench_zero_shot",
            "--model_args", json.dumps({"path": str(folder / "answers.jsonl"), "model": model}),
            "--include_path", str(folder), "--metadata", '{"data": "sample"}',
            "--log_samples", "--output_path", str(folder / "results"),
        )  # fmt: skip
    page = folder / "page.html"
    run("-c", MAIN, "table", str(folder / "results"), "--output", str(page))
    return page


def run(*arguments: str) -> None:
    done = python(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


class Visit:
    """An open page, and everything that must not happen on it."""

    def __init__(self, browser: Any, path: Path, **settings: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(**settings)
        self.url = path.as_uri()
        self.context.route("**/*", self._guard)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # a busy machine is no failure
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.goto(self.url)

    def _guard(self, route: Any) -> None:
        if route.request.url.partition("#")[0] == self.url:
            route.continue_()
        else:
            self.requests.append(route.request.url)
            route.abort()


@pytest.fixture
def visit(browser: Any, path: Path) -> Iterator[Visit]:
    visit = Visit(browser, path, viewport={"width": 1280, "height": 900})
    yield visit
    assert visit.page.evaluate("window.broken") is None, "text of a model ran as a script"
    visit.context.close()
    assert visit.complaints == []
    assert visit.requests == [], "something left the page"


def column(table: Any, name: str) -> list[str]:
    heads = [head.strip() for head in table.locator("thead th").all_inner_texts()]
    return [row.locator("th, td").nth(heads.index(name)).inner_text() for row in table.locator("tbody tr").all()]


def viewer(visit: Visit) -> Any:
    found = visit.page.locator("#samples")
    found.scroll_into_view_if_needed()
    found.locator("summary").first.wait_for()
    return found


def choose_nasty(found: Any) -> None:
    found.get_by_label("Task").select_option("nasty")


def test_nothing_goes_wrong_from_top_to_bottom(visit: Visit) -> None:
    visit.page.locator("#samples").scroll_into_view_if_needed()
    visit.page.locator("#samples summary").first.wait_for()
    assert MODELS[1] in visit.page.locator("table").first.inner_text()


def test_a_click_sorts_up_then_down_then_as_it_was(visit: Visit) -> None:
    table = visit.page.locator("article.table").filter(has_text="E/I").first
    before = column(table, "E/I")
    head = table.locator("thead th").filter(has_text="E/I")
    rmse = [float(text.partition("/")[0]) for text in before]
    for state, expected in (("ascending", sorted(rmse)), ("descending", sorted(rmse, reverse=True))):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == state
        assert [float(text.partition("/")[0]) for text in column(table, "E/I")] == expected
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert column(table, "E/I") == before


def test_sorting_another_column_takes_the_mark_from_the_first(visit: Visit) -> None:
    table = visit.page.locator("article.table").filter(has_text="E/I").first
    for name in ("S/N", "Model"):
        table.locator("thead th").filter(has_text=name).get_by_role("button").click()
    assert table.locator("th[aria-sort]").all_inner_texts() == ["Model"]
    assert column(table, "Model") == sorted(MODELS, key=str.lower)


def test_the_filter_keeps_rows_with_all_words(visit: Visit) -> None:
    table = visit.page.locator("article.table").filter(has_text="E/I").first
    table.get_by_role("searchbox").fill("BOLD zero")
    assert table.locator("tbody tr:visible").count() == 1
    assert table.get_by_role("status").inner_text() == "1 of 2 rows"
    table.get_by_role("searchbox").fill("no such model")
    assert table.locator("tbody tr:visible").count() == 0
    table.get_by_role("searchbox").fill("")
    assert table.get_by_role("status").inner_text() == "2 rows"


def test_everything_can_be_done_with_the_keyboard(visit: Visit) -> None:
    keyboard = visit.page.keyboard
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the tables"
    keyboard.press("Enter")
    table = visit.page.locator("article.table").first
    head = table.locator("thead th").first
    for _ in range(10):
        keyboard.press("Tab")
        if head.get_by_role("button").evaluate("element => element === document.activeElement"):
            break
    keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    summary = viewer(visit).locator("summary").first
    summary.focus()
    keyboard.press("Enter")
    summary.locator("xpath=..").get_by_text("Prompt", exact=True).wait_for()


def test_the_theme_follows_the_system_until_a_reader_chooses_and_is_remembered(browser: Any, path: Path) -> None:
    visit = Visit(browser, path, color_scheme="dark")

    def brightness() -> int:
        colour = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    dark = brightness()
    visit.page.emulate_media(color_scheme="light")
    light = brightness()
    assert dark < 200 < 600 < light
    button = visit.page.get_by_role("button", name="Theme")
    seen = []
    for _ in range(2):
        button.click()
        seen.append((button.inner_text(), brightness()))
    assert seen == [("Theme: light", light), ("Theme: dark", dark)]
    visit.page.reload()
    assert (button.inner_text(), brightness()) == ("Theme: dark", dark)
    visit.context.close()


def test_the_viewer_shows_prompt_answer_parse_score_and_judge_as_text(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    card = found.locator("details").filter(has=visit.page.locator(".id", has_text="q3"))
    card.locator("summary").click()
    card.locator(".body").wait_for()
    for title in ("Prompt", "Answer", "Parse (strict)", "Score (strict)", "Judge"):
        assert card.get_by_role("heading", name=title, exact=True).is_visible()
    answer = card.locator("section").filter(has_text="Answer").locator("pre").inner_text()
    assert answer.startswith("</script><script>window.broken = 1</script><img src=x")
    assert "␇" in answer and "⟨U+202E⟩" in answer
    assert card.get_by_text("exact <i>match</i>").is_visible()
    assert "exact_match" in card.locator("dl").inner_text()


def test_the_viewer_searches_and_marks_what_it_found(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    found.get_by_role("searchbox").fill("QUESTION 17?")
    assert found.get_by_role("status").inner_text() == f"1 of {DOCS} samples."
    found.locator("summary").click()
    found.locator(".body").wait_for()
    assert [text.lower() for text in found.locator("mark").all_inner_texts()] == ["question", "17?"]
    found.get_by_role("searchbox").fill("nobody wrote this")
    assert found.locator("details").count() == 0


def test_the_viewer_turns_pages(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    pages = []
    while True:
        pages.append(found.locator(".id").all_inner_texts())
        following = found.get_by_role("button", name="Next")
        if following.is_disabled():
            break
        following.click()
    assert [len(page) for page in pages] == [20, 20, 5]
    assert [name for page in pages for name in page] == [f"q{at}" for at in range(DOCS)]
    found.get_by_role("button", name="Previous").click()
    assert found.get_by_text("Page 2 of 3").is_visible()


def test_the_viewer_finds_unparsed_answers_and_changes_runs(visit: Visit) -> None:
    found = viewer(visit)
    found.get_by_label("Task").select_option("mbtibench_zero_shot_tf")
    found.get_by_label("unparsed only").check()
    assert found.locator(".id").all_inner_texts() == ["100006"]
    runs = found.locator("select[name=run]")
    labels = runs.locator("option").all_inner_texts()
    assert len(labels) == 2 and any(label.startswith(MODELS[1]) for label in labels)
    runs.select_option(index=1)
    assert found.locator(".id").all_inner_texts() == ["100006"]


def ids(found: Any) -> list[str]:
    return list(found.locator(".id").all_inner_texts())


RIGHT, OTHERS = ([f"q{at}" for at in range(DOCS) if at % every and at not in (3, 7)] for every in (3, 2))
"""What the run that is shown first gets right, and what the one beside it does."""


def test_right_and_wrong_answers_are_marked_and_can_be_listed_alone(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    assert f"{len(RIGHT)} of {DOCS} right." in found.locator(".facts").inner_text()
    first = found.locator("details").first
    assert (first.locator(".id").inner_text(), first.get_by_role("img", name="wrong").count()) == ("q0", 1)
    found.get_by_label("Show").select_option("wrong only")
    assert found.get_by_role("status").inner_text() == f"{DOCS - len(RIGHT)} of {DOCS} samples."
    assert set(ids(found)).isdisjoint(RIGHT)
    assert found.get_by_role("img", name="wrong").count() == len(ids(found)) > 10
    found.get_by_label("Show").select_option("right only")
    assert set(ids(found)) <= set(RIGHT)


def test_samples_are_sorted_by_score_and_in_their_order_otherwise(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    found.get_by_label("Order").select_option("highest score first")
    assert ids(found) == RIGHT[:20]
    found.get_by_label("Order").select_option("lowest score first")
    wrong = [f"q{at}" for at in range(DOCS) if f"q{at}" not in RIGHT]
    assert ids(found) == [*wrong, *RIGHT][:20]
    found.get_by_label("Order").select_option("as asked")
    assert ids(found)[:3] == ["q0", "q1", "q2"]


def test_two_runs_stand_side_by_side_with_what_changed(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    found.get_by_label("Beside it").select_option(index=1)
    found.get_by_label("Show").select_option("changed")
    assert found.get_by_role("status").inner_text() == f"{len({*OTHERS} ^ {*RIGHT})} of {DOCS} samples."
    found.get_by_label("Show").select_option("right here, wrong beside")
    assert ids(found) == [name for name in RIGHT if name not in OTHERS]
    found.locator("summary").first.click()
    sides = found.locator(".body .side")
    sides.nth(1).wait_for()
    assert ["answer 2" in sides.nth(at).inner_text() for at in range(2)] == [True, False]
    assert MODELS[0] in sides.nth(1).locator("h3").inner_text()


def test_a_link_opens_its_sample_of_its_run_on_whatever_page_it_is(visit: Visit, browser: Any, path: Path) -> None:
    found = viewer(visit)
    choose_nasty(found)
    found.locator("select[name=run]").select_option(index=1)
    found.get_by_role("button", name="Next").click()
    found.locator("details").filter(has=visit.page.locator(".id", has_text="q33")).locator("summary").click()
    found.locator(".body").wait_for()
    link = found.get_by_role("link", name="Link to this sample").get_attribute("href")
    assert visit.page.evaluate("location.hash") == link
    other = Visit(browser, path, viewport={"width": 1280, "height": 900})
    other.page.goto(f"{path.as_uri()}{link}")
    other.page.reload()
    opened = other.page.locator("#samples details[open]")
    opened.wait_for()
    assert opened.locator(".id").inner_text() == "q33"
    assert other.page.locator("#samples").locator("select[name=run]").evaluate("e => e.selectedIndex") == 1
    other.page.goto(f"{path.as_uri()}#no/such/%E0%A4%A")
    other.page.reload()
    viewer(other)
    other.context.close()
    assert other.complaints == [] and other.requests == []


def test_samples_can_be_walked_through_with_keys(visit: Visit) -> None:
    found = viewer(visit)
    choose_nasty(found)
    keyboard = visit.page.keyboard
    visit.page.locator("h1").click()

    def opened() -> list[str]:
        return list(found.locator("details[open] .id").all_inner_texts())

    for key, expected in (("j", ["q0"]), ("j", ["q1"]), ("k", ["q0"]), ("k", ["q0"])):
        keyboard.press(key)
        assert opened() == expected
    for _ in range(20):
        keyboard.press("j")
    assert opened() == ["q20"] and found.get_by_text("Page 2 of 3").is_visible()
    keyboard.press("w")
    assert found.get_by_label("Show").input_value() == "wrong"
    keyboard.press("/")
    keyboard.type("j7 ?")
    assert found.get_by_role("searchbox").input_value() == "j7 ?" and opened() == []
    keyboard.press("Escape")
    keyboard.press("?")
    assert visit.page.get_by_role("dialog").is_visible()
    keyboard.press("Escape")
    assert not visit.page.get_by_role("dialog").is_visible()


def test_a_page_of_a_run_under_way_loads_itself_again_and_keeps_its_place(browser: Any, path: Path) -> None:
    live = path.with_name("live.html")
    live.write_text(path.read_text(encoding="utf-8").replace('<html lang="en">', '<html lang="en" data-refresh="1">'))
    visit = Visit(browser, live, viewport={"width": 1280, "height": 900})
    found = viewer(visit)
    choose_nasty(found)
    found.get_by_label("Show").select_option("wrong only")
    visit.page.evaluate("window.before = true")
    with visit.page.expect_navigation():
        pass  # nobody touches it
    assert visit.page.evaluate("window.before") is None
    assert found.get_by_label("Task").input_value() == "nasty"
    assert found.get_by_label("Show").input_value() == "wrong"
    visit.context.close()


def test_five_megabytes_of_answer_are_cut_and_the_page_stays_small(visit: Visit, path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    found = viewer(visit)
    choose_nasty(found)
    found.get_by_role("searchbox").fill("the very end")
    found.locator("summary").click()
    answer = found.locator("section").filter(has_text="Answer").locator("pre").inner_text()
    assert f"of {LONG + 13:,} characters left out" in answer and answer.endswith("the very end")


def test_a_choice_shows_the_soft_labels_of_one_run_at_a_time(visit: Visit) -> None:
    figure = visit.page.locator("figure.labels")
    first = figure.locator("svg:visible").first.get_attribute("aria-label")
    assert figure.locator("svg:visible").count() == 8
    figure.get_by_role("combobox").select_option(index=1)
    assert figure.locator("svg:visible").count() == 8
    assert figure.locator("svg:visible").first.get_attribute("aria-label") != first


@pytest.mark.parametrize("width", [360, 390, 768])
def test_a_narrow_screen_scrolls_tables_never_the_page(browser: Any, path: Path, width: int) -> None:
    visit = Visit(browser, path, viewport={"width": width, "height": 800})
    found = viewer(visit)
    found.locator("summary").first.click()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    visit.context.close()
    assert visit.complaints == []


def test_the_page_can_be_read_without_javascript(browser: Any, path: Path) -> None:
    visit = Visit(browser, path, java_script_enabled=False)
    table = visit.page.locator("article.table").filter(has_text="E/I").first
    assert table.locator("tbody tr").count() == 2
    assert visit.page.locator("figure.labels svg:visible").count() == 16
    assert visit.page.get_by_role("searchbox").count() == 0
    visit.context.close()


def test_the_policy_stops_what_escaping_would_have_missed(browser: Any, path: Path) -> None:
    visit = Visit(browser, path)
    visit.page.evaluate(
        """() => {
            const add = (name, fields) => document.body.append(Object.assign(document.createElement(name), fields));
            add("img", {src: "https://example.org/spy.png"});
            add("iframe", {src: "https://example.org/"});
            add("link", {rel: "stylesheet", href: "https://example.org/spy.css"});
            fetch("https://example.org/spy").catch(() => {});
        }"""
    )
    assert "threw" in visit.page.evaluate(
        """() => {
            try { document.body.innerHTML = "<img src=x onerror='window.broken = 1'>"; return "wrote"; }
            catch (error) { return `threw ${error}`; }
        }"""
    )
    visit.page.wait_for_timeout(200)
    assert visit.requests == []
    assert visit.page.evaluate("window.broken") is None
    assert any("Content Security Policy" in complaint for complaint in visit.complaints)
    visit.context.close()
