"""`flipsweep plan`: the documents of cli.md, the effective campaign, errors and exit codes."""
import json
import math
import re
import unittest

import harness

CONFIG = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 8,
          "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20,
          "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 16,
          "type_vocab_size": 2, "vocab_size": 11, "num_labels": 2}

TEXT = """campaign: bar
seed: 5
task: {kind: classification, model: bert, data: rows}
arms:
  - {name: unprotected}
  - {name: ep, protect: [ep]}
sweep:
  - {name: zero, amount: {count: 0}, trials: 5}
  - name: where
    site: {by: [layer, component]}
    amount: {count: 1}
    bits: [sign, exponent, [23, 24]]
    stop: {half_width: 0.1, at_most: 150}
"""


class Plan(harness.Case):
    def setUp(self):
        super().setUp()
        for name, weights in (("bert", True), ("bare", False)):
            (self.dir / name).mkdir()
            (self.dir / name / "config.json").write_text(json.dumps(CONFIG))
            if weights:
                (self.dir / name / "model.safetensors").write_bytes(b"weights")
        (self.dir / "rows.tsv").write_text("sentence\tlabel\ngood\t1\n")

    def test_json_has_the_promised_fields(self):
        plan = self.json("plan", "--json", self.campaign(TEXT))
        self.assertEqual(plan["campaign"], "bar")
        self.assertRegex(plan["fingerprint"], "^[0-9a-f]{64}$")
        sites = 3 * 8 + 6
        self.assertEqual(plan["arms"], ["unprotected", "ep"])
        self.assertEqual(plan["sweeps"], [{"name": "zero", "cells": 2, "trials": 10, "source": None},
                                          {"name": "where", "cells": 2 * sites * 3,
                                           "trials": 2 * sites * 3 * 150, "source": None}])
        self.assertEqual(plan["cells"], 2 + 2 * sites * 3)
        self.assertEqual(plan["trials"], 10 + 2 * sites * 3 * 150)
        self.assertEqual(len(plan["cell_list"]), plan["cells"])
        ids = [cell["id"] for cell in plan["cell_list"]]
        self.assertEqual(len(set(ids)), len(ids))
        cell = plan["cell_list"][ids.index("where/ep,layer=1,component=mlp.up,bits=23+24")]
        self.assertEqual((cell["layer"], cell["components"], cell["values"], cell["sites"]),
                         (1, ["mlp.up"], 8 * 20 + 20, 2 * (8 * 20 + 20)))
        self.assertGreater(plan["disk_bytes"], plan["trials"] * 100)
        # Wilson at p = 1/2: z sqrt(1/4n + z^2/4n^2) / (1 + z^2/n)
        z, n = 1.959963984540054, 150
        wilson = z * math.sqrt(1 / (4 * n) + z * z / (4 * n * n)) / (1 + z * z / n)
        self.assertAlmostEqual(cell["half_width"], wilson, places=9)

    def test_the_text_is_a_campaign_with_the_same_plan(self):
        first = self.run_program("plan", self.campaign(TEXT)).stdout
        self.assertIn("protect: [ep]", first)
        self.assertIn("guard: [none]", first)
        self.assertIn("where/ep,layer=none,component=head.pooler,bits=sign", first)
        again = self.campaign(first, "again.yaml")
        self.assertEqual(self.run_program("plan", again).stdout, first)
        prints = re.findall("fingerprint: ([0-9a-f]{64})", first)
        self.assertEqual(self.json("plan", "--json", again)["fingerprint"], prints[0])

    def test_kinds_and_patterns(self):
        text = TEXT.replace("amount: {count: 0}, trials: 5",
                            "amount: {count: 1}, trials: 5, site: {parameters: embedding.norm}, "
                            "kind: [flip, {burst: 4}, value], pattern: [element, {row: 3}, {column: all}]")
        path = self.campaign(text)
        plan = self.json("plan", "--json", path)
        cells = {cell["id"]: cell for cell in plan["cell_list"]}
        values = 2 * 8
        for kind, starts, bits in (("flip", 32, 1), ("burst:4", 29, 4), ("value", 1, 32)):
            for pattern, reached in (("element", 1), ("row:3", (6 * 3 + 2 + 1) / 8), ("column:all", 1)):
                cell = cells[f"zero/ep,kind={kind},pattern={pattern}"]
                self.assertEqual((cell["kind"], cell["pattern"], cell["sites"]), (kind, pattern, values * starts))
                self.assertAlmostEqual(cell["faults_per_trial"], bits * reached, places=9)
        self.assertEqual(cells["where/ep,layer=1,component=mlp.up,bits=23+24"]["pattern"], "element")
        shown = self.run_program("plan", path).stdout
        self.assertIn("    kind: [flip, {burst: 4}, value]\n    pattern: [element, {row: 3}, {column: all}]\n", shown)
        self.assertEqual(self.run_program("plan", self.campaign(shown, "again.yaml")).stdout, shown)

    def test_formats(self):
        for old, new, where in (
                ("[ep]", "[ep], dtype: int8",
                 "arm ep: protection 'ep' is of exponents, and int8 has none"),
                ("[ep]", "[secded], dtype: int8",
                 "sweep where, arm ep: bits 'exponent': int8 words have no exponent"),
                ("[ep]", "[ep], dtype: fp8", "campaign.yaml:6: arms[1].dtype: 'fp8'"),
                ("trials: 5", "trials: 5, dtype: bf16",
                 "campaign.yaml:8: sweep[0].dtype: belongs to an arm")):
            self.assertIn(old, TEXT)
            result = self.run_program("plan", self.campaign(TEXT.replace(old, new)), code=2)
            self.assertIn(where, result.stderr)
        text = TEXT.replace("bits: [sign, exponent, [23, 24]]", "bits: [sign, 30]")
        self.assertNotEqual(text, TEXT)
        for dtype, last in (("fp16", 15), ("bf16", 15), ("int8", 7)):
            result = self.run_program("plan", self.campaign(
                text.replace("[ep]", "[]") + f"dtype: {dtype}\n"), code=2)
            self.assertIn(f"bit 30: {dtype} words have bits 0..{last}", result.stderr)
        path = self.campaign(text.replace("[sign, 30]", "[sign, mantissa]").replace("[ep]", "[secded]") +
                             "dtype: int8\n")
        cells = {cell["id"]: cell for cell in self.json("plan", "--json", path)["cell_list"]}
        cell = cells["where/ep,layer=1,component=mlp.up,bits=mantissa"]
        self.assertEqual(cell["sites"], 7 * cell["values"])
        shown = self.run_program("plan", path).stdout
        self.assertIn("    dtype: int8\n", shown)
        self.assertRegex(shown, r"# arm ep: words of int8; stored bits a value: 1\d\.")
        self.assertEqual(self.run_program("plan", self.campaign(shown, "again.yaml")).stdout, shown)

    def test_weights_and_data_may_be_absent(self):
        path = self.campaign(TEXT.replace("model: bert", "model: bare"))
        result = self.run_program("plan", "--json", path)
        self.assertIsNone(json.loads(result.stdout)["fingerprint"])
        self.assertIn("model.safetensors", result.stderr)
        path = self.campaign(TEXT.replace("data: rows", "data: ./later.tsv"))
        result = self.run_program("plan", path)
        self.assertIn("fingerprint: none yet", result.stdout)
        self.assertIn("later.tsv", result.stderr)

    def test_bad_files_name_line_and_key(self):
        for old, new, where in (
                ("seed: 5", "sead: 5", "campaign.yaml:2: sead: unknown key (did you mean 'seed'?)"),
                ("trials: 5", "trials: five", "campaign.yaml:8: sweep[0].trials: 'five'"),
                ("model: bert", "model: bart", "campaign.yaml:3: task.model: no model folder"),
                ("[ep]", "[epp]", "campaign.yaml:6: arms[1].protect[0]: unknown protection"),
                ("by: [layer", "layers: 7, by: [layer", "sweep where: layer 7"),
                ("trials: 5", "trials: 5, kind: {burst: 40}", "campaign.yaml:8: sweep[0].kind.burst: "),
                ("trials: 5", "trials: 5, pattern: column", "campaign.yaml:8: sweep[0].pattern: a pattern is written"),
                ("{count: 0}", "{ber: 0.1}, kind: value", "campaign.yaml:8: sweep[0]: 'ber' is a probability of bits"),
                ("trials: 5", "trials: 5, kind: {burst: 2}, bits: 30",
                 "sweep zero: kind burst:2 does not fit into bits 30 of fp32 words: it needs 2 that are adjacent")):
            self.assertIn(old, TEXT)
            result = self.run_program("plan", self.campaign(TEXT.replace(old, new)), code=2)
            self.assertIn(where, result.stderr)
            self.assertEqual(result.stdout, "")
        (self.dir / "binary.yaml").write_bytes(b"campaign: \xff\xfe\n")
        self.assertIn("not UTF-8", self.run_program("plan", self.dir / "binary.yaml", code=2).stderr)
        self.assertIn("absent.yaml", self.run_program("plan", self.dir / "absent.yaml", code=2).stderr)
        self.run_program("plan", self.dir, code=2)

    def test_usage(self):
        self.run_program("plan", code=2)
        self.run_program("plan", "a", "b", code=2)
        self.assertIn("--json", self.run_program("plan", "--jsn", "x", code=2).stderr)
        self.assertIn("usage: flipsweep plan", self.run_program("plan", "--help").stdout)
        self.assertIn("plan", self.run_program("plam", code=2).stderr)
        self.assertRegex(self.run_program("--version").stdout, r"^flipsweep \d")
        self.run_program(code=2)

    def test_campaigns_that_ship(self):
        for path in sorted((harness.TOP / "experiments").glob("*.yaml")):
            with self.subTest(path.name):
                if not harness.SHARED.is_dir() and "../../shared" in path.read_text():
                    self.skipTest(f"needs {harness.SHARED}")
                plan = self.json("plan", "--json", path)
                self.assertEqual(plan["campaign"], path.stem)
                self.assertIsNotNone(plan["fingerprint"])


if __name__ == "__main__":
    harness.main()
