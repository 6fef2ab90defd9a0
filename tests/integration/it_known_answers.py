"""Campaigns whose answer is known before they run, on a real model."""
import harness


@harness.needs_shared
class KnownAnswers(harness.Case):
    def run_campaign(self, sweeps, examples=64):
        path = self.campaign(f"""campaign: known
seed: 5
task: {{kind: classification, model: {harness.BERT}, data: {harness.SST2_DEV}, examples: {examples}}}
arms:
  - {{name: unprotected}}
  - {{name: ep, protect: [ep]}}
sweep:
{sweeps}
""")
        status = self.json("run", "--json", path, "--out", self.dir / "out")
        self.assertEqual(status["state"], "complete")
        return status["cells"]

    def test_zero_faults_are_masked(self):
        for cell in self.run_campaign("  - {name: zero, site: {parameters: all}, amount: {count: 0}, trials: 5}"):
            self.assertEqual(cell["n"], 5)
            self.assertEqual(cell["masked"], 5 * 64)
            self.assertEqual(cell["benign"] + cell["sdc"] + cell["due"], 0)

    def test_the_top_exponent_bit(self):
        cells = self.run_campaign(
            "  - {name: top, site: {parameters: mlp}, amount: {count: 1}, bits: [30], trials: 100}")
        plain = next(c for c in cells if c["arm"] == "unprotected")
        ep = next(c for c in cells if c["arm"] == "ep")
        # A record's second byte is its outcome (3: due), the third whether it is critical.
        records = [line.split()[1] for line in
                   self.run_program("verify", "--dump", self.dir / "out").stdout.splitlines()
                   if line.startswith("0/")]
        self.assertEqual(len(records), 100)
        harmed = sum(r[2:4] == "03" or r[4:6] == "01" for r in records)
        self.assertEqual(sum(r[4:6] == "01" for r in records), plain["critical"])
        print(f"bit 30 of MLP weights: {harmed} of 100 trials critical or due ({plain['critical']} critical,"
              f" {plain['trials_due']} due); under ep {ep['masked']} of {100 * 64} inputs masked")
        self.assertGreaterEqual(harmed, 80)
        self.assertEqual(ep["masked"], 100 * 64)


if __name__ == "__main__":
    harness.main()
