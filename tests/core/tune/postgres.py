"""A PostgreSQL server of the tests' own, in a temporary folder, under a user that is not root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "s3cret-of-the-tests"


def binary(name: str) -> str | None:
    """Where PostgreSQL's program is; Debian keeps the servers out of the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else None)


def missing() -> str:
    """Why no server can be started here; '' if one can."""
    lacking = [name for name in ("initdb", "postgres") if binary(name) is None]
    if lacking:
        return f"PostgreSQL's {' and '.join(lacking)} not found: apt-get install postgresql"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return 'psycopg is not installed: pip install "nnlab[team]"'
    return ""


def served() -> Iterator[str]:
    """The URL of a running server's database, its password in it."""
    user = {"user": pwd.getpwnam("nobody").pw_uid} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="nnlab-pg-"))
    (folder / "password").write_text(PASSWORD)
    if user:
        for place in (folder, folder / "password"):
            shutil.chown(place, "nobody")
    words = ["-D", str(folder / "data"), "-U", "nnlab", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-N"]
    subprocess.run([str(binary("initdb")), *words], check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    told = ["-D", str(folder / "data"), "-h", "", "-k", str(folder), "-F"]  # a port may be taken before it is bound
    with open(folder / "log", "w") as log:
        server = subprocess.Popen([str(binary("postgres")), *told], stdout=log, stderr=log, cwd=folder, **user)
    try:
        wait_for(folder, server)
        yield f"postgresql://nnlab:{PASSWORD}@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # at once, whoever is connected
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(folder: Path, server: "subprocess.Popen[bytes]") -> None:
    """Until the server answers at its socket in the folder; its log if it has ended."""
    import psycopg

    for _ in range(300):
        assert server.poll() is None, (folder / "log").read_text()
        try:
            psycopg.connect(host=str(folder), user="nnlab", password=PASSWORD, dbname="postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.2)
    raise AssertionError((folder / "log").read_text())
