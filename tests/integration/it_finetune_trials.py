"""Fine-tuning trials with real processes: fault-free is what `finetune` makes, kills do not show,
replay says where tuned models are, and a trial may take longer than a lease lasts."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import time

import harness

SECTION = "steps: 30, batch: 8, learning_rate: 2.0e-3, seed: 3"
SWEEPS = """  - {name: zero, phase: finetune, site: {gradients: all}, amount: {count: 0}, trials: 2}
  - {name: gradients, phase: finetune, site: {gradients: all}, amount: {rate: 0.001}, trials: 4}
  - {name: moments, phase: finetune, site: {optimizer: [adam.m, adam.v]}, persistence: transient,
     amount: {count: 50}, trials: 4}
  - {name: values, phase: finetune, site: {parameters: [mlp, attention]}, amount: {count: 2},
     bits: [mantissa, exponent], trials: 4}
"""


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


class FinetuneTrials(harness.Case):
    def make(self, more="checkpoint_steps: 1, keep: all"):
        model, data = self.tiny(width=32, data=120)
        return model, data, self.campaign(f"""campaign: tune
seed: 4
task: {{kind: classification, model: {model}, data: {data}, examples: 60}}
arms:
  - {{name: plain}}
  - {{name: coded, protect: [ep, secded]}}
