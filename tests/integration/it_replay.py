"""Any stored trial can be run again and comes out as its row; a changed model is refused."""
import json
import random
import shutil

import harness


class Replay(harness.Case):
    def make(self, model, data, trials, examples):
        path = self.campaign(f"""campaign: replay
seed: 8
task: {{kind: classification, model: {model}, data: {data}, examples: {examples}}}
arms:
  - {{name: unprotected}}
  - {{name: ep, protect: [ep]}}
sweep:
  - {{name: flips, site: {{parameters: all}}, amount: {{count: [1, 4]}}, trials: {trials}}}
  - {{name: rate, site: {{parameters: [mlp, head]}}, amount: {{rate: 0.001}}, kind: stuck1, trials: {trials}}}
  - {{name: forms, site: {{parameters: [mlp, layernorm]}}, amount: {{count: 2}}, kind: [flip, {{burst: 3}}, value], pattern: [element, {{column: all}}], trials: {trials}}}
  - {{name: lanes, site: {{activations: [block.out, attention.probs]}}, amount: {{count: 1}}, kind: {{burst: 2}}, pattern: {{row: 3}}, trials: {trials}}}
""")
        out = self.dir / "out"
        status = self.json("run", "--json", path, "--out", out, "--state-dir", self.dir / "state")
        for cell in status["cells"]:
            if cell["sweep"] == "forms":
                self.assertIn(f"kind={cell['kind']},pattern={cell['pattern']}", cell["id"])
            else:
                lanes = ("burst:2", "row:3") if cell["sweep"] == "lanes" else None
                self.assertEqual((cell["kind"], cell["pattern"]),
                                 lanes or ("flip" if cell["sweep"] == "flips" else "stuck1", "element"))
        return out, [c["id"] for c in status["cells"]]

    def check(self, out, cells, trials, count):
        ids = [f"{random.Random(i).choice(cells)}/{random.Random(i).randrange(trials)}" for i in range(count)]
        replayed = []
        for at in range(0, count, 50):
            documents = self.json("replay", "--json", out, *ids[at:at + 50])
            replayed += documents if isinstance(documents, list) else [documents]
        self.assertEqual([d["trial"] for d in replayed], ids)
        self.assertTrue(all(d["stored_equal"] for d in replayed))
        for document in replayed:
            for fault in document["faults"]:
                changed = fault["before"] ^ fault["after"]
                self.assertIn(changed, (0, 1 << fault["bit"]) if document["faults_drawn"] == 1
                              else range(1 << 32))
        print(f"{count} random trials replayed, all equal to their stored rows")

    def test_tiny(self):
        model, data = self.tiny()
        out, cells = self.make(model, data, 30, 20)
        self.check(out, cells, 30, 40)
        one = self.json("replay", "--json", out, f"{cells[0]}/3")
        brute = self.json("replay", "--json", "--brute-force", out, f"{cells[0]}/3")
        self.assertEqual(one["outcome"], brute["outcome"])
        text = self.run_program("replay", out, f"{cells[0]}/3").stdout
        self.assertIn("equal, byte for byte", text)
        for bad in ("nonsense", f"{cells[0]}/30", f"{cells[0]}/-1", f"{cells[0]}", "flips/none/0"):
            self.assertIn(bad.split("/")[0], self.run_program("replay", out, bad, code=2).stderr)
        rerun = self.json("verify", "--json", "--rerun", "0.2", out)
        self.assertTrue(rerun["ok"] and rerun["rerun"] > 0 and rerun["rerun_equal"] == rerun["rerun"])

    def test_changed_model_is_refused(self):
        model, data = self.tiny()
        out, cells = self.make(model, data, 5, 10)
        weights = model / "model.safetensors"
        damaged = bytearray(weights.read_bytes())
        damaged[-3] ^= 1
        shutil.copy(weights, self.dir / "kept")
        weights.write_bytes(damaged)
        message = self.run_program("replay", out, f"{cells[0]}/1", code=4).stderr
        self.assertIn("model", message)
        self.assertIn("model", self.run_program("run", self.dir / "campaign.yaml", "--out", out, code=4).stderr)
        shutil.copy(self.dir / "kept", weights)
        self.run_program("replay", out, f"{cells[0]}/1")

    @harness.needs_shared
    def test_bert_mini(self):
        out, cells = self.make(harness.BERT, harness.SST2_DEV, 30, 32)
        self.check(out, cells, 30, 100)


if __name__ == "__main__":
    harness.main()
