"""Files for the person alone: whole or not there, whatever ends the writing."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.private_files import write_private


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_whole_and_for_the_person_alone(overwrite: bool, durable: bool, place: Path) -> None:
    path = place / "x.json"
    write_private(path, [b"one ", b"two"], overwrite=overwrite, durable=durable)
    assert path.read_bytes() == b"one two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1
    assert list(place.iterdir()) == [path]


def test_what_is_there_is_replaced_only_when_that_was_asked_for(place: Path) -> None:
    path = place / "x.json"
    write_private(path, b"old", overwrite=False, durable=False)
    with pytest.raises(FileExistsError) as caught:
        write_private(path, b"new", overwrite=False, durable=False)
    assert (caught.value.filename, path.read_bytes()) == (str(path), b"old")
    write_private(path, b"new", overwrite=True, durable=False)
    assert path.read_bytes() == b"new"


def test_a_link_that_leads_nowhere_counts_as_there(place: Path) -> None:
    path = place / "x.json"
    path.symlink_to(place / "elsewhere")
    with pytest.raises(FileExistsError):
        write_private(path, b"new", overwrite=False, durable=False)
    assert not (place / "elsewhere").exists()


def test_one_that_comes_up_meanwhile_is_left_alone(place: Path) -> None:
    """Another process was faster."""
    path = place / "x.json"

    def slow() -> Iterator[bytes]:
        yield b"mine"
        path.write_bytes(b"theirs")

    with pytest.raises(FileExistsError) as caught:
        write_private(path, slow(), overwrite=False, durable=True)
    assert (caught.value.filename, path.read_bytes()) == (str(path), b"theirs")
    assert list(place.iterdir()) == [path]


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError, OSError])
@pytest.mark.parametrize("overwrite", [True, False])
def test_nothing_is_left_of_a_file_that_was_broken_off(end: type[BaseException], overwrite: bool, place: Path) -> None:
    """An export that was stopped with Ctrl-C left half a file, under the very name that was asked for."""

    def broken_off() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise end

    with pytest.raises(end):
        write_private(place / "x.json", broken_off(), overwrite=overwrite, durable=False)
    assert list(place.iterdir()) == []


def test_long_names_are_no_trouble(place: Path) -> None:
    path = place / ("é" * 120 + ".json")
    write_private(path, b"x", overwrite=False, durable=False)
    assert path.read_bytes() == b"x"
