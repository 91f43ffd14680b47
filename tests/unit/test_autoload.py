"""The start-up hook, with real packages on ``sys.path``, real entry points and (mostly) a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest

import harness_ext.tasks
from harness_ext import _autoload

REPOSITORY = Path(__file__).parents[2]
PTH = REPOSITORY / "harness_ext_autoload.pth"


def run_python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "HARNESS_EXT_AUTOLOAD"}
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def json_from(run: subprocess.CompletedProcess[str]) -> object:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder with another package that has one of everything, and some of it broken."""
    package = tmp_path / "plug"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text("raise RuntimeError('a module is not a package')\n")
    (package / "components.py").write_text(
        textwrap.dedent("""\
        from lm_eval.api.filter import Filter
        from lm_eval.api.model import LM
        from lm_eval.api.registry import register_aggregation, register_filter, register_metric, register_model

        @register_model("plug-model")
        class PlugLM(LM):
            pass

        @register_filter("plug-filter")
        class PlugFilter(Filter):
            pass

        @register_aggregation("plug-aggregation")
        def aggregation(items):
            return max(items)

        @register_metric(metric="plug-metric", higher_is_better=False, aggregation="plug-aggregation")
        def metric(items):
            return items
        """)
    )
    (tmp_path / "plug_that_fails").mkdir()
    (tmp_path / "plug_that_fails" / "__init__.py").write_text("raise RuntimeError('on import')\n")
    (tmp_path / "plug_that_exits").mkdir()
    (tmp_path / "plug_that_exits" / "__init__.py").write_text("import sys\nsys.exit(3)\n")
    information = tmp_path / "plug-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        textwrap.dedent("""\
        [lm_eval.tasks]
        plug = plug
        plug-broken = plug_that_is_gone.tasks
        plug-exits = plug_that_exits.tasks
        plug-fails = plug_that_fails.tasks
        plug-module = plug.tasks
        [lm_eval.models]
        plug-model = plug.components:PlugLM
        dummy = plug.components:PlugLM
        [lm_eval.filters]
        plug-filter = plug.components:PlugFilter
        [lm_eval.aggregations]
        plug-aggregation = plug.components:aggregation
        plug-broken = plug.components:absent
        plug-exits = plug_that_exits:aggregation
        [lm_eval.metrics]
        plug-metric = plug.components:metric
        acc = plug.components:metric
        """)
    )
    return tmp_path


def test_interpreter_start_loads_only_two_small_modules_more():
    code = """
        import json, sys
        sys.path.insert(0, {root!r})
        import os  # site, which processes the .pth, has loaded it
        without = set(sys.modules)
        import harness_ext._autoload
        print(json.dumps(sorted(set(sys.modules) - without)))
        """
    loaded = json_from(run_python(code.format(root=str(REPOSITORY)), "-I", "-S"))
    assert loaded == ["__future__", "harness_ext", "harness_ext._autoload"]


def test_hook_is_harmless_where_lm_eval_is_not_installed():
    code = """
        import sys
        sys.path.insert(0, {root!r})
        import harness_ext._autoload
        try:
            import lm_eval.tasks.manager
        except ModuleNotFoundError as error:
            print(error.name)
        """
    run = run_python(code.format(root=str(REPOSITORY)), "-I", "-S")
    assert (run.stdout, run.stderr) == ("lm_eval\n", "")


@pytest.mark.parametrize("leftover", ["nothing", "an empty folder"])
def test_pth_line_is_silent_when_the_package_is_gone(tmp_path, leftover):
    (tmp_path / PTH.name).write_text(PTH.read_text())
    if leftover == "an empty folder":
        (tmp_path / "harness_ext").mkdir()
    run = run_python(f"import site; site.addsitedir({str(tmp_path)!r}); print('started')", "-I", "-S")
    assert (run.stdout, run.stderr) == ("started\n", "")


def test_pth_line_installs_the_hook(tmp_path):
    (tmp_path / PTH.name).write_text(PTH.read_text())
    (tmp_path / "checkout.pth").write_text(f"{REPOSITORY}\n")
    run = run_python(
        f"import site, sys; site.addsitedir({str(tmp_path)!r}); print(type(sys.meta_path[0]).__name__)", "-I", "-S"
    )
    assert (run.stdout, run.stderr) == ("_AfterImport\n", "")


@pytest.mark.parametrize(("value", "finders"), [("0", 0), ("1", 1), ("", 1)])
def test_environment_variable_switches_the_hook_off(value, finders):
    code = """
        import harness_ext._autoload, sys
        print(sum(type(finder).__name__ == "_AfterImport" for finder in sys.meta_path))
        """
    assert json_from(run_python(code, HARNESS_EXT_AUTOLOAD=value)) == finders


def test_installing_twice_adds_one_finder():
    code = """
        import harness_ext._autoload, sys
        harness_ext._autoload.install()
        harness_ext._autoload.install()
        print(sum(type(finder).__name__ == "_AfterImport" for finder in sys.meta_path))
        """
    assert json_from(run_python(code)) == 1


def test_install_on_request_extends_an_lm_eval_that_is_already_imported(plugin):
    code = """
        import json, lm_eval.models, lm_eval.tasks.manager as manager
        from lm_eval.api.registry import model_registry
        import harness_ext._autoload

        def extended():
            return ["plug-model" in model_registry, hasattr(manager.TaskManager.__init__, "__wrapped__")]

        before = extended()
        harness_ext._autoload.install()
        print(json.dumps(before + extended()))
        """
    run = run_python(code, PYTHONPATH=str(plugin), HARNESS_EXT_AUTOLOAD="0")
    assert json_from(run) == [False, False, True, True]


def test_components_join_lm_evals_own_and_never_replace_them(plugin):
    code = """
        import json
        from lm_eval.api import registry
        import lm_eval.filters
        from lm_eval.api.registry import get_aggregation, get_filter, get_metric, get_model, is_higher_better
        print(json.dumps({
            "built-in": [get_model("dummy").__module__, get_aggregation("mean").__module__, is_higher_better("acc")],
            "model": [get_model("plug-model").__name__, get_filter("plug-filter").__name__],
            "metric": [get_metric("plug-metric").__name__, is_higher_better("plug-metric")],
            "aggregation": get_aggregation("plug-aggregation")([1, 3, 2]),
            "count": len(registry.model_registry) > 30,
        }))
        """
    run = run_python(code, PYTHONPATH=str(plugin))
    assert json_from(run) == {
        "built-in": ["lm_eval.models.dummy", "lm_eval.api.metrics", True],
        "model": ["PlugLM", "PlugFilter"],
        "metric": ["metric", False],
        "aggregation": 3,
        "count": True,
    }
    assert "lm_eval.aggregations 'plug-broken' is left out" in run.stderr
    assert "lm_eval.aggregations 'plug-exits' is left out" in run.stderr


def test_model_plugin_is_not_imported_before_it_is_asked_for(plugin):
    code = """
        import json, sys
        from lm_eval.api.registry import get_model
        get_model("dummy")
        print(json.dumps("plug.components" in sys.modules))
        """
    assert json_from(run_python(code, PYTHONPATH=str(plugin))) is False


def test_adapted_modules_keep_what_tools_ask_of_a_module():
    code = """
        import importlib, inspect, json, lm_eval.tasks.manager as manager
        from lm_eval.tasks import TaskManager
        importlib.reload(manager)
        print(json.dumps([
            "class TaskManager" in inspect.getsource(manager),
            type(manager.__spec__.loader).__name__,
            str(inspect.signature(manager.TaskManager)) == str(inspect.signature(TaskManager)),
            list(inspect.signature(TaskManager).parameters),
        ]))
        """
    names = ["verbosity", "include_path", "include_defaults", "metadata"]
    assert json_from(run_python(code)) == [True, "SourceFileLoader", True, names]


def test_git_does_not_complain_where_a_run_is_in_no_repository(tmp_path, monkeypatch, capfd):
    from lm_eval.loggers import utils

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert utils.get_git_commit_hash() is None
    assert capfd.readouterr().err == ""


@pytest.fixture
def scanned(monkeypatch, plugin):
    """Start a ``TaskManager`` in this process and return the folders it was going to scan."""
    from lm_eval.tasks import manager

    monkeypatch.syspath_prepend(str(plugin))
    folders: list[Path] = []

    def record(self, paths, **_):
        folders.extend(paths)
        return {}

    monkeypatch.setattr(manager.TaskIndex, "build", record)

    def scan(*args, **kwargs):
        folders.clear()
        started = manager.TaskManager(*args, **kwargs)
        return started, [Path(folder).resolve() for folder in folders]

    return scan


def test_folders_are_scanned_in_upstreams_order(scanned, plugin, tmp_path):
    import lm_eval.tasks

    mine = tmp_path / "mine"
    manager, folders = scanned(include_path=str(mine))
    assert folders[0] == Path(lm_eval.tasks.__file__).parent
    assert set(folders[1:-1]) == {plugin / "plug", Path(harness_ext.tasks.__file__).parent}
    assert folders[-1] == mine
    assert manager.include_path == str(mine)


@pytest.mark.parametrize("as_given", [str, Path, lambda path: [str(path)], lambda path: (path,)])
def test_include_path_may_have_any_form_lm_eval_takes(scanned, tmp_path, as_given):
    _, folders = scanned(None, as_given(tmp_path / "mine"))
    assert folders[-1] == tmp_path / "mine"
    assert len(folders) == 4


def test_nothing_is_added_without_the_defaults(scanned, tmp_path):
    assert scanned(include_defaults=False)[1] == []
    assert scanned(include_path=tmp_path, include_defaults=False)[1] == [tmp_path]


def test_a_folder_the_user_names_too_is_scanned_once_and_last(scanned, plugin, tmp_path):
    _, folders = scanned(include_path=[tmp_path, plugin / "plug" / ".." / "plug"])
    assert folders.count(plugin / "plug") == 1
    assert folders[-1] == plugin / "plug"


def test_entry_points_that_lead_nowhere_are_named_and_left_out(scanned, caplog):
    scanned()
    assert "tasks of 'plug-broken' are left out: plug_that_is_gone.tasks is not an importable package" in caplog.text
    assert "tasks of 'plug-exits' are left out" in caplog.text
    assert "tasks of 'plug-fails' are left out" in caplog.text
    assert "tasks of 'plug-module' are left out" in caplog.text


def test_hook_steps_aside_where_lm_eval_discovers_tasks_itself(monkeypatch):
    from lm_eval.tasks import manager

    original = manager.TaskManager.__init__.__wrapped__
    monkeypatch.setattr(manager, "discover_plugin_task_paths", lambda: [], raising=False)
    monkeypatch.setattr(manager.TaskManager, "__init__", original)
    _autoload._adapt(manager)
    assert manager.TaskManager.__init__ is original


def test_hook_steps_aside_where_lm_eval_loads_component_plugins_itself(monkeypatch, plugin):
    import lm_eval.models
    from lm_eval.api import registry

    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setattr(registry, "load_plugins", lambda *_: [], raising=False)
    _autoload._adapt(lm_eval.models)
    assert "plug-model" not in registry.model_registry


def test_an_lm_eval_that_changed_shape_still_imports(monkeypatch, caplog):
    from lm_eval.tasks import manager

    monkeypatch.delattr(manager, "TaskManager")
    _autoload._adapt(manager)
    assert "cannot extend lm_eval.tasks.manager; use `harness-ext path tasks` with --include_path" in caplog.text


def test_version_is_the_installed_distributions():
    assert harness_ext.__version__ == version("harness-ext")
    with pytest.raises(AttributeError, match="no attribute 'versoin'"):
        _ = harness_ext.versoin
