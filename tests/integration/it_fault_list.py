"""Faults from outside: what a trial hit replays as a list to the same record, a log of addresses hits
the bytes that it names, and a list that has changed is refused."""
import json
import random
import re
import struct
import subprocess
import time

import harness

SEED = 20
BASE = 0x7F52_4000_0000


def safetensors(path):
    """The bytes of a file's tensors, and name -> (first byte, last byte + 1) in them."""
    raw = path.read_bytes()
    size, = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + size])
    return raw[8 + size:], {name: tensor["data_offsets"] for name, tensor in header.items()
                            if name != "__metadata__"}


class FaultList(harness.Case):
    def head(self, model, data, kind="classification"):
        extra = ", window: 12" if kind == "language-model" else ""
        return (f"campaign: c\nseed: 4\ntask: {{kind: {kind}, model: {model}, data: {data}, "
                f"examples: 10{extra}}}\n")

    def record(self, campaign, trial):
        """The bytes of a trial's record, run by a worker alone."""
        ids = self.dir / "ids"
        ids.write_text(trial + "\n")
        out = subprocess.run([harness.program("flipsweep-worker"), "--replay", str(ids), "--campaign",
                              str(campaign)], capture_output=True, text=True, check=True).stdout
        return json.loads(out)["record"]

    def check_round_trip(self, head, arms, sweeps, expect_codes):
        """Every arm's trials, written as lists, give the same records again."""
        drawn = self.campaign(head + "arms:\n" + "".join(f"  - {a}\n" for a in arms.values()) + "sweep:\n"
                              + "".join(f"  - {s}\n" for s in sweeps.values()), "drawn.yaml")
        out = self.dir / "drawn"
        self.run_program("run", drawn, "--out", out, "--no-report")
        codes = set()
        for sweep, text in sweeps.items():
            guard = re.search(r"guard: (\S+)", text)
            for arm in arms:
                for trial in range(2):
                    name = f"{sweep}/{arm}/{trial}"
                    path = self.dir / "faults.csv"
                    replayed = self.json("replay", "--json", out, name, "--faults", path)
                    rows = [r for r in path.read_text().splitlines() if r and r[0] != "#"]
                    self.assertEqual(len(rows) - 1, replayed["faults_drawn"] + replayed["check_faults"])
                    codes |= {row.split(",")[4] for row in rows[1:]}
                    if len(rows) == 1:
                        continue
                    again = self.campaign(
                        head + f"arms:\n  - {arms[arm]}\nsweep:\n  - {{name: again, site: "
                        f"{{list: faults.csv}}{', ' + guard.group(0) if guard else ''}}}\n", "again.yaml")
                    self.assertEqual(self.record(again, f"again/{arm}/0"), self.record(drawn, name), name)
        self.assertEqual(codes, {""} | expect_codes)

    def test_bert(self):
        model, data = self.tiny(layers=2, width=16, heads=2)
        self.check_round_trip(self.head(model, data), {
            "none": "{name: none}",
            "ep": "{name: ep, protect: ep}",
            "secded": "{name: secded, protect: secded}",
            "both": "{name: both, protect: [cep, scrub]}",
            "tmr": "{name: tmr, protect: [ep, tmr-exponent]}",
            "spared": "{name: spared, protect: secded, metadata: false}",
        }, {
            "flips": "{name: flips, site: {parameters: all}, amount: {ber: 0.001}, trials: 2}",
            "stuck": "{name: stuck, site: {parameters: mlp}, amount: {rate: 0.01}, kind: stuck1, trials: 2, "
                     "guard: nonfinite-zero }",
        }, {"secded", "scrub", "tmr-exponent"})

    def test_gpt2(self):
        """Fused tensors, a tied head, words of 16 and of 8 bits with their scales."""
        model, data = self.tiny(kind="gpt2", layers=2, width=16, heads=2, positions=16)
        self.check_round_trip(self.head(model, data, "language-model"), {
            "none": "{name: none}",
            "secded": "{name: secded, protect: secded-exponent}",
            "half": "{name: half, dtype: bf16, protect: [ep, secded]}",
            "int8": "{name: int8, dtype: int8, protect: secded}",
        }, {
            "flips": "{name: flips, site: {parameters: all}, amount: {ber: 0.001}, trials: 2}",
            "fused": "{name: fused, site: {parameters: [attention.query, attention.value]}, "
                     "amount: {count: 30}, trials: 2}",
            "bursts": "{name: bursts, site: {parameters: all}, amount: {count: 9}, kind: {burst: 3}, trials: 2}",
        }, {"secded", "secded-exponent", "scale"})

    def test_activations_are_written(self):
        model, data = self.tiny()
        path = self.campaign(self.head(model, data) + "sweep:\n  - {name: a, site: {activations: all}, "
                             "amount: {count: 12}, persistence: permanent, trials: 2}\n")
        out, faults = self.dir / "out", self.dir / "a.csv"
        self.run_program("run", path, "--out", out, "--no-report")
        replayed = self.json("replay", "--json", out, "a/unprotected/1", "--faults", faults)
        rows = [r.split(",") for r in faults.read_text().splitlines() if r[0] != "#"]
        self.assertEqual(rows[0], ["input", "stage", "layer", "index", "bit", "kind"])
        self.assertEqual(len(rows) - 1, replayed["faults_drawn"])
        self.assertEqual(replayed["faults_drawn"], 120)
        for row, kept in zip(rows[1:], replayed["faults"]):
            layer = "" if kept["layer"] is None else str(kept["layer"])
            self.assertEqual((row[0], row[1], row[2], row[4], row[5]),
                             (str(kept["input"]), kept["stage"], layer, str(kept["bit"]), kept["kind"]))
        self.assertIn("for reading only", faults.read_text())
        self.campaign(self.head(model, data) + "sweep:\n  - {name: a, site: {list: a.csv}}\n", "b.yaml")
        self.assertIn("a.csv:7: column 'input' is unknown",
                      self.run_program("plan", self.dir / "b.yaml", code=2).stderr)
        self.assertIn("--faults", self.run_program("replay", out, "a/unprotected/0", "a/unprotected/1",
                                                   "--faults", faults, code=2).stderr)

    def write_log(self, model, trials, rows_each):
        """A log over a process whose weights lay in memory as they lie in the file, page by page."""
        data, tensors = safetensors(model / "model.safetensors")
        chance = random.Random(SEED)
        names = {n: r for n, r in tensors.items() if "position_ids" not in n}
        lines, expected = ["# edac: 2 DIMMs, corrected and uncorrected", "", "address,bit,trial"], []
        for trial in range(trials):
            seen, inside = set(), {}
            for _ in range(rows_each):
                at, bit = chance.randrange(-len(data), 2 * len(data)), chance.randrange(8)
                if (at, bit) in seen:
                    continue
                seen.add((at, bit))
                lines.append(f"{BASE + at:#x},{bit},{trial}")
                for name, (first, last) in names.items():
                    if first <= at < last:
                        inside[(name, at - (at - first) % 4, 8 * ((at - first) % 4) + bit)] = first
            expected.append(inside)
        (self.dir / "dram.csv").write_text("\r\n".join(lines) + "\r\n")
        (self.dir / "map.csv").write_text("tensor,base,bytes\n" + "".join(
            f"{n},{BASE + r[0]:#x},{r[1] - r[0]}\n" for n, r in names.items()))
        return data, expected, len(lines) - 3

    def test_dram_log(self):
        model, data = self.tiny(layers=2, width=16, heads=2)
        image, expected, rows = self.write_log(model, 40, 12)
        inside = sum(len(e) for e in expected)
        path = self.campaign(self.head(model, data) + "arms: [{name: none}, {name: secded, protect: secded}]\n"
                             "sweep:\n  - {name: dram, site: {addresses: dram.csv, map: map.csv}}\n")
        plan = self.json("plan", "--json", path)
        source = plan["sweeps"][0]["source"]
        self.assertEqual((source["faults"], source["groups"], source["outside"]), (rows, 40, rows - inside))
        self.assertGreater(rows - inside, 0)
        self.assertTrue(any("lie in no tensor" in note for note in plan["notes"]))
        out = self.dir / "out"
        run = self.run_program("run", path, "--out", out, "--no-report", "--audit", "1")
        self.assertIn(f"{rows - inside} of {rows} addresses lie in no tensor", run.stderr)
        for trial, wanted in enumerate(expected):
            replayed = self.json("replay", "--json", out, f"dram/none/{trial}")
            self.assertEqual(replayed["faults_drawn"], len(wanted))
            hit = {at: 0 for _, at, _ in wanted}
            for _, at, bit in wanted:
                hit[at] |= 1 << bit
            found = {}
            for fault in replayed["faults"]:
                key = next(k for k in wanted if k[0].endswith(fault["tensor"]) and k[2] == fault["bit"]
                           and struct.unpack_from("<I", image, k[1])[0] == fault["before"])
                found[key] = fault
                self.assertEqual(fault["after"], fault["before"] ^ hit[key[1]])
            self.assertEqual(len(found), min(8, len(wanted)))
            protected = self.json("replay", "--json", out, f"dram/secded/{trial}")
            self.assertEqual(protected["faults_drawn"], len(wanted))
            self.assertEqual(protected["check_faults"], 0)
        self.check_stored(out, path)

    def test_trials_that_hit_nothing(self):
        """Of bits that an arm lacks nothing is injected: such trials are in no share."""
        model, data = self.tiny()
        (self.dir / "faults.csv").write_text(
            "trial,tensor,index,bit,code\n0,classifier.weight,0,30,\n1,classifier.weight,0,2,secded\n"
            "2,classifier.weight,1,1,\n")
        path = self.campaign(self.head(model, data) + "arms: [{name: none}, {name: secded, protect: secded}]\n"
                             "sweep:\n  - {name: s, site: {list: faults.csv}}\n")
        plan = self.json("plan", "--json", path)
        self.assertEqual([c["half_width"] for c in plan["cell_list"]], [None, None])
        self.assertIn("enumerated, not sampled", self.run_program("plan", path).stdout)
        out = self.dir / "out"
        status = self.json("run", "--json", path, "--out", out, "--no-report", "--audit", "1")
        none, secded = status["cells"]
        self.assertEqual((none["n"], none["injected"], none["trials_not_injected"], none["inputs"]), (3, 2, 1, 20))
        self.assertEqual((secded["n"], secded["injected"], secded["trials_not_injected"]), (3, 3, 0))
        self.assertEqual(none["masked_trial_rate"]["value"], none["trials_masked"] / 2)
        self.assertEqual(none["basis"], "enumerated")
        self.assertIsNone(none["masked_trial_rate"]["low"])
        replayed = self.json("replay", "--json", out, "s/none/1")
        self.assertEqual((replayed["outcome"]["outcome"], replayed["faults_drawn"]), ("not-injected", 0))
        self.assertTrue(self.json("verify", "--json", "--rerun", "1", out)["ok"])
        self.run_program("report", out)
        self.assertIn("not injected: 1 trials", self.run_program("status", out).stdout)

    def check_stored(self, out, path):
        """What is stored needs no file; what runs does, and it must be the same."""
        log = self.dir / "dram.csv"
        text = log.read_bytes()
        log.write_bytes(text.replace(b"0x7f", b"0x6f", 1))
        self.assertIn("sweep.dram.addresses", self.run_program("run", path, "--out", out, code=4).stderr)
        self.assertIn("dram.csv: not the file that the campaign names",
                      self.run_program("replay", out, "dram/none/0", code=4).stderr)
        log.unlink()
        self.assertEqual(self.json("status", "--json", out)["state"], "complete")
        self.run_program("report", out)
        self.assertTrue(self.json("verify", "--json", out)["ok"])
        self.assertIn("dram.csv", self.run_program("replay", out, "dram/none/0", code=2).stderr)
        log.write_bytes(text)
        self.assertTrue(self.json("verify", "--json", "--rerun", "0.2", out)["ok"])

    def test_worker_elsewhere(self):
        """It refuses another list of that name, and takes the same one from its own folder."""
        model, data = self.tiny()
        faults = self.dir / "faults.csv"
        text = "tensor,index,bit\nclassifier.weight,0,30\n"
        faults.write_text(text)
        path = self.campaign(self.head(model, data) + "sweep:\n  - {name: s, site: {list: faults.csv}}\n")
        out = self.dir / "out"
        self.start("serve", path, "--out", out, "--bind", "tcp://127.0.0.1:*")
        access = out / "access.json"
        deadline = time.time() + 60
        while not access.exists() and time.time() < deadline:
            time.sleep(0.05)
        faults.write_text("tensor,index,bit\nclassifier.weight,0,29\n")
        worker = self.start("worker", "--access", access, "--threads", "1", stderr=subprocess.PIPE)
        with worker.stderr as said:
            self.assertTrue(any(b"faults.csv: not the file that the campaign names" in line
                                for line in said))
        (self.dir / "elsewhere").mkdir()
        (self.dir / "elsewhere" / "faults.csv").write_text(text)
        faults.unlink()
        self.start("worker", "--access", access, "--threads", "1", "--models", self.dir / "elsewhere")
        deadline = time.time() + 60
        while self.json("status", "--json", out)["state"] != "complete" and time.time() < deadline:
            time.sleep(0.2)
        self.assertEqual(self.json("status", "--json", out)["trials_done"], 1)

    def test_kill_and_resume(self):
        model, data = self.tiny(layers=2, width=16, heads=2)
        chance = random.Random(SEED)
        (self.dir / "many.csv").write_text("trial,tensor,index,bit,kind\n" + "".join(
            f"{t},encoder.layer.{chance.randrange(2)}.output.dense.weight,{chance.randrange(200)},"
            f"{bit},{chance.choice(['flip', 'stuck0', 'stuck1'])}\n"
            for t in range(20000) for bit in chance.sample(range(32), 2)))
        path = self.campaign(self.head(model, data) + "sweep:\n  - {name: s, site: {list: many.csv}}\n")
        whole = self.json("run", "--json", path, "--out", self.dir / "whole", "--no-report")
        out, done = self.dir / "out", 0
        for _ in range(2):
            process = self.start("run", path, "--out", out, "--no-report", "--threads", "1")
            before, deadline = done, time.time() + 60
            while done <= before and time.time() < deadline:
                status = self.run_program("status", "--json", out, code=None)
                done = json.loads(status.stdout)["trials_done"] if status.returncode in (0, 3) else 0
            self.kill(process)
            self.assertGreater(done, before)
        self.assertLess(self.json("status", "--json", out, code=None)["trials_done"], 20000)
        again = self.json("run", "--json", path, "--out", out, "--no-report")
        self.assertEqual(again["state"], "complete")
        self.assertEqual(again["trials_done"], 20000)
        keys = ("n", "masked", "benign", "sdc", "due", "metric_mean")
        self.assertEqual([[c[k] for k in keys] for c in again["cells"]],
                         [[c[k] for k in keys] for c in whole["cells"]])
        self.assertTrue(self.json("verify", "--json", out)["ok"])


if __name__ == "__main__":
    harness.main()
