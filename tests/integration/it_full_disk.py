"""A full disk pauses a campaign; when there is room it goes on, and nothing acknowledged is lost.

The store lies on a small tmpfs that the test mounts, fills and enlarges: root only.
"""
import os
import signal
import subprocess
import time
import unittest

import harness


@unittest.skipUnless(os.geteuid() == 0, "mounting a tmpfs needs root")
class FullDisk(harness.Case):
    def setUp(self):
        super().setUp()
        self.disk = self.dir / "disk"
        self.disk.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.disk)],
                              capture_output=True, text=True)
        if made.returncode != 0:
            self.skipTest("cannot mount a tmpfs: " + made.stderr.strip())

    def tearDown(self):
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
        subprocess.run(["umount", "-l", str(self.disk)], check=True)
        super().tearDown()

    def wait_until(self, condition, what, seconds=60):
        deadline = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), deadline, what)
            time.sleep(0.05)

    def test_pause_and_go_on(self):
        model, data = self.tiny(layers=1, width=16, heads=2, data=4)
        path = self.campaign(f"""campaign: full
seed: 2
task: {{kind: classification, model: {model}, data: {data}}}
arms: [{{name: unprotected}}]
sweep:
  - {{name: flips, site: {{parameters: all}}, amount: {{count: 1}}, trials: 6000}}
""")
        log = self.dir / "log"
        with open(log, "w") as err:
            process = self.start("run", path, "--out", self.disk / "out", "--no-report", stderr=err)
        deadline = time.time() + 120
        while "disk is full" not in log.read_text() and time.time() < deadline:
            self.assertIsNone(process.poll(), log.read_text())
            time.sleep(0.2)
        self.assertIn("disk is full", log.read_text(), "the pause is said")
        self.assertIsNone(process.poll(), "a full disk does not end the campaign")
        subprocess.run(["mount", "-o", "remount,size=64m", str(self.disk)], check=True)
        self.assertEqual(process.wait(240), 0, log.read_text())
        verify = self.json("verify", "--json", self.disk / "out")
        self.assertTrue(verify["ok"], verify)
        self.assertEqual(verify["trials"], 6000)
        # The same trials as where there was room all the time.
        self.run_program("run", path, "--out", self.dir / "roomy", "--no-report")
        self.assertEqual(self.run_program("verify", "--dump", self.disk / "out").stdout,
                         self.run_program("verify", "--dump", self.dir / "roomy").stdout)

    def test_stopped_while_full(self):
        """What is leased cannot be finished now: one signal ends it; room then lets it finish."""
        model, data = self.tiny()
        path = self.campaign(f"""campaign: full
task: {{kind: classification, model: {model}, data: {data}}}
sweep: [{{name: flips, site: {{parameters: all}}, amount: {{count: 1}}, trials: 40000}}]
""")
        log = self.dir / "log"
        with open(log, "w", encoding="utf-8") as stderr:
            process = self.start("run", path, "--out", self.disk / "out", "--simulate",
                                 "--no-report", stderr=stderr)

        def phase():
            return self.json("status", "--json", self.disk / "out").get("phase")

        self.wait_until(lambda: "paused" in log.read_text(), "it pauses")
        self.assertEqual(phase(), "paused")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 3, log.read_text())
        self.assertIn("terminated while the disk is full", log.read_text())
        kept = self.json("status", "--json", self.disk / "out")["trials_done"]
        self.assertGreater(kept, 0)
        subprocess.run(["mount", "-o", "remount,size=100m", str(self.disk)], check=True)
        self.run_program("run", path, "--out", self.disk / "out", "--simulate", "--no-report")
        self.assertEqual(self.json("verify", "--json", self.disk / "out")["trials"], 40000)

    def test_no_room_for_tuned_models(self):
        """A model that is to be kept and does not fit costs no trial; replay makes it again."""
        model, data = self.tiny(width=32, data=60)
        path = self.campaign(f"""campaign: full
task: {{kind: classification, model: {model}, data: {data}}}
arms: [{{name: plain}}]
finetune: {{data: {data}, steps: 3, batch: 8, learning_rate: 2.0e-3, seed: 3, keep: all}}
sweep:
  - {{name: g, phase: finetune, site: {{gradients: all}}, amount: {{rate: 0.001}}, trials: 3}}
""")
        size = (model / "model.safetensors").stat().st_size
        with open(self.disk / "filler", "wb") as filler:
            free = os.statvfs(self.disk).f_bfree * os.statvfs(self.disk).f_frsize
            filler.write(bytes(free - size // 2))
        out = self.disk / "out"
        result = self.run_program("run", path, "--out", out, "--state-dir", self.dir / "state",
                                  "--no-report")
        self.assertEqual(result.stderr.count("tuned model is not kept"), 3, result.stderr)
        self.assertIn("model.safetensors", result.stderr)
        self.assertEqual(list(out.glob("work/models/*/config.json")), [])
        status = self.json("status", "--json", out)
        self.assertEqual((status["state"], status["trials_done"], status["quarantined"]),
                         ("complete", 3, 0))
        self.run_program("run", path, "--out", self.dir / "roomy", "--no-report")
        self.assertEqual(self.run_program("verify", "--dump", out).stdout,
                         self.run_program("verify", "--dump", self.dir / "roomy").stdout)
        (self.disk / "filler").unlink()
        self.run_program("replay", out, "g/plain/1")
        kept = list(out.glob("work/models/*/model.safetensors"))
        self.assertEqual(len(kept), 1)
        same = self.dir / "roomy" / "work" / "models" / kept[0].parent.name / kept[0].name
        self.assertEqual(kept[0].read_bytes(), same.read_bytes())

    def test_no_room_at_all(self):
        with open(self.disk / "filler", "wb") as filler:
            try:
                while True:
                    filler.write(bytes(65536))
                    filler.flush()
            except OSError:
                pass
        model, data = self.tiny(data=4)
        path = self.campaign(f"""campaign: full
task: {{kind: classification, model: {model}, data: {data}}}
sweep: [{{name: flips, site: {{parameters: all}}, amount: {{count: 1}}, trials: 5}}]
""")
        result = self.run_program("run", path, "--out", self.disk / "out", code=1, timeout=60)
        self.assertIn("full", result.stderr)
        result = self.run_program("eval", model, "--task", "classification", "--data", data, "--logits",
                                  self.disk / "logits", code=1)
        self.assertIn("logits", result.stderr)
        self.assertFalse((self.disk / "logits").exists())


if __name__ == "__main__":
    harness.main()
