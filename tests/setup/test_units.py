"""The units of systemd/: valid, without paths of any machine, and what they start starts."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".service", ".timer"))


def read(name: str) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=True, comment_prefixes=("#",), delimiters=("=",))
    unit.optionxform = str
    unit.read(FOLDER / name)
    return unit


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_them(name, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(FOLDER / name)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr}")
    # With an unknown key it only warns.
    assert done.returncode == 0 and name not in done.stderr, done.stderr


def test_the_timer_is_of_a_service_here():
    assert {"taskmem-nightly.timer", "taskmem-nightly.service", "taskmem-robot.service"} == set(UNITS)
    assert read("taskmem-nightly.timer")["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_path_of_a_machine_is_in_force(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    words = [word for line in lines for word in re.findall(r"(?<![\w%}])/[\w./-]+", line)]
    assert set(words) <= {"/bin/bash", "/srv/exchange", "/path/to/key.pem", "/front/image_raw"}, words


@pytest.mark.parametrize(
    "name, arguments, says",
    [
        ("taskmem-robot.service", {"TASKMEM_ARGUMENTS": "--help"}, "--exchange"),
        (
            "taskmem-nightly.service",
            {"TASKMEM_NIGHTLY_ARGUMENTS": "--help", "TASKMEM_OUT": "out", "TASKMEM_KEY": "k"}
            | {"TASKMEM_EXCHANGE": "/x y"},
            "--exchange",
        ),
    ],
)
def test_what_they_start_starts(name, arguments, says, tmp_path):
    if not (ROOT / ".venv").exists():
        pytest.skip("make setup was not run here")
    service = read(name)["Service"]
    variables = dict(word.split("=", 1) for word in shlex.split(service["Environment"]))
    assert set(arguments) <= {*variables, "TASKMEM_EXCHANGE", "TASKMEM_KEY"}
    command = shlex.split(service["ExecStart"].replace("$$", "$"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TASKMEM": str(ROOT), **arguments}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0 and says in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["robot.env", "nightly.env"])
def test_the_example_of_settings_is_what_the_unit_reads(name):
    unit = read(f"taskmem-{name.removesuffix('.env')}.service")["Service"]
    assert unit["EnvironmentFile"] == f"%E/taskmem/{name}"
    named = set(re.findall(r"^#?([A-Z_]+)=", (FOLDER / name).read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\$([A-Z_]+)", unit["ExecStart"]))
    assert used - {"TASKMEM_OUT"} <= named
    assert {other for other in named - used if not other.startswith("AWS_")} == set()
