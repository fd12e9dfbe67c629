"""The ledger's files are the server's own: what somebody else may have put there is refused.

Other users are played: a test is told that it runs as one who owns nothing.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sse_trio import LedgerError
from sse_trio.ledger.files import check_trusted, create, read_mount_points, resolve
from sse_trio.ledger.sqlite_file import LedgerFile

SUFFIXES = ["", "-wal", "-shm", "-journal", ".lock"]
BESIDE = SUFFIXES[1:]

ME = os.geteuid()
ANOTHER = ME + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def refusal(path: Path, *, user: int = ME) -> str:
    with pytest.raises(LedgerError) as refused:
        check_trusted(path, user=user)
    text = str(refused.value)
    assert text.startswith(f"cannot open the ledger {path}: ")
    return text


@pytest.mark.parametrize("suffix", BESIDE)
def test_no_file_is_opened_through_a_symbolic_link(path: Path, tmp_path: Path, suffix: str) -> None:
    with contextlib.closing(LedgerFile(path)):
        pass
    target = tmp_path / "target"
    target.write_text("1234\n")
    target.chmod(0o644)
    file = beside(path, suffix)
    file.unlink(missing_ok=True)
    file.symlink_to(target)
    with pytest.raises(LedgerError, match=f"{file} is a symbolic link.*: remove it$"):
        LedgerFile(path)
    assert target.read_text() == "1234\n"
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_file_is_refused(path: Path, suffix: str) -> None:
    os.mkfifo(beside(path, suffix))
    what = beside(path, suffix) if suffix else "it"
    with pytest.raises(LedgerError, match=f"{what} is not a file: name another one$"):
        LedgerFile(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_another_user_is_refused_and_named(path: Path, suffix: str) -> None:
    beside(path, suffix).touch(0o600)
    check_trusted(path)
    what = beside(path, suffix) if suffix else "it"
    whose = f"{what} belongs to user {ME}, and this process runs as user {ANOTHER}: chown it"
    assert whose in refusal(path, user=ANOTHER)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_everybody_can_write_to_is_refused(path: Path, suffix: str) -> None:
    file = beside(path, suffix)
    file.touch()
    file.chmod(0o666)
    with pytest.raises(LedgerError, match=r"can be written by every user.*chmod 600"):
        LedgerFile(path)
    assert file.stat().st_mode & 0o777 == 0o666
    file.chmod(0o664)  # as with a umask of 002: the group is the operator's choice
    check_trusted(path)


def test_a_folder_in_which_everybody_can_replace_files_is_warned_of(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mode in (0o777, 0o1777, 0o775):  # the second one as /tmp: only their owners replace files
        path.parent.chmod(mode)
        with contextlib.closing(LedgerFile(path)):
            pass
    (warning,) = caplog.messages
    assert warning.startswith(f"every user may replace the ledger's files in {path.parent}: ")


def test_a_link_to_the_ledger_is_followed_if_it_is_ones_own(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert resolve(link) == path
    # Root's are trusted too.
    owner = ME or ANOTHER
    os.lchown(link, owner, -1)
    with pytest.raises(LedgerError, match=f"symbolic link that belongs to user {owner}"):
        resolve(link, user=owner + 1)


def test_a_link_to_itself_is_refused(path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(LedgerError, match="it is a symbolic link"):
        LedgerFile(path)


def test_a_file_is_never_made_through_a_link(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        create(path)
    assert not (tmp_path / "target").exists()


@pytest.mark.skipif(ME == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written_to_is_named(path: Path) -> None:
    path.parent.chmod(0o500)
    with pytest.raises(LedgerError, match=f"its folder {path.parent}: Permission denied$"):
        LedgerFile(path)
    path.parent.chmod(0o700)


# -- mounts -----------------------------------------------------------------------------

TABLE = rb"""22 28 0:20 / / rw,relatime shared:7 - ext4 /dev/root rw
36 35 98:0 /root /data rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 35 98:0 /on/the/host.db /a\040folder/b\134c.db rw - ext4 /dev/sda1 rw
nonsense
"""


def test_where_something_is_mounted() -> None:
    assert read_mount_points(TABLE) == {Path("/"), Path("/data"), Path("/a folder/b\\c.db")}
    assert read_mount_points(b"") == set()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_mounted_by_itself_is_refused(path: Path, suffix: str) -> None:
    file = beside(path, suffix)
    file.touch(0o600)
    check_trusted(path, mount_points={path.parent})
    with pytest.raises(LedgerError, match=r"as a single file.*mount its folder instead$"):
        check_trusted(path, mount_points={path.parent, file})


def test_a_file_that_is_really_mounted_by_itself_is_refused(path: Path, tmp_path: Path) -> None:
    """As Docker does with ``-v /on/the/host.db:/data/ledger.db``."""
    made = tmp_path / "on the host.db"
    for file in (made, path):
        file.touch(0o600)
    script = 'mount --bind "$1" "$2" && exec "$3" -c "$4" "$2"'
    opening = "import sys; from sse_trio.ledger.sqlite_file import *; LedgerFile(Path(sys.argv[1]))"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    ended = subprocess.run(
        [*command, made, path, sys.executable, opening], capture_output=True, text=True, check=False
    )
    if "LedgerError" not in ended.stderr and ended.returncode != 0:
        pytest.skip(f"no namespace of its own: {ended.stderr.strip()}")
    assert "it is mounted as a single file" in ended.stderr
