"""`./run fuzz [NAME...] [--seconds 600]`: coverage-guided random input (atheris), each target for so long. Only typed errors may come out.

A target is a module beside this one with `PACKAGES` (what is instrumented), `check(data)`, which raises what must not happen, `seeds()`
(inputs to start from) and `WORDS` (pieces to put in). A finding ends the run with exit code 1; the input stands in the log.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = sorted(each.stem for each in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, []], help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        fuzz(given.names[0], given.seconds)
    for name in given.names or NAMES:
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(given.seconds), "--alone"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        print(
            "\n".join(line for line in done.stderr.splitlines() if "DONE" in line or "Done" in line or done.returncode), flush=True
        )
        print(f"{name}: {'only typed errors' if done.returncode == 0 else 'FOUND SOMETHING'}", flush=True)
        if done.returncode:
            return 1
    return 0


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=importlib.import_module(f"tests.fuzz.{name}").PACKAGES):
        for module in [
            each for each in sys.modules if each.split(".")[0] in ("policies", "tests") and each != "tests.fuzz.__main__"
        ]:
            del sys.modules[module]
        target = importlib.import_module(f"tests.fuzz.{name}")
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        for n, seed in enumerate(target.seeds()):
            (corpus / str(n)).write_bytes(seed)
        words = Path(place) / "words"
        words.write_text("".join(f'"{each.encode("unicode_escape").decode()}"\n' for each in target.WORDS))
        options = [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-dict={words}",
            f"-artifact_prefix={place}/",
            "-max_len=8192",
            str(corpus),
        ]
        atheris.Setup(options, target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
