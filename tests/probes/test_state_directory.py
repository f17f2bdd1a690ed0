import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from probes import state_directory

ROOT = Path(__file__).resolve().parents[2]


def test_a_directory_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(state_directory.StateError, match="file"):
        state_directory.prepare(tmp_path / "file")
    with pytest.raises(state_directory.StateError, match="Not a directory"):
        state_directory.prepare(tmp_path / "file" / "below")
    with pytest.raises(state_directory.StateError, match="nowhere"):
        state_directory.write(tmp_path / "nowhere" / "x", b"")
    state_directory.prepare(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="only root may mount a read-only file system, in a namespace",
)
def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from probes import state_directory as s\n"
        "try: s.prepare(pathlib.Path(sys.argv[1]))\n"
        "except s.StateError as error: print(error)"
    )
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none "$4" && exec "$@"', "sh",
         sys.executable, "-c", code, str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert ran.stdout == f"{tmp_path}: the file system is read-only: choose another by --state\n"


def test_one_daemon_a_directory_and_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with (
        state_directory.locked(tmp_path),
        pytest.raises(state_directory.StateError, match="another reachprobe"),
        state_directory.locked(tmp_path),
    ):
        pass
    assert not state_directory.is_locked(tmp_path)
    assert not state_directory.is_locked(tmp_path / "nowhere")
    with state_directory.locked(tmp_path):
        assert state_directory.is_locked(tmp_path)
    code = (
        "import sys, time, pathlib; from probes import state_directory\n"
        "with state_directory.locked(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(state_directory.StateError), state_directory.locked(tmp_path):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with state_directory.locked(tmp_path):
        pass


def test_wiping_takes_ours_and_leaves_the_rest(tmp_path: Path) -> None:
    ours = ["enrolment.json", "consent.json", "spool.db", "spool.db-wal", "lock", "geo.table"]
    for name in [*ours, "spool.db.corrupt-1", ".status.json.12", "holiday.jpg"]:
        (tmp_path / name).write_text("x")
    state_directory.wipe(tmp_path)
    assert os.listdir(tmp_path) == ["holiday.jpg"]
    state_directory.wipe(tmp_path / "nowhere")


def test_wiping_may_keep_one_file(tmp_path: Path) -> None:
    for name in ("enrolment.json", "consent.json", "paused"):
        (tmp_path / name).write_text("x")
    state_directory.wipe(tmp_path, keep="enrolment.json")
    assert os.listdir(tmp_path) == ["enrolment.json"]


def test_pausing_and_going_on(tmp_path: Path) -> None:
    assert not state_directory.paused(tmp_path)
    for wanted in (True, True, False, False):
        state_directory.set_paused(tmp_path, wanted)
        assert state_directory.paused(tmp_path) == wanted
    with pytest.raises(state_directory.StateError):
        state_directory.set_paused(tmp_path / "nowhere", True)
