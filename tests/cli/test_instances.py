"""Finding proxies: with processes that hold their lock as mitmdump does."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reflex_core import config
from reflex_core.cli import instances
from reflex_core.cli.instances import Instance, Slot, State

STUBBORN = "import signal, time; signal.signal(15, lambda *_: None); print('up', flush=True); time.sleep(60)"
WILLING = "import time; print('up', flush=True); time.sleep(60)"


def state(pid: int, **more: object) -> State:
    known = State(
        pid=pid,
        url="http://127.0.0.1:1",
        admin="http://127.0.0.1:2",
        ca="/ca.pem",
        owner="run",
        started=1.0,
        salt="00" * 16,
        settings={},
        keys={},
    )
    return replace(known, **more)  # type: ignore[arg-type]


class Started:
    """Instances on one storage folder, each with a process."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, code: str = WILLING, **more: object) -> Instance:
        with instances.starting(self.storage) as folder:
            slot = Slot(folder)
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=(slot.handle,),
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            process.stdout.readline()
            instance = slot.publish(state(process.pid, **more))
            slot.close()
        self.processes.append(process)
        return instance


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    found = Started(tmp_path / "store")
    yield found
    for process in found.processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_none(tmp_path: Path) -> None:
    assert instances.living(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def test_found_as_long_as_it_lives(started: Started) -> None:
    old, new = started(started=1.0), started(started=2.0)
    assert instances.living(started.storage) == [new, old]
    os.kill(new.state.pid, signal.SIGKILL)
    started.processes[1].wait()
    assert instances.living(started.storage) == [old]
    names = {path.stem for path in old.folder.iterdir()}
    assert {old.id, new.id} <= names
    with instances.starting(started.storage):
        pass
    assert new.id not in {path.stem for path in old.folder.iterdir()}


def test_nobody_else_may_read_it(started: Started) -> None:
    instance = started()
    for path in (started.storage, instance.folder, *instance.folder.iterdir()):
        assert path.stat().st_mode & 0o077 == 0


def test_the_last_user_stops_it(started: Started) -> None:
    instance = started(owner="run")
    first, second = instance.join(), instance.join()
    assert first is not None
    assert second is not None
    instance.leave(first)
    assert instance.is_alive()
    instance.leave(second)
    assert not instance.is_alive()
    assert [path.name for path in instance.folder.iterdir()] == ["start"]


def test_a_served_one_goes_on(started: Started) -> None:
    instance = started(owner="serve")
    handle = instance.join()
    assert handle is not None
    instance.leave(handle)
    assert instance.is_alive()


def test_not_joined_while_it_is_stopped(started: Started) -> None:
    instance = started()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
         "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()",
         str(instance.folder / f"{instance.id}.users")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert instance.join() is None
    holder.communicate("\n")
    handle = instance.join()
    assert handle is not None
    os.close(handle)


def test_one_that_does_not_end_is_killed(started: Started) -> None:
    instance = started(STUBBORN)
    instance.stop(patience=0.2)
    assert not instance.is_alive()
    assert started.processes[0].wait() in (0, -signal.SIGKILL)  # whoever took its status first


def test_another_process_is_never_signalled(started: Started) -> None:
    """The pid of a proxy that is gone may be somebody else's by now."""
    bystander = subprocess.Popen([sys.executable, "-c", WILLING], stdout=subprocess.DEVNULL)
    instance = started()
    gone = Instance(instance.folder, instance.id, replace(instance.state, pid=bystander.pid))
    os.kill(instance.state.pid, signal.SIGKILL)
    started.processes[0].wait()
    gone.stop()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\x00"])
def test_garbage_is_no_instance(text: bytes, started: Started) -> None:
    instance = started()
    (instance.folder / f"{instance.id}.json").write_bytes(text)
    assert instances.living(started.storage) == []


def test_one_starter_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from reflex_core.cli import instances\n"
        "with instances.starting(Path(sys.argv[1])):\n"
        "    print('in', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    waiting = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    assert select.select([waiting.stdout], [], [], 0.5)[0] == []
    other.communicate("\n")
    assert waiting.communicate("\n")[0] == "in\n"


def test_digests_tell_nothing(tmp_path: Path) -> None:
    made = config.build({"upstream_proxy": "http://u:secret@proxy.example:1"}, {})
    salt = "ab" * 16
    found = instances.settings_digests(made, {"web_password": ("hidden",)}, salt)
    keys = instances.key_digests(made.providers, {"ANTHROPIC_API_KEY": "sk-ant"}, salt)
    assert "secret" not in str(found)
    assert "hidden" not in str(found)
    assert keys.keys() == {"ANTHROPIC_API_KEY"}
    assert keys != instances.key_digests(made.providers, {"ANTHROPIC_API_KEY": "sk-ant"}, "cd" * 16)


def test_digests_of_the_clients_own_keys_are_left_out() -> None:
    made = config.build({}, {})
    environ = {"OPENAI_API_KEY": "sk-1", "AZURE_OPENAI_API_KEY": "sk-2", "GROQ_API_KEY": ""}
    assert instances.key_digests(made.providers, environ, "00" * 16) == {}


def test_another_toml_file_is_another_setting() -> None:
    plain = config.build({}, {})
    salt = "00" * 16
    rows = {**plain.providers, "mine": replace(plain.providers["groq"], name="mine")}
    before = instances.settings_digests(plain, {}, salt)
    after = instances.settings_digests(replace(plain, providers=rows), {}, salt)
    assert {name for name in before if before[name] != after[name]} == {"config"}
