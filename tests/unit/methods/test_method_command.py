"""``harness-ext method``: what it lists, what its help says, and what it refuses before any work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness_ext.cli.app import app
from harness_ext.errors import HarnessExtError, InputError
from harness_ext.methods import resta
from harness_ext.methods.registry import load, method_names, summary
from harness_ext.methods.settings import from_file, from_text, settings, settings_of

EXAMPLES = Path(__file__).parents[3] / "examples" / "methods"
PROVENANCE = re.compile(
    r"\bours\b|\bsource\b|\bpaper\b|\bscripts?\b|\bcode\b|\bpeft\b|\bmergelm\b|\bnot read\b", re.IGNORECASE
)


@settings
class Config:
    """Every kind of setting that methods have."""

    path: str
    """A text."""
    rate: float = 0.5
    steps: int | None = None
    flag: bool = False
    names: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    kind: Literal["a", "b"] = "a"
    file: Path = Path("x")


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["method", *arguments])


def test_all_methods_are_listed_without_loading_a_model_library() -> None:
    listed = call("list").output
    for name in ("task_arithmetic", "ties", "dare", "resta", "safe_lora", "irr", "safepatching"):
        assert f"{name} " in listed and summary(name) in listed
    script = (
        "import sys; from harness_ext.cli.app import app\n"
        "try: app(['method', 'list'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'safetensors', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert [row["method"] for row in json.loads(call("list", "--json").output)] == method_names()


def test_a_missing_library_is_named_with_the_extra_that_brings_it() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from harness_ext.cli import main; sys.argv = ['harness-ext', 'method', 'show', 'ties']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: ties needs torch, which is not installed: pip install 'harness-ext[methods]'.\n"


@pytest.mark.parametrize("name", method_names())
def test_the_help_of_a_method_explains_every_setting(name: str) -> None:
    helped = " ".join(re.sub("[│•]", " ", call("run", name, "--help").output).split())
    explained = settings_of(load(name).config)
    assert len(explained) >= 2
    for setting in explained:
        assert f"{setting.name} ({setting.kind}; " in helped, setting.name
        assert len(setting.about) > 5, setting.name
    shown = json.loads(call("show", name, "--json").output)
    assert [row["name"] for row in shown["settings"]] == [setting.name for setting in explained]
    assert call("show", name).output.count("\n- `") == len(explained)


@pytest.mark.parametrize("name", method_names())
def test_every_default_says_where_it_is_from(name: str) -> None:
    whole = load(name).config.__doc__ or ""
    for setting in settings_of(load(name).config):
        if not setting.required:
            assert PROVENANCE.search(setting.about), f"{name}: {setting.name}: {setting.about} ({whole})"


def test_safepatching_s_defaults_are_all_said_to_be_ours() -> None:
    for setting in settings_of(load("safepatching").config):
        assert setting.required or "ours" in setting.about, setting.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resta", "--set", "gama=1"], "there is no setting 'gama'. Did you mean gamma?"),
        (["resta", "--set", "xyz=1"], "there is no setting 'xyz'. There are: base, out, finetuned"),
        (["resta"], "base, out, finetuned, unaligned, gamma must be given, for example with --set base=…."),
        (["resta", "--set", "gamma"], "--set gamma: write key=value."),
        (["resta", "--set", "=1"], "--set =1: write key=value."),
        (["resta", "--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(arguments: list[str], message: str) -> None:
    result = call("run", *arguments)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gamma=high", "gamma is 'high', but must be a number."),
        ("gamma=true", "gamma is True, but must be a number."),
        ("gamma=.inf", "gamma is inf. Give finite numbers."),
        ("gamma=[1]", "gamma is [1], but must be a number."),
        ("seed=1.5", "seed is 1.5, but must be a whole number."),
        ("missing=maybe", "missing is 'maybe', but must be one of error, base."),
        ("drop=1", "drop is 1.0. Give a number from 0 to below 1."),
    ],
)
def test_values_of_another_type_or_range_are_refused(text: str, message: str) -> None:
    given_ = {"base": "b", "finetuned": "f", "unaligned": "u", "gamma": 1.0, "out": "o"}
    with pytest.raises(InputError, match=re.escape(message)):
        resta.Config(**given_ | from_text(resta.Config, [text]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rate=2e-6", 2e-6),
        ("rate=1", 1.0),
        ("steps=null", None),
        ("steps=12", 12),
        ("flag=true", True),
        ("names=[one, two]", ("one", "two")),
        ("numbers=[1, 2e-3, -0.5]", (1.0, 0.002, -0.5)),
        ("path=2024", "2024"),
        ("path=a=b: [c", "a=b: [c"),
        ("path=true", "true"),
        ("path=2001-13-01", "2001-13-01"),
        ("kind=b", "b"),
        ("file=some/where", Path("some/where")),
    ],
)
def test_texts_become_values_of_the_setting_s_type(text: str, value: object) -> None:
    config = Config(**{"path": "p"} | from_text(Config, [text]))
    assert getattr(config, text.partition("=")[0]) == value


@given(
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.builds("{}={}".format, st.sampled_from([*Config.__annotations__]), st.text(max_size=12)),
        ),
        max_size=4,
    )
)
def test_any_text_makes_a_config_or_a_message(texts: list[str]) -> None:
    try:
        config = Config(**{"path": "p"} | from_text(Config, texts))
    except HarnessExtError as error:
        assert str(error)
    else:
        assert isinstance(config.rate, float) and isinstance(config.names, tuple)


@given(content=st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)))
def test_any_file_gives_values_or_a_message(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("settings") / "config.yaml"
    file.write_bytes(content)
    try:
        assert isinstance(from_file(file), dict)
    except HarnessExtError as error:
        assert str(file) in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)), "aliases"),
        ("a: " + "[" * 5000, "nested more than 100 deep"),
    ],
)
def test_settings_that_are_bombs_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError, match=rf"config\.yaml cannot be read as YAML \(.*{message}"):
        from_file(tmp_path / "config.yaml")


def test_set_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "resta.yaml"
    values = {"base": str(tmp_path / "b"), "finetuned": "f", "unaligned": "u", "gamma": 0.5, "out": "o"}
    file.write_text(yaml.safe_dump(values))
    result = call("run", "resta", "--config", str(file), "--set", f"base={tmp_path / 'other'}")
    assert str(result.exception) == f"{tmp_path / 'other'} is no folder with a checkpoint."


def test_an_interrupted_run_says_how_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(resta, "apply", interrupted)
    values = ("base=b", "finetuned=f", "unaligned=u", "gamma=1", "out=o")
    result = call("run", "resta", *(part for value in values for part in ("--set", value)))
    assert (result.exit_code, result.output) == (130, "interrupted: repeat the command to go on.\n")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_an_example_is_a_config_of_its_method(file: Path) -> None:
    load(file.stem).config(**from_file(file))


def test_there_are_examples() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.yaml")} == set(method_names())


def test_a_text_that_is_the_next_settings_default_is_no_docstring() -> None:
    @settings
    class Config:
        """Two settings."""

        first: str
        second: str = "a default"
        """What the second means."""

    assert {one.name: one.about for one in settings_of(Config)} == {"first": "", "second": "What the second means."}
