"""A checkpoint is complete or not there: kills, full disks, broken disks, two processes."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import transformers
from filelock import FileLock

from harness_ext.errors import DataError, InputError
from harness_ext.methods import dare
from harness_ext.methods.checkpoints import write as checkpoint_writer
from harness_ext.methods.checkpoints.read import Folder
from harness_ext.methods.checkpoints.record import Record
from harness_ext.methods.checkpoints.work_folder import work_folder
from harness_ext.methods.checkpoints.write import write_checkpoint

Save = Callable[..., Path]
NAMES = [f"model.layers.{n}.weight" for n in range(6)]
SHARD = 64 * 64 * 2


def model(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(64, 64, generator=generator).to(torch.bfloat16) for name in NAMES}


@dataclasses.dataclass(frozen=True)
class Config:
    out: str
    factor: float


class Job(NamedTuple):
    """A copy of a checkpoint with every value multiplied, one tensor a file."""

    base: Path
    out: Path

    @property
    def unfinished(self) -> Path:
        return self.out.with_name("out.unfinished")

    def run(self, edit: Callable[[str], Iterator[torch.Tensor] | None] | None = None, factor: float = 2.0) -> Path:
        base = Folder(self.base)
        record = Record("multiply", Config(str(self.out), factor), {"base": base})
        default = lambda name: iter([base.tensor(name) * factor])  # noqa: E731
        return write_checkpoint(base, self.out, edit or default, record, max_shard_bytes=SHARD)

    def killed_at(self, name: str) -> None:
        """Run in a process that is killed when it comes to a tensor."""
        child = os.fork()
        if child == 0:
            try:
                self.run(lambda own: os.kill(os.getpid(), signal.SIGKILL) if own == name else iter([self.doubled(own)]))
            finally:
                os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL

    def doubled(self, name: str) -> torch.Tensor:
        return Folder(self.base).tensor(name) * 2.0


@pytest.fixture
def job(save: Save, tmp_path: Path) -> Job:
    return Job(save(tmp_path / "base", model(0), shards=2), tmp_path / "out")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "method.json"}


def test_a_killed_run_goes_on_where_it_stopped_and_ends_the_same(job: Job, load_all: Callable[..., object]) -> None:
    job.killed_at(NAMES[3])
    assert not job.out.exists()
    with pytest.raises((OSError, ValueError)):  # transformers finds no model there
        transformers.AutoModelForCausalLM.from_pretrained(job.unfinished)
    asked: list[str] = []

    def edit(name: str) -> Iterator[torch.Tensor]:
        asked.append(name)
        yield job.doubled(name)

    job.run(edit)
    assert asked == NAMES[3:]
    assert not job.unfinished.exists()
    other = Job(job.base, job.out.with_name("other"))
    other.run()
    assert contents(job.out) == contents(other.out)
    records = [json.loads((folder / "method.json").read_text()) for folder in (job.out, other.out)]
    assert records[0]["tensors"] == records[1]["tensors"]


def test_a_merge_killed_at_any_time_ends_as_an_undisturbed_one(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [str(save(tmp_path / str(seed), model(seed))) for seed in range(3)]
    config = dare.Config(
        base=folders[0], models=tuple(folders[1:]), weights=(1.0, 1.0), drop=0.5, seed=1, out=str(tmp_path / "out")
    )
    monkeypatch.setattr(checkpoint_writer, "SHARD_BYTES", SHARD)
    ends = []
    for milliseconds in (5, 20, 60, 100):
        if (tmp_path / "out").exists():
            break
        child = os.fork()
        if child == 0:
            try:
                dare.apply(config)
            finally:
                os._exit(0)
        time.sleep(milliseconds / 1000)
        os.kill(child, signal.SIGKILL)
        ends.append(os.waitpid(child, 0)[1])
    assert signal.SIGKILL in ends
    if not (tmp_path / "out").exists():
        dare.apply(config)
    dare.apply(dataclasses.replace(config, out=str(tmp_path / "undisturbed")))
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_second_run_with_the_same_seed_is_the_same(save: Save, tmp_path: Path) -> None:
    folders = [str(save(tmp_path / str(seed), model(seed))) for seed in range(2)]
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        dare.apply(dare.Config(base=folders[0], models=(folders[1],), weights=(1.0,), drop=0.5, seed=1, out=str(out)))
    assert contents(outs[0]) == contents(outs[1])


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_finished_file_that_was_damaged_meanwhile_is_never_delivered(damage: str, job: Job) -> None:
    job.killed_at(NAMES[3])
    file = next(file for file in sorted(job.unfinished.iterdir()) if file.suffix == ".safetensors")
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    if damage == "changed":
        with pytest.raises(DataError, match="does not read back as it was written"):
            job.run()
        assert not job.out.exists()
    job.run()
    assert (job.out / file.name).read_bytes() == content


def test_a_half_line_of_the_journal_costs_one_file(job: Job) -> None:
    job.killed_at(NAMES[3])
    journal = job.unfinished / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    job.run()
    assert set(Folder(job.out).names) == set(NAMES)


def test_an_unfinished_folder_of_another_config_or_of_changed_inputs_is_refused(job: Job, save: Save) -> None:
    job.killed_at(NAMES[3])
    before = contents(job.unfinished)
    with pytest.raises(InputError, match=r"out\.unfinished was begun with another config or other inputs"):
        job.run(factor=3.0)
    shutil.rmtree(job.base)
    save(job.base, model(5))
    with pytest.raises(InputError, match="was begun with another config or other inputs"):
        job.run()
    assert contents(job.unfinished) == before


def test_a_full_disk_is_said_and_the_run_goes_on_after_it(job: Job) -> None:
    """The limit of a file's size stands in for the end of the disk: the system reports both in the same place."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SHARD // 2, limits[1]))
    try:
        with pytest.raises(InputError, match=r"model-00001-of-00006\.safetensors\.part cannot be written \(File too"):
            job.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not job.out.exists()
    job.run()
    assert set(Folder(job.out).names) == set(NAMES)


