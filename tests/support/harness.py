"""What tests of whole programs share: the built programs, their JSON, models, campaigns.

A test file is a unittest module whose last line is harness.main(). ctest gives the build folder in
FS_BUILD_DIR; by hand it is build/ of the checkout. Standard library only.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("FS_BUILD_DIR", TOP / "build"))
SHARED = TOP.parent / "shared" / "data"
BERT = SHARED / "models" / "bert-mini-sst2"
GPT2 = SHARED / "models" / "gpt2-mini-wiki"
SST2_DEV = SHARED / "sst2" / "dev.tsv"
WIKI_TEST = SHARED / "wikitext" / "wiki.test.raw"


def program(name="flipsweep"):
    """The path of a built program."""
    return str(BUILD / "bin" / name)


def needs_shared(test):
    """Skips a test, saying so, where the real models and data are absent."""
    return unittest.skipUnless(SHARED.is_dir(), f"needs {SHARED}")(test)


class Case(unittest.TestCase):
    """A test with a scratch folder, programs that never outlive it, and campaigns."""

    maxDiff = 4000

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="flipsweep-test-"))
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run_program(self, *args, code=0, stdin=None, timeout=240, env=None):
        """Runs `flipsweep ARGS` to its end and checks its exit code (None: any)."""
        result = subprocess.run([program(), *map(str, args)], input=stdin, capture_output=True,
                                text=True, errors="replace", timeout=timeout,
                                env={**os.environ, **(env or {})})
        if code is not None:
            self.assertEqual(result.returncode, code,
                             f"{args}\nstdout: {result.stdout[-2000:]}\nstderr: {result.stderr[-2000:]}")
        return result

    def json(self, *args, **kwargs):
        """The one JSON document that a verb prints."""
        out = self.run_program(*args, **kwargs).stdout.strip()
        try:
            return json.loads(out)
        except ValueError:
            return json.loads(out.splitlines()[-1])

    def start(self, *args, **kwargs):
        """Starts `flipsweep ARGS` in a process group of its own."""
        kwargs.setdefault("stdout", subprocess.DEVNULL)
        kwargs.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen([program(), *map(str, args)], start_new_session=True, **kwargs)
        self.processes.append(process)
        return process

    def kill(self, process, how=signal.SIGKILL):
        """Kills a started program with all its children, and reaps it."""
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        process.wait(30)

    def tiny(self, name="model", **spec):
        """Writes a small random model with data beside it; returns (model, data)."""
        folder = self.dir / name
        spec = {"kind": "bert", "data": 40, **spec}
        subprocess.run([str(BUILD / "tests" / "tiny-model"), str(folder),
                        *(f"{k}={v}" for k, v in spec.items())], check=True)
        return folder, folder / ("data.txt" if spec["kind"] == "gpt2" else "data.tsv")

    def campaign(self, text, name="campaign.yaml"):
        """Writes a campaign file; returns its path."""
        path = self.dir / name
        path.write_text(text)
        return path


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
