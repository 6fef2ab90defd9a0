"""What tests of `flipsweep fetch` share: a site that offers a small model, a cache, and looking at it."""
import hashlib
import json
import os
import re
import subprocess

import harness
from hub import Site


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class FetchCase(harness.Case):
    NAME = "own/tiny"

    def setUp(self):
        super().setUp()
        self.cache = self.dir / "cache"
        self.site = Site()
        self.addCleanup(self.site.close)
        self.model, self.data = self.tiny(width=32, heads=4, layers=2, vocab=600)
        self.offer(self.NAME)
        self.weights = self.path("model.safetensors")

    def path(self, file, name=NAME, revision="main"):
        return f"/{name}/resolve/{revision}/{file}"

    def offer(self, name, revision="main"):
        for file in self.model.iterdir():
            if file.suffix != ".tsv":
                self.site.files[self.path(file.name, name, revision)] = file.read_bytes()

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items()
                 if "proxy" not in k.lower() and k not in ("HF_TOKEN", "FLIPSWEEP_ZOO")}
        return {**clean, "FLIPSWEEP_CACHE": str(self.cache), **more}

    def fetch(self, *args, code=0, server=True, timeout=60, **env):
        """Runs fetch; returns its JSON, or its messages if it is to fail."""
        command = [harness.program(), "fetch", "--json", "--pause-ms", "1", *map(str, args)]
        if server:
            command += ["--server", self.site.url]
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                                env=self.environment(**env))
        self.assertEqual(result.returncode, code, f"{args}\n{result.stdout}\n{result.stderr}")
        self.messages = result.stderr
        if code:
            self.assertEqual(result.stdout, "")
            return result.stderr
        return json.loads(result.stdout)

    def assert_model(self, name=NAME):
        """The cache holds all of the model, bit for bit, and nothing that is half."""
        folder = self.cache / name
        for file in self.model.iterdir():
            if file.suffix != ".tsv":
                self.assertEqual((folder / file.name).read_bytes(), file.read_bytes(), file.name)
        self.assert_tidy()

    def assert_tidy(self):
        left = [p for p in self.cache.rglob("*") if re.search(r"\.(part|lock|tmp)", p.name)]
        self.assertEqual(left, [])

    def assert_absent(self, name=NAME):
        self.assertFalse((self.cache / name).exists())
        self.assertEqual([p for p in self.cache.rglob("*.lock")], [])
