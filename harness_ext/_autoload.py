"""Makes plain ``lm_eval`` find tasks, models, filters and metrics that installed packages declare as entry points.

lm-eval 0.4.13 reads no entry points. Later releases do: models, filters, metrics and aggregations are merged upstream,
the group ``lm_eval.tasks`` is proposed. This module brings the same groups, in upstream's order of precedence, to
0.4.13, and steps aside where lm-eval does it itself.

``harness_ext_autoload.pth`` imports this module when the interpreter starts, so it must cost next to nothing: it uses
the standard library only, and all it does at start is to put one finder on ``sys.meta_path``, which waits until lm-eval
is imported (if it ever is). ``HARNESS_EXT_AUTOLOAD=0`` switches even that off; `install` then does it on request.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing.TYPE_CHECKING without importing typing, which costs more than everything here
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from importlib.metadata import EntryPoint
    from types import ModuleType
    from typing import Any


def install() -> None:
    """Add installed packages' components to lm-eval, now if it is imported already, otherwise once it is."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
        for name in _ADAPTATIONS.keys() & sys.modules.keys():
            _adapt(sys.modules[name])


class _AfterImport:
    """A finder that finds nothing itself: it lets the others find a module and adapts that module once it ran."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _ADAPTATIONS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if find is None or finder is self:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                _run_adaptation_after(spec)
                return spec
        return None


def _run_adaptation_after(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    run = getattr(loader, "exec_module", None)
    if run is None:  # a namespace or a loader of the old protocol: not an lm-eval that we know
        return

    def run_and_adapt(module: ModuleType) -> None:
        run(module)
        if module.__name__ == spec.name:  # some loaders, a zip's for one, are shared by several modules
            _adapt(module)

    loader.exec_module = run_and_adapt


def _adapt(module: ModuleType) -> None:
    try:
        _ADAPTATIONS[module.__name__](module)
    except (Exception, SystemExit):  # whatever goes wrong here, lm-eval's own tasks and models must go on working
        _warn("cannot extend %s; use `harness-ext path tasks` with --include_path", module.__name__)


def _add_task_folders(manager: ModuleType) -> None:
    """Make every ``TaskManager`` scan lm-eval's tasks, then installed packages' tasks, then ``include_path``."""
    if hasattr(manager, "discover_plugin_task_paths"):
        return
    import functools
    import inspect

    original = manager.TaskManager.__init__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def with_installed_tasks(self: Any, *args: Any, **kwargs: Any) -> None:
        call = signature.bind(self, *args, **kwargs)
        call.apply_defaults()
        given = call.arguments["include_path"]
        if call.arguments["include_defaults"]:
            own = [given] if isinstance(given, (str, os.PathLike)) else list(given or [])
            own_folders = {os.path.realpath(folder) for folder in own}  # named twice, each task would warn twice
            found = [folder for folder in task_folders() if os.path.realpath(folder) not in own_folders]
            call.arguments["include_path"] = [*found, *own]
        original(*call.args, **call.kwargs)
        self.include_path = given

    manager.TaskManager.__init__ = with_installed_tasks


def task_folders() -> list[str]:
    """Return the folders of all packages that the entry-point group ``lm_eval.tasks`` names."""
    import importlib.util

    folders: list[str] = []
    for entry in _entry_points("lm_eval.tasks"):
        try:
            spec = importlib.util.find_spec(entry.module)
        except (Exception, SystemExit):  # another package's code
            spec = None
        if spec is None or spec.submodule_search_locations is None:
            _warn("tasks of %r are left out: %s is not an importable package", entry.name, entry.value)
        else:
            folders += spec.submodule_search_locations
    return folders


def _add_models(_models: ModuleType) -> None:
    _register_lazily("lm_eval.models", "model_registry")


def _add_filters(_filters: ModuleType) -> None:
    _register_lazily("lm_eval.filters", "filter_registry")


def _register_lazily(group: str, registry_name: str) -> None:
    """Register a group's classes by address; a class is imported when a run asks for it.

    lm-eval fills a registry with its own components only while that registry is empty, so this runs after it has.
    Names that lm-eval has are left alone. The address is given as text: only then does 0.4.13 accept that the class,
    once imported, registers itself under the same name with a decorator.
    """
    registry = _registry_without_plugins(registry_name)
    for entry in _entry_points(group) if registry is not None else ():
        if entry.name not in registry:
            registry.register(entry.name, target=f"{entry.module}:{entry.attr}")


def _add_metrics(_metrics: ModuleType) -> None:
    """Register aggregations, then metrics, by importing them.

    Not lazily: a metric's direction and aggregation are known only after its decorator ran, and 0.4.13 lets classes,
    but not functions, take the place of their address.
    """
    for group, registry_name in (
        ("lm_eval.aggregations", "aggregation_registry"),
        ("lm_eval.metrics", "metric_registry"),
    ):
        registry = _registry_without_plugins(registry_name)
        for entry in _entry_points(group) if registry is not None else ():
            if entry.name in registry:
                continue
            try:
                function = entry.load()
            except (Exception, SystemExit):  # another package's code
                _warn("%s %r is left out: %s cannot be imported", group, entry.name, entry.value)
                continue
            if entry.name not in registry:
                registry.register(entry.name, target=function)


def _extend_evaluator(evaluator: Any) -> None:
    """Let ``evaluate`` ask backends whether they can do the tasks, look at and count answers, and play dialogues.

    What a server says that refuses is said, too.

    A backend with a method ``refuse_tasks`` sees the tasks, by name, before it is asked anything. Dialogues are played
    once a task has asked for it: its filter ``take_turn`` loads the player. Before all that, ``simple_evaluate`` looks
    at the keys of ``--metadata``, and tasks that lm-eval would ask without the examples that ``num_fewshot`` wants are
    refused.
    """
    import functools
    import importlib
    import inspect

    original, begin = evaluator.evaluate, evaluator.simple_evaluate
    signature, arguments = inspect.signature(original), inspect.signature(begin)
    examples: list[int] = []

    @functools.wraps(begin)
    def simple_evaluate(*args: Any, **kwargs: Any) -> Any:
        given = arguments.bind(*args, **kwargs).arguments
        if given.get("metadata") or getattr(given.get("task_manager"), "metadata", None):
            importlib.import_module("harness_ext.models.runs.switches").check(given)
        examples[:] = [given.get("num_fewshot") or 0]
        try:
            return begin(*args, **kwargs)
        finally:
            examples.clear()

    @functools.wraps(original)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        refuse = getattr(given["lm"], "refuse_tasks", None)
        if refuse is not None and "tasks" in given["task_dict"]:
            refuse(given["task_dict"]["tasks"])
        if any(examples):
            importlib.import_module("harness_ext.models.runs.examples").refuse_ignored(given["task_dict"], *examples)
        run = original
        if "harness_ext.models.dialogues.filter" in sys.modules:
            run = functools.partial(importlib.import_module("harness_ext.models.dialogues.player").evaluate, run)
        run = functools.partial(importlib.import_module("harness_ext.models.runs.answers").evaluate, run)
        run = functools.partial(importlib.import_module("harness_ext.models.runs.usage").evaluate, run)
        return importlib.import_module("harness_ext.models.runs.asking").evaluate(run, **given)

    evaluator.evaluate, evaluator.simple_evaluate = evaluate, simple_evaluate


def _spare_the_hint_about_metadata(task: Any) -> None:
    """Silence a warning that lm-eval gives for every task with a ``custom_dataset`` of an installed package."""
    import functools

    original = task.ConfigurableTask.download

    def no_hint(record: Any) -> bool:
        return "Custom kwargs can be passed to `--metadata`" not in record.getMessage()

    @functools.wraps(original)
    def download(self: Any, *args: Any, **kwargs: Any) -> None:
        loader = getattr(self.config.custom_dataset, "__module__", "lm_eval.")
        if loader.startswith("lm_eval."):  # not ours to silence
            original(self, *args, **kwargs)
            return
        task.eval_logger.addFilter(no_hint)
        try:
            original(self, *args, **kwargs)
        finally:
            task.eval_logger.removeFilter(no_hint)

    task.ConfigurableTask.download = download


def _know_whose_answers_are_kept(model: ModuleType) -> None:
    """Stop ``--use_cache`` from giving one model another's answers: lm-eval's keys do not say whose they are."""
    import functools
    import importlib

    original = model.LM.set_cache_hook

    @functools.wraps(original)
    def set_cache_hook(self: Any, cache_hook: Any) -> None:
        if getattr(cache_hook, "dbdict", None) is not None and not hasattr(self, "identity"):  # ours do so themselves
            importlib.import_module("harness_ext.models.runs.identity").claim(self, cache_hook)
        original(self, cache_hook)

    model.LM.set_cache_hook = set_cache_hook


def _say_what_is_wrong(cli: ModuleType) -> None:
    """Let the command say our own errors, and mistakes in its arguments, in one sentence, as ``harness-ext`` does."""
    import functools
    import importlib

    def in_one_sentence(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(self, *args, **kwargs)
            except Exception as error:
                known = importlib.import_module("harness_ext.cli.arguments").in_one_sentence(error)
                if known is None:
                    raise
                import logging

                logging.getLogger("asyncio").disabled = True  # requests still under way would each show a traceback
                print(f"error: {importlib.import_module('harness_ext.cli.saying').plain(str(known))}", file=sys.stderr)
                sys.exit(known.exit_code)

        return call

    for name in ("parse_args", "execute"):
        setattr(cli.HarnessCLI, name, in_one_sentence(getattr(cli.HarnessCLI, name)))


def _order_by_beginning(backend: ModuleType) -> None:
    """Let engines that share beginnings be asked for those that begin alike one after the other."""
    import importlib

    importlib.import_module("harness_ext.models.runs.ordering").order_by_beginning(backend)


def _prepare_servers(api_models: ModuleType) -> None:
    _order_by_beginning(api_models)
    _keep_what_servers_say(api_models)


def _keep_what_servers_say(api_models: Any) -> None:
    """Let the error of a refused request carry the server's reason, which lm-eval logs and drops."""
    import functools
    import importlib

    if hasattr(api_models, "ClientSession"):  # the extra lm-eval[api] is installed
        check = importlib.import_module("harness_ext.models.runs.asking").raise_with_reason
        api_models.ClientSession = functools.partial(api_models.ClientSession, raise_for_status=check)


