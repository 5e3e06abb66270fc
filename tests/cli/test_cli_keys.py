"""`taskmem keys`: making, trusting, listing and revoking, with the files that they leave."""

from __future__ import annotations

import io
import json
import stat

import pytest

from taskmem_ros.cli import main
from taskmem_ros.exchange.keys import Keyring, SigningKey, UntrustedKey


@pytest.fixture
def taskmem(capsys, monkeypatch, tmp_path):
    """Runs `taskmem keys ...` in a home of its own; gives (status, stdout, stderr)."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        status = main(["keys", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def refused(result) -> str:
    """The one sentence of a command that failed."""
    status, out, err = result
    assert (status, out) == (2, "") and err.startswith("taskmem: ") and err.count("\n") == 1
    return err


def test_from_a_new_key_to_one_that_is_revoked(taskmem, tmp_path):
    status, line, err = taskmem("make", "workshop")
    path, ring = tmp_path / ".taskmem/keys/workshop.pem", tmp_path / ".taskmem/trusted_keys"
    assert status == 0 and str(path) in err and line.startswith("ed25519 ") and line.endswith(" workshop\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    key = SigningKey.read(path)

    status, out, err = taskmem("trust", *line.split())  # as it is pasted
    assert (status, out) == (0, "") and "Trusted" in err and key.id in err
    assert stat.S_IMODE(ring.stat().st_mode) == 0o644
    assert Keyring.read(ring).verify(key.id, b"x", key.sign(b"x")) == "workshop"
    assert "already" in taskmem("trust", line)[2] and ring.read_text() == line

    status, out, _ = taskmem("list")
    assert status == 0
    assert out.splitlines() == [f"own      {key.id}  {line.strip()}", f"trusted  {key.id}  {line.strip()}"]

    status, out, err = taskmem("revoke", "workshop")
    assert (status, out) == (0, "") and "Revoked" in err
    assert ring.read_text() == f"revoked {line}"
    with pytest.raises(UntrustedKey, match="revoked"):
        Keyring.read(ring).verify(key.id, b"x", key.sign(b"x"))
    assert "revoked" in refused(taskmem("trust", line))
    assert taskmem("revoke", key.id)[0] == 0 and ring.read_text() == f"revoked {line}"


def test_a_key_is_not_overwritten(taskmem, tmp_path):
    assert taskmem("make", "one", "-o", tmp_path / "a.pem")[0] == 0
    before = (tmp_path / "a.pem").read_bytes()
    assert "already" in refused(taskmem("make", "one", "-o", tmp_path / "a.pem"))
    assert (tmp_path / "a.pem").read_bytes() == before


@pytest.mark.parametrize("name", ["../../evil", "", "a b", ".hidden", "x" * 65])
def test_a_name_that_cannot_be_a_file(taskmem, tmp_path, name):
    assert "name" in refused(taskmem("make", name))
    assert list(tmp_path.rglob("*.pem")) == []


def test_lines_of_a_file_and_of_standard_input(taskmem, tmp_path):
    lines = [SigningKey.generate().public_line(name) for name in ("a", "b", "c")]
    (tmp_path / "two.pub").write_text("# ours\n\n" + "\n".join(lines[:2]) + "\n")
    ring = tmp_path / "ring"
    assert taskmem("trust", tmp_path / "two.pub", "--keyring", ring)[0] == 0
    assert taskmem("trust", "-", "--keyring", ring, typed=lines[2])[0] == 0
    assert ring.read_text().splitlines() == lines
    status, out, _ = taskmem("list", "--keyring", ring, "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [(key["state"], key["name"], key["line"]) for key in told] == [
        ("trusted", name, line) for name, line in zip("abc", lines)
    ]


def test_comments_and_order_of_a_keyring_stay(taskmem, tmp_path):
    lines = [SigningKey.generate().public_line(name) for name in ("a", "b")]
    ring = tmp_path / "ring"
    ring.write_text(f"# first\n\n{lines[0]}\n# second\n\n")
    ring.chmod(0o644)
    assert taskmem("trust", lines[1], "--keyring", ring)[0] == 0
    assert taskmem("revoke", "a", "--keyring", ring)[0] == 0
    assert ring.read_text() == f"# first\n\nrevoked {lines[0]}\n# second\n\n{lines[1]}\n"


def test_a_private_key_is_not_trusted(taskmem, tmp_path):
    SigningKey.generate().write(tmp_path / "key.pem")
    assert "private key" in refused(taskmem("trust", tmp_path / "key.pem"))
    assert not (tmp_path / ".taskmem/trusted_keys").exists()


def test_what_is_no_key(taskmem, tmp_path):
    (tmp_path / "empty").touch()
    for what in ("nothing-there", tmp_path / "empty", tmp_path, "ed25519 AAAA", "ed25519 AAAA name"):
        assert "key" in refused(taskmem("trust", what)) or "public line" in refused(taskmem("trust", what))
    assert "has no key" in refused(taskmem("revoke", "nobody"))


def test_a_name_is_of_one_key(taskmem, tmp_path):
    lines = [SigningKey.generate().public_line("same") for _ in range(2)]
    assert taskmem("trust", lines[0])[0] == 0
    assert "same" in refused(taskmem("trust", lines[1]))


def test_no_keys(taskmem):
    status, out, err = taskmem("list")
    assert (status, out) == (1, "") and "--help" in err


def test_a_key_that_others_can_read_is_told_of(taskmem, tmp_path):
    taskmem("make", "open")
    taskmem("make", "well")
    (tmp_path / ".taskmem/keys/open.pem").chmod(0o640)
    status, out, err = taskmem("list")
    assert status == 1 and "chmod 600" in err and " well\n" in out and " open\n" not in out
