"""`./run conformance dsp-kit [--runs N]`: the official DSP test kit, as it is published, against the connector of `./run conformance dsp`.

The kit is run by JUnit's console launcher with the properties that the connector writes; every run starts both anew. Prints one line per run and the names of failed
cases; ends with 1 unless all cases passed in all runs.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.ports import free_port

LAUNCHER = "org.junit.platform.console.ConsoleLauncher"
PACKAGE = "org.eclipse.dataspacetck.dsp.verification"
SYSTEM = "org.eclipse.dataspacetck.dsp.system.DspSystemLauncher"
COUNT = re.compile(r"\[\s*(\d+) tests (found|successful|failed|skipped)\s*\]")
SECONDS = 420


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run conformance dsp-kit")
    parser.add_argument("--lib", type=Path, required=True, help="folder with the kit's jars")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    good = True
    for number in range(1, options.runs + 1):
        with tempfile.TemporaryDirectory(prefix="kizuna-kit-") as place:
            counts, failed = run(options.lib, Path(place))
        good &= counts.get("successful", 0) > 0 and not counts.get("failed", 1)
        sys.stdout.write(f"run {number}: {counts.get('successful', 0)} of {counts.get('found', 0) - counts.get('skipped', 0)} passed"
                         f" ({counts.get('skipped', 0)} disabled in the kit){': ' + ', '.join(failed) if failed else ''}\n")  # fmt: skip
        sys.stdout.flush()
    return 0 if good else 1


def run(lib: Path, place: Path) -> tuple[dict[str, int], list[str]]:
    """One run: how many cases were found, successful, failed and skipped, and which failed."""
    port, kit = free_port(), free_port()
    properties = place / "kit.properties"
    command = [sys.executable, "-m", "tests.conformance.serve", "dsp", "--port", str(port), "--kit", f"http://127.0.0.1:{kit}"]
    connector = subprocess.Popen([*command, "--properties", str(properties)], stdout=subprocess.PIPE, text=True)
    try:
        assert connector.stdout is not None
        if connector.stdout.readline() != "ready\n":
            raise SystemExit("the connector did not start")
        said = properties.read_text(encoding="utf-8").split()
        said += [f"dataspacetck.launcher={SYSTEM}", "dataspacetck.host=127.0.0.1", f"dataspacetck.port={kit}"]
        java = ["java", "-Xmx256m", *(f"-D{each}" for each in said), "-cp", f"{lib}/*", LAUNCHER, "execute"]
        done = subprocess.run(
            [*java, "--select-package", PACKAGE, "--include-classname", ".*Test", "--disable-banner", "--details", "tree", "--disable-ansi-colors"],
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    finally:
        connector.terminate()
        connector.wait(30)
    counts = {name: int(count) for count, name in COUNT.findall(done.stdout)}
    if counts.get("failed", 1):
        sys.stderr.write(done.stdout[-8000:] + done.stderr[-4000:])
    return counts, re.findall(r"─ (\S+): .* ✘", done.stdout)


if __name__ == "__main__":
    sys.exit(main())