def _let_git_be_silent(loggers: Any) -> None:
    """Keep git from complaining on the terminal where a run is in no repository: lm-eval goes on without its answer."""
    import functools
    import subprocess
    from types import SimpleNamespace

    quiet = functools.partial(subprocess.check_output, stderr=subprocess.DEVNULL)
    loggers.subprocess = SimpleNamespace(check_output=quiet, CalledProcessError=subprocess.CalledProcessError)


def _refuse_encoders(huggingface: ModuleType) -> None:
    """Stop ``hf`` from reading an encoder as a decoder, which for many it does without a word."""
    import functools
    import importlib

    original = huggingface.HFLM._get_backend

    @functools.wraps(original)
    def get_backend(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        if self.AUTO_MODEL_CLASS is None:  # a subclass that says what it loads knows what it does
            importlib.import_module("harness_ext.models.mlm.checkpoint").refuse_encoder(config)
        original(self, config, *args, **kwargs)

    huggingface.HFLM._get_backend = get_backend


def _registry_without_plugins(name: str) -> Any:
    """Return lm-eval's registry of that name, or ``None`` where lm-eval reads the entry points itself."""
    from lm_eval.api import registry

    return None if hasattr(registry, "load_plugins") else getattr(registry, name)


def _entry_points(group: str) -> Sequence[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))


def _warn(message: str, *args: object) -> None:
    import logging

    logging.getLogger("harness_ext").warning(message, *args, exc_info=sys.exc_info()[0] is not None)


_ADAPTATIONS: dict[str, Callable[[ModuleType], None]] = {
    "lm_eval.tasks.manager": _add_task_folders,
    "lm_eval.models": _add_models,
    "lm_eval.filters": _add_filters,
    "lm_eval.api.metrics": _add_metrics,
    "lm_eval.api.task": _spare_the_hint_about_metadata,
    "lm_eval.evaluator": _extend_evaluator,
    "lm_eval.loggers.utils": _let_git_be_silent,
    "lm_eval.api.model": _know_whose_answers_are_kept,
    "lm_eval._cli.harness": _say_what_is_wrong,
    "lm_eval.models.huggingface": _refuse_encoders,
    "lm_eval.models.api_models": _prepare_servers,
    "lm_eval.models.sglang_causallms": _order_by_beginning,
    "lm_eval.models.vllm_causallms": _order_by_beginning,
}

if os.environ.get("HARNESS_EXT_AUTOLOAD") != "0":
    install()
