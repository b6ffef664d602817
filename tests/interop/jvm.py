"""A Java program as a process: its class path, its configuration file, when it is ready, and how it ends. For peers from Maven beside ours."""

import asyncio
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

RUNTIME = "org.eclipse.edc.boot.system.runtime.BaseRuntime"
READY = re.compile(r"Runtime \S+ ready")
READY_SECONDS = 90


class JvmError(Exception):
    """The program did not start, or refuses a command."""


class Jvm:
    """One EDC runtime."""

    def __init__(self, place: Path, name: str, classes: Sequence[str], properties: str, *, heap: str = "512m") -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.name, self._classes, self._heap = name, classes, heap
        self._config, self.log = place / f"{name}.properties", place / f"{name}.log"
        self._config.write_text(properties)
        self._process: subprocess.Popen | None = None
        self.started = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    def launch(self) -> None:
        """Start the process; `ready` waits for it."""
        command = [
            "java",
            *([f"-Xmx{self._heap}"] if self._heap else []),
            "-XX:+UseSerialGC",
            f"-Dedc.fs.config={self._config}",
            "-cp",
            ":".join(self._classes),
            RUNTIME,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.started = time.monotonic()

    async def ready(self) -> None:
        """Return when its log says that it is ready; raises `JvmError` with the end of it. Nothing is asked of it before: Jetty keeps early answers for good."""
        while time.monotonic() - self.started < READY_SECONDS and self._process.poll() is None:
            if READY.search(self.log.read_text(errors="replace")):
                return
            await asyncio.sleep(0.05)
        raise JvmError(f"{self.name} did not start: {self.log.read_text(errors='replace')[-3000:]}")

    async def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