def test_a_disk_that_is_full_in_truth_is_said(job: Job, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={16 * SHARD}", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    try:
        there = Job(job.base, disk / "out")

        def fill(name: str) -> Iterator[torch.Tensor]:
            if name == NAMES[2]:
                (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free - 4096))
            yield there.doubled(name)

        with pytest.raises(InputError, match=r"No space left on device.*it goes on where it stopped"):
            there.run(fill)
        assert not there.out.exists()
        with pytest.raises(InputError, match=r"disk has 0\.\d MB of free space, but 0\.0 MB are needed"):
            there.run()
        (disk / "other").unlink()
        there.run()
        job.run()
        assert contents(there.out) == contents(job.out)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_processes_do_not_write_the_same_output(job: Job) -> None:
    job.unfinished.mkdir()
    with FileLock(job.unfinished / "lock"), pytest.raises(InputError, match="is being written by another process"):
        job.run()
    job.run()


def test_a_folder_that_holds_something_is_never_overwritten(job: Job) -> None:
    job.out.mkdir()
    job.run()  # an empty one is fine
    before = contents(job.out)
    with pytest.raises(InputError, match="out is not empty"):
        job.run()
    assert contents(job.out) == before
    with pytest.raises(InputError, match=r"config\.json is a file"):
        Job(job.base, job.base / "config.json").run()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.full((64, 64), float("nan")), r"layers\.2\.weight: the new values hold NaN or Inf in torch\.bfloat16"),
        (torch.full((64, 64), 3.4e38, dtype=torch.float64) * 2, r"layers\.2\.weight: the new values hold NaN or Inf"),
        (torch.zeros(64, 63), r"layers\.2\.weight: new values of shape \(64, 63\) do not fit"),
        (torch.zeros(63, 64), r"layers\.2\.weight: 63 rows of new values came, but the base has 64"),
        (torch.zeros(65, 64), r"layers\.2\.weight: new values of shape \(65, 64\) do not fit"),
    ],
)
def test_values_that_are_no_weights_leave_nothing_behind(job: Job, values: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        job.run(lambda name: iter([values]) if name == NAMES[2] else None)
    assert not job.out.exists() and not job.unfinished.exists()


def test_tensors_that_are_not_edited_are_copied_bit_by_bit(save: Save, tmp_path: Path) -> None:
    special = torch.tensor([-0.0, 1e-40, 3.3895e38], dtype=torch.bfloat16)
    job = Job(save(tmp_path / "base", {"a": special, "b": torch.tensor([1, 2])}), tmp_path / "out")
    out = Folder(job.run(lambda name: None))
    assert torch.equal(out.tensor("a").view(torch.int16), special.view(torch.int16))
    assert out.tensor("b").tolist() == [1, 2]


def test_what_version_0_1_0_left_unfinished_is_finished(job: Job) -> None:
    job.killed_at(NAMES[3])
    journal = job.unfinished / "journal.jsonl"
    first, *steps = map(json.loads, journal.read_text().splitlines())
    old = [{"file": step["file"], "seconds": step["seconds"], **step["note"]} for step in steps]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in (first, *old)))
    asked: list[str] = []

    def edit(name: str) -> Iterator[torch.Tensor]:
        asked.append(name)
        yield job.doubled(name)

    job.run(edit)
    assert asked == NAMES[3:]
    assert json.loads((job.out / "method.json").read_text())["total"]["changed_tensors"] == len(NAMES)


