"""The same campaign gives the same stored trials, byte for byte, however it is run.

Short: 300 trials on a tiny model, and where the real one is at hand 300 on it. With --long: the
2,000 single flips on bert-mini-sst2 over 200 sentences of SST-2 dev, with 1 thread, 2 threads, two
workers over TCP, and kill -9 of worker and coordinator every few seconds.
"""
import hashlib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import harness

LONG = "--long" in sys.argv
if LONG:
    sys.argv.remove("--long")


def children(pid):
    """Ids of a process's children."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


class Identity(harness.Case):
    def digest(self, out):
        """What the store holds of each trial, key and record, hashed in key order."""
        verify = self.json("verify", "--json", out)
        self.assertTrue(verify["ok"], verify)
        dump = self.run_program("verify", "--dump", out).stdout
        self.assertTrue(dump)
        return hashlib.sha256(dump.encode()).hexdigest(), verify["trials"]

    def check(self, path, trials, rounds, pause):
        runs = {}

        def done(name, out):
            status = self.json("status", "--json", out)
            self.assertEqual(status["state"], "complete")
            runs[name] = self.digest(out)
            self.assertEqual(runs[name][1], trials)
            self.assertEqual(status["mismatches"], 0)
            print(f"{name}: {trials} trials, sha256 {runs[name][0][:16]}", flush=True)

        for threads in (1, 2):
            out = self.dir / f"threads{threads}"
            self.run_program("run", path, "--out", out, "--threads", threads, "--no-report",
                             timeout=3000)
            done(f"{threads} thread(s)", out)
        done("two workers over TCP", self.over_tcp(path))
        out, kills = self.with_kills(path, rounds, pause)
        self.assertTrue(all(kills), f"the campaign ended before both were killed: {kills}")
        done(f"{kills[0]} coordinator and {kills[1]} worker kills", out)
        self.assertEqual(len(set(digest for digest, _ in runs.values())), 1, runs)

    def over_tcp(self, path):
        out = self.dir / "tcp"
        log = open(self.dir / "serve.log", "w+")
        server = self.start("serve", path, "--bind", "tcp://127.0.0.1:*", "--out", out, stderr=log,
                            stdout=log)
        endpoint, deadline = None, time.time() + 60
        while endpoint is None and time.time() < deadline:
            time.sleep(0.1)
            log.seek(0)
            match = re.search(r"tcp://127\.0\.0\.1:\d+", log.read())
            endpoint = match and match.group(0)
        self.assertIsNotNone(endpoint, "serve named no endpoint")
        workers = [self.start("worker", "--connect", endpoint, "--threads", 1) for _ in range(2)]
        self.assertEqual(server.wait(3000), 0)
        log.close()
        for worker in workers:
            self.assertEqual(worker.wait(60), 0)
        attempts = self.json("status", "--json", out)["workers"]
        self.assertEqual(len(attempts), 2, "both workers took part")
        return out

    def with_kills(self, path, rounds, pause):
        """Runs the campaign while its worker, then everything, is killed, again and again."""
        out, random_pause, kills = self.dir / "kills", random.Random(1), [0, 0]
        for number in range(10 * rounds):
            process = self.start("run", path, "--out", out, "--threads", 2, "--no-report")
            deadline = time.time() + pause * (0.5 + random_pause.random())
            while process.poll() is None and time.time() < deadline:
                time.sleep(0.05)
            if process.poll() is None and number % 2 == 0:
                for pid in children(process.pid):
                    os.kill(pid, signal.SIGKILL)
                    kills[1] += 1
                time.sleep(pause / 2)
            if process.poll() is None and number < rounds:
                self.kill(process)
                kills[0] += 1
                continue
            if process.wait(3000) == 0:
                break
        return out, kills

    def text(self, model, data, examples, trials):
        return f"""campaign: identity
seed: 11
task: {{kind: classification, model: {model}, data: {data}, {examples}}}
arms:
  - {{name: unprotected}}
sweep:
  - {{name: single, site: {{parameters: all}}, amount: {{count: 1}}, trials: {trials}}}
"""

    def test_tiny(self):
        model, data = self.tiny(layers=3, width=64)
        self.check(self.campaign(self.text(model, data, "", 3000)), 3000, 3, 0.5)

    @harness.needs_shared
    def test_bert_mini(self):
        trials = 2000 if LONG else 200
        path = self.campaign(self.text(harness.BERT, harness.SST2_DEV, "examples: 200", trials))
        self.check(path, trials, 8 if LONG else 2, 3 if LONG else 2)


if __name__ == "__main__":
    harness.main()