finetune: {{data: {data}, {SECTION}, {more}}}
sweep:
{SWEEPS}""")

    def digest(self, out):
        verify = self.json("verify", "--json", out)
        self.assertTrue(verify["ok"], verify)
        dump = self.run_program("verify", "--dump", out).stdout
        self.assertTrue(dump)
        return hashlib.sha256(dump.encode()).hexdigest()

    def run_with_kills(self, path, out, kills):
        """Kills the worker, then everything, each time a new checkpoint was written."""
        killed = [0, 0]
        folder = out / "work" / "checkpoints"
        seen = set()
        for number in range(4 * kills):
            process = self.start("run", path, "--out", out, "--threads", 2, "--no-report")
            while process.poll() is None:
                files = set()
                if folder.is_dir():
                    files = {(f.name, f.inode()) for f in os.scandir(folder) if f.name.endswith(".run")}
                if files - seen and sum(killed) < kills:
                    seen |= files
                    break
                time.sleep(0.002)
            if process.poll() is None and number % 2 == 0:
                for pid in children(process.pid):
                    os.kill(pid, signal.SIGKILL)
                    killed[0] += 1
                time.sleep(0.2)
            if process.poll() is None and sum(killed) < kills:
                self.kill(process)
                killed[1] += 1
                continue
            if process.wait(200) == 0:
                break
        return killed

    def test_kills_and_threads_do_not_show(self):
        model, data, path = self.make()
        one, many = self.dir / "one", self.dir / "many"
        status = self.json("run", "--json", path, "--out", one, "--threads", 1)
        self.assertEqual(status["state"], "complete")
        killed = self.run_with_kills(path, many, 6)
        self.assertTrue(all(killed), f"the campaign ended before both were killed: {killed}")
        self.assertEqual(self.digest(one), self.digest(many))
        print(f"28 trials, the same with 1 thread and with 2 and {killed[0]} worker and "
              f"{killed[1]} coordinator kills")
        for out in one, many:
            left = list((out / "work" / "checkpoints").glob("*.run"))
            self.assertEqual(len(left), 1, "but for the fault-free run's, checkpoints are gone")
        self.check_cells(status)
        self.check_replay(one)
        self.check_report(one)

    def check_cells(self, status):
        cells = {c["id"]: c for c in status["cells"]}
        for name in "zero/plain", "zero/coded":
            self.assertEqual((cells[name]["trials_masked"], cells[name]["n"]), (2, 2))
        cell = cells["moments/plain"]
        self.assertEqual((cell["phase"], cell["steps"], cell["site"], cell["words"]),
                         ("finetune", 30, "optimizer", ["adam.m", "adam.v"]))
        self.assertEqual(cells["gradients/plain"]["components"], cells["zero/plain"]["components"])

    def check_replay(self, out):
        trial = "gradients/plain/2"
        found = self.json("replay", "--json", out, trial)
        self.assertTrue(found["stored_equal"])
        self.assertIsNone(found["tuned"]["diverged_step"])
        self.assertEqual({f["array"] for f in found["faults"]}, {"gradients"})
        self.assertEqual(len(found["faults"]), 8)
        folder = pathlib.Path(found["tuned"]["folder"])
        self.assertEqual(folder.name, found["tuned"]["model"])
        weights = (folder / "model.safetensors").read_bytes()
        quality = self.json("eval", folder, "--data", self.dir / "model" / "data.tsv", "--examples", 60,
                            "--json")
        self.assertEqual(quality["value"], found["outcome"]["metric"])
        shutil.rmtree(folder)
        text = self.run_program("replay", out, trial, "--brute-force").stdout
        self.assertIn(f"tuned model: {folder}", text)
        self.assertIn("step 1, gradients of ", text)
        self.assertEqual((folder / "model.safetensors").read_bytes(), weights, "made again")
        rows = (self.dir / "list.csv")
        self.run_program("replay", out, "moments/plain/0", "--faults", rows)
        lines = [l.split(",") for l in rows.read_text().splitlines() if not l.startswith("#")]
        self.assertEqual(lines[0], ["step", "array", "tensor", "index", "bit", "kind"])
        self.assertEqual([l[1] for l in lines[1:]], 50 * ["adam.m"] + 50 * ["adam.v"])
        self.assertEqual(len({l[0] for l in lines[1:]}), 1, "one step")
        faults = self.json("replay", "--json", out, "moments/plain/0")["faults"]
        self.assertEqual({str(f["step"]) for f in faults}, {lines[1][0]})
        self.assertIn(f"  step {lines[1][0]}, adam.m of ",
                      self.run_program("replay", out, "moments/plain/0").stdout)

    def check_report(self, out):
        self.assertTrue((out / "report.html").stat().st_size > 10000)

    def test_fault_free_is_what_finetune_makes(self):
        model, data, path = self.make("keep: all")
        out, tuned = self.dir / "out", self.dir / "tuned"
        self.run_program("run", path, "--out", out, "--no-report")
        found = self.json("replay", "--json", out, "zero/plain/0")
        self.run_program("finetune", tuned, "--from", model, "--data", data, "--steps", 30, "--batch",
                         8, "--rate", 2e-3, "--seed", 3, "--threads", 2)
        kept = pathlib.Path(found["tuned"]["folder"])
        self.assertEqual((kept / "model.safetensors").read_bytes(),
                         (tuned / "model.safetensors").read_bytes())

    def test_changed_data_do_not_resume(self):
        model, data, path = self.make()
        learnt = self.dir / "learnt.tsv"
        shutil.copy(data, learnt)
        path.write_text(path.read_text().replace(f"finetune: {{data: {data}", f"finetune: {{data: {learnt}"))
        out = self.dir / "out"
        self.run_program("run", path, "--out", out, "--until", "+1s", "--no-report", code=None)
        with learnt.open("a") as file:
            file.write("one more\t1\n")
        refused = self.run_program("run", path, "--out", out, code=4)
        self.assertIn("finetune.data_hash", refused.stderr)

    def test_a_trial_longer_than_a_lease(self):
        """Simulated workers sleep: 33 s, and a lease without a word is lost after 30."""
        model, data, path = self.make()
        text = path.read_text()
        path.write_text(text[:text.index("sweep:")] + "sweep:\n  - {name: long, phase: finetune, "
                        "site: {gradients: all}, amount: {count: 1}, trials: 1}\n")
        status = self.json("run", "--json", path, "--out", self.dir / "out", "--simulate",
                           "--simulate-us", 33_000_000, "--threads", 2, "--no-report")
        self.assertEqual((status["state"], status["duplicates"], status["retries"]),
                         ("complete", 0, 0))


if __name__ == "__main__":
    harness.main()