def test_the_stages_that_version_0_1_0_finished_are_known(tmp_path: Path) -> None:
    old = {"run": "this", "finished": {"embedded": True, "layer-00000": {"w": {"removed": 3}}}, "seconds": 8.0}
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "progress.json").write_text(json.dumps(old))
    with (
        pytest.raises(InputError, match=r"out\.work was begun with another config or other inputs"),
        work_folder(tmp_path / "out", "other", 0),
    ):
        pass
    for _ in range(2):  # read from the old file first, then from the journal that took its place
        with pytest.raises(ZeroDivisionError), work_folder(tmp_path / "out", "this", 0) as work:
            assert work.finished("embedded") is True and work.finished("layer-00000") == {"w": {"removed": 3}}
            assert work.seconds == pytest.approx(8)
            assert work.finished("layer-00001") is None
            1 / 0  # noqa: B018


@pytest.mark.parametrize("line", ["[1]", "7", '{"file": "a"}', '{"seconds": 1}', "{", "\x00"])
def test_a_line_that_no_run_wrote_ends_the_journal(line: str, job: Job) -> None:
    job.killed_at(NAMES[3])
    with (job.unfinished / "journal.jsonl").open("a") as journal:
        journal.write(line)
    job.run()
    assert set(Folder(job.out).names) == set(NAMES)


@pytest.fixture
def merged(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dare.Config:
    """A merge with one tensor a file."""
    monkeypatch.setattr(checkpoint_writer, "SHARD_BYTES", SHARD)
    folders = [str(save(tmp_path / str(seed), model(seed))) for seed in range(2)]
    return dare.Config(
        base=folders[0], models=(folders[1],), weights=(1.0,), drop=0.5, seed=1, out=str(tmp_path / "out")
    )


def stopped_at(number: int, config: dare.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a merge whose disk is full when it comes to a file."""
    write, files = checkpoint_writer._write_shard, []

    def until(path: Path, *arguments: object) -> str:
        files.append(path)
        if len(files) > number:
            raise OSError(28, "No space left on device", str(path))
        return write(path, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_writer, "_write_shard", until)
        with pytest.raises(InputError, match="No space left"):
            dare.apply(config)


def test_a_merge_reads_each_tensor_for_its_checksum_once_and_only_when_it_comes_to_it(
    merged: dare.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, str]] = []
    hashed = Folder.digest

    def digest(self: Folder, name: str) -> str:
        if name not in self._digests:
            read.append((self.path.name, name))
        return hashed(self, name)

    monkeypatch.setattr(Folder, "digest", digest)
    stopped_at(2, merged, monkeypatch)
    assert read == [(folder, name) for name in NAMES[:2] for folder in ("0", "1")]
    read.clear()
    record = json.loads((dare.apply(merged) / "method.json").read_text())
    assert sorted(read) == sorted((folder, name) for name in NAMES for folder in ("0", "1"))
    assert record["base"]["sha256"] == Folder(merged.base).sources()


@pytest.mark.parametrize("changed", ["base", "models"])
def test_a_merge_goes_on_only_with_the_tensors_that_it_began_with(
    changed: str, merged: dare.Config, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_at(2, merged, monkeypatch)
    folder = Path(merged.base if changed == "base" else merged.models[0])
    (seed,) = folder.name
    other = model(int(seed)) | {NAMES[1]: model(7)[NAMES[1]]}
    shutil.rmtree(folder)
    save(folder, other)
    with pytest.raises(InputError, match="was begun with another config or other inputs"):
        dare.apply(merged)
    shutil.rmtree(folder)
    save(folder, model(int(seed)))  # the same again, at another time
    assert dare.apply(merged).is_dir()


@pytest.mark.parametrize("place", [0, 5])
def test_nan_in_an_input_is_found_on_the_way_and_leaves_nothing(place: int, merged: dare.Config, save: Save) -> None:
    folder, values = Path(merged.models[0]), model(1)
    values[NAMES[place]][3, 4] = float("nan")
    shutil.rmtree(folder)
    save(folder, values)
    with pytest.raises(InputError, match=rf"{NAMES[place]} of .* holds NaN or Inf"):
        dare.apply(merged)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["0", "1"]
