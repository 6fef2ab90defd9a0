"""What people see of a real campaign: sites masked for certain, arms with what they store and what
their protections noticed, in `status`, its JSON, cells.csv and the page, against counts made here."""
import csv
import json
import re

import harness

MODEL = harness.TOP / "models" / "zoo" / "bert-mini-sst2"
REVIEWS = harness.TOP / "experiments" / "data" / "reviews.tsv"
EXAMPLES, WIDTH = 12, 256
CAMPAIGN = f"""campaign: seen
seed: 3
task: {{kind: classification, model: {MODEL}, data: {REVIEWS}, examples: {EXAMPLES}}}
arms:
  - {{name: unprotected}}
  - {{name: ep, protect: [ep]}}
  - {{name: secded, protect: [secded]}}
  - {{name: bounds, protect: [cep, range]}}
sweep:
  - {{name: rates, site: {{parameters: all}}, amount: {{rate: [0.0002]}}, trials: 4}}
  - name: rows
    site: {{parameters: [embedding.token, embedding.position, embedding.segment], by: [component]}}
    amount: {{count: 1}}
    bits: [[30], all]
    trials: 4
"""


class Reporting(harness.Case):
    def run_campaign(self):
        out = self.dir / "out"
        status = self.json("run", "--json", self.campaign(CAMPAIGN), "--out", out)
        self.assertEqual(status["state"], "complete")
        self.assertEqual(self.json("status", "--json", out)["arms"], status["arms"])
        self.assertTrue(self.json("verify", "--json", out)["totals_equal"])
        return out, status

    def reads(self):
        """Distinct tokens of the inputs and the longest one, by the tokeniser alone."""
        lines = REVIEWS.read_text().splitlines()[1:1 + EXAMPLES]
        text = "".join(line.split("\t")[0] + "\n" for line in lines)
        ids = [json.loads(line) for line in
               self.run_program("tokenize", "--json", MODEL, stdin=text).stdout.splitlines()]
        self.assertEqual(len(ids), EXAMPLES)
        return len(set(sum(ids, []))), max(map(len, ids))

    def test_what_is_seen(self):
        out, status = self.run_campaign()
        config = json.loads((MODEL / "config.json").read_text())
        rows, longest = self.reads()
        unread = {"embedding.token": config["vocab_size"] - rows,
                  "embedding.position": config["max_position_embeddings"] - longest,
                  "embedding.segment": 1}
        keys = {"embedding.token": "token_rows", "embedding.position": "positions",
                "embedding.segment": "segments"}
        for cell in status["cells"]:
            self.assertTrue(cell["reads_known"])
            reasons = cell["provably_masked_reasons"]
            self.assertEqual(sum(reasons.values()), cell["provably_masked_sites"])
            if cell["arm"] in ("secded", "bounds"): # a fault that is detected is known anywhere
                self.assertEqual(cell["provably_masked_sites"], 0)
                continue
            bits = 1 if cell["bits"] == "30" else 32
            expected = dict.fromkeys(reasons, 0)
            for name in cell["components"]:
                if name in unread:
                    expected[keys[name]] += unread[name] * WIDTH * bits
            if cell["arm"] == "ep":
                rows_masked = sum(expected.values()) // bits
                expected["bits"] = cell["sites"] // bits - rows_masked
            self.assertEqual(reasons, expected, cell["id"])
            self.assertEqual(cell["provably_masked"], cell["arm"] == "ep" and bits == 1)
        self.check_arms(status, rows, longest)
        self.check_texts(out, status)

    def check_arms(self, status, rows, longest):
        arms = {arm["arm"]: arm for arm in status["arms"]}
        self.assertEqual(list(arms), ["unprotected", "ep", "secded", "bounds"])
        for name, arm in arms.items():
            cells = [c for c in status["cells"] if c["arm"] == name]
            for key in ("faults", "check_faults", "corrected", "detected", "miscorrected"):
                self.assertEqual(arm[key], sum(c[key] for c in cells), (name, key))
            self.assertEqual((arm["token_rows_read"], arm["positions_read"]), (rows, longest))
            self.assertEqual(arm["metric_golden"], cells[0]["metric_golden"])
            known = name == "bounds"
            self.assertEqual(re.fullmatch("[0-9a-f]{16}", arm["bounds_checksum"] or "") is not None,
                             known)
            self.assertEqual(arm["compared_with"], None if name == "unprotected" else "unprotected")
        self.assertEqual({n: a["bits_per_value"] for n, a in arms.items()},
                         {"unprotected": 32, "ep": 32, "secded": 36, "bounds": 32})
        self.assertEqual((arms["unprotected"]["altered"], arms["secded"]["altered"]), (0, 0))
        # CEP gives up eight bits of each value; `inspect` says in how many that is seen.
        cost = self.json("inspect", "--json", MODEL, "--protect", "cep,range")["protections"]
        self.assertEqual(arms["bounds"]["altered"], cost["rows"][-1]["altered"])
        self.assertEqual(arms["unprotected"]["faults"], arms["secded"]["faults"]) # the same ones
        self.assertGreater(arms["secded"]["check_faults"], 0)
        self.assertEqual(arms["unprotected"]["check_faults"], 0)
        self.assertEqual(arms["bounds"]["metric_change"],
                         arms["bounds"]["metric_golden"] - arms["unprotected"]["metric_golden"])

    def check_texts(self, out, status):
        text = self.run_program("status", out).stdout
        self.assertIn("token rows", text)
        self.assertRegex(text, r"(?m)^secded +secded +36 ")
        self.assertRegex(text, r"(?m)^  rows/ep,component=embedding.token,bits=30 +all of \d+ sites")
        equal = [c for c in status["cells"] if c["metric_equal"] > 1]
        self.assertTrue(equal)
        self.assertIn(f"all {equal[0]['metric_equal']} equal", text)
        with open(out / "cells.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row, cell in zip(rows, status["cells"], strict=True):
            self.assertEqual(row["cell"], cell["id"])
            for key in ("sites", "provably_masked_sites", "check_faults", "detected"):
                self.assertEqual(int(row[key]), cell[key])
        page = (out / "report.html").read_text()
        self.assertIn('"bounds_checksum":"', page)


if __name__ == "__main__":
    harness.main()
