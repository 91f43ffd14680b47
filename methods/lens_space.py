"""The language space of a model, as Lens probes it, to be looked at or given to `lens` (arXiv 2410.04407)."""

from __future__ import annotations

from pathlib import Path

from harness_ext.methods.checkpoints.adapters import open_checkpoint
from harness_ext.methods.checkpoints.record import Record, write_record
from harness_ext.methods.checkpoints.work_folder import claimed, publish
from harness_ext.methods.checkpoints.write import check_out
from harness_ext.methods.layers.loading import best_device, load_model
from harness_ext.methods.lens import Probing, model_identity, space_of, texts
from harness_ext.methods.lens.space import FILE
from harness_ext.methods.settings import settings


@settings
class Config(Probing):
    """Probing alone: nothing of the model is changed."""

    model: str
    """Folder of the model to probe."""
    out: str
    """Folder to write: ``language_space.safetensors`` and ``method.json``."""


def apply(config: Config) -> Path:
    """Probe ``config.model`` and write its space to ``config.out``.

    Raises:
        InputError: the texts lack a language, the model cannot be loaded, or ``out`` is taken.
        DataError: a file is missing or broken.
    """
    base, out = open_checkpoint(config.model), Path(config.out)
    check_out(None, out)
    file = texts.probing_file(config.probe_texts, config.all_languages())
    record = Record("lens_space", config, {"base": base}, [str(file)])
    with claimed(out.with_name(f"{out.name}.partial"), record.identity()) as work:
        model = load_model(config.model).to(best_device())
        space_of(config, model, config.model, file, model_identity(config.model)).save(work.folder / FILE)
        write_record(work.folder, record, {}, wall_seconds=work.seconds)
        publish(work.folder, out)
    return out
