"""finetune beyond plain training, with real processes: self-correction, adapters, faults while
tuning; what they put into metrics and models, and what they refuse.
"""
import json
import pathlib
import struct

import harness

TEXTS = harness.TOP / "experiments" / "data"


def tensors(folder):
    """Raw bytes by name of a model.safetensors of F32, read by the format's description."""
    data = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    return {name: data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]]
            for name, entry in header.items() if name != "__metadata__"}


class Tuning(harness.Case):
    def setUp(self):
        super().setUp()
        rows = (TEXTS / "reviews.tsv").read_text().splitlines()
        text = self.dir / "text.txt"
        text.write_bytes((TEXTS / "articles.txt").read_bytes()[:20000].rsplit(b"\n", 1)[0])
        self.dev, self.reviews = self.dir / "dev.tsv", self.dir / "reviews.tsv"
        self.reviews.write_text("\n".join(rows[:301]) + "\n")
        self.dev.write_text("\n".join(rows[:1] + rows[301:401]) + "\n")
        encoder, self.base = self.dir / "encoder", self.dir / "base"
        self.run_program("train", encoder, "--model", "bert", "--data", text, "--vocab", 400,
                         "--layers", 2, "--width", 32, "--heads", 2, "--positions", 32,
                         "--batch", 8, "--steps", 5)
        self.run_program("finetune", self.base, "--from", encoder, "--task", "classification",
                         "--data", self.reviews, "--steps", 20, "--rate", "2e-3", "--warmup", 0)

    def tune(self, name, *more, code=0):
        return self.run_program("finetune", self.dir / name, "--from", self.base, "--data",
                                self.reviews, "--dev", self.dev, "--steps", 12, "--eval-every", 6,
                                "--log-every", 1, "--batch", 8, *more, code=code)

    def lines(self, name, key):
        text = (self.dir / name / "metrics.jsonl").read_text()
        return [line for line in map(json.loads, text.splitlines()) if key in line]

    def test_self_correction_tells_of_both_branches(self):
        self.tune("sc", "--self-correction", "--fault-rate", 0.02, "--lambda", 0.5,
                  "--fault-eval", 2, "--faults-after", 4)
        values = sum(len(t) // 4 for t in tensors(self.base).values())
        for line in self.lines("sc", "loss"):
            late = line["step"] > 4
            self.assertEqual(line["faults"] > 0, late)
            self.assertEqual(line["divergence"] > 0, late)
            self.assertAlmostEqual(line["loss"], line["task_loss"] + 0.5 * line["divergence"], 6)
            self.assertLess(abs(line["faults"] - 0.02 * values * late), 5 * (0.02 * values) ** 0.5)
            self.assertEqual(line["skipped"], 0)
            self.assertGreaterEqual(line["faulty_seconds"], 0)
        measured = self.lines("sc", "dev_faulty")
        self.assertEqual([line["step"] for line in measured], [6, 12])
        for line in measured:
            faulty = line["dev_faulty"]
            self.assertEqual(faulty["rate"], 0.02)
            self.assertAlmostEqual(sum(faulty["accuracies"]) / 2, faulty["accuracy"], 12)
        for name, data in tensors(self.dir / "sc").items():
            words = struct.unpack(f"<{len(data) // 4}I", data)
            self.assertFalse([w for w in words if w >> 30 & 1], f"{name} reaches 2")

    def test_faults_in_one_layer(self):
        self.tune("one", "--self-correction", "--fault-rate", 0.05, "--fault-layers", 1, "--lora",
                  2)
        values = sum(len(t) // 4 for name, t in tensors(self.base).items() if ".layer.1." in name)
        for line in self.lines("one", "loss"):
            self.assertLess(abs(line["faults"] - 0.05 * values), 5 * (0.05 * values) ** 0.5)
            self.assertGreater(line["divergence"], 0)

    def test_adapters_change_what_they_are_on(self):
        self.tune("lora", "--lora", 4, "--lora-on", "attention.query,mlp", "--lora-full",
                  "head.classifier", "--rate", "1e-2")
        before, after = tensors(self.base), tensors(self.dir / "lora")
        self.assertEqual(set(before), set(after))
        changed = {name for name in before if before[name] != after[name]}
        expected = {"classifier.weight", "classifier.bias"}
        for layer in range(2):
            for part in ("attention.self.query", "intermediate.dense", "output.dense"):
                expected.add(f"bert.encoder.layer.{layer}.{part}.weight")
        self.assertEqual(changed, expected)

    def test_injected_flips_are_counted(self):
        sites = ["gradients", "parameters", "activations", "optimizer"]
        self.tune("inject", "--inject", ",".join(sites), "--inject-rate", 1e-3,
                  "--exponent-protection")
        lines = self.lines("inject", "flips")
        self.assertEqual(len(lines), 12)
        for line in lines:
            self.assertEqual(set(line["flips"]), set(sites))
            self.assertGreater(line["flips"]["parameters"], 0)
        self.tune("one", "--inject", "activations", "--inject-rate", 1e-4)
        self.assertEqual(set(self.lines("one", "flips")[0]["flips"]), {"activations"})

    def test_a_skipped_step_has_no_loss(self):
        """Half of all parameters flipped, unprotected: some exponents are all ones at once."""
        self.tune("lost", "--inject", "parameters", "--inject-rate", 0.5)
        last = self.lines("lost", "loss")[-1]
        self.assertGreater(last["skipped"], 0)
        self.assertIsNone(last["loss"])
        self.assertIsNone(last["accuracy"])

    def test_a_seed_decides_the_faults(self):
        found = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            self.tune(name, "--self-correction", "--inject", "gradients", "--inject-rate", 1e-5,
                      "--seed", seed)
            found.append(tensors(self.dir / name))
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])

    def test_what_is_refused(self):
        correct = "--self-correction"
        for said, args in (
                ("need --lora RANK", ["--lora-alpha", 3]),
                ("need --self-correction", ["--lambda", 0.1]),
                ("need --self-correction", ["--task-on", "faulty"]),
                ("--inject-rate needs --inject", ["--inject-rate", 0.1]),
                ("not 'weights'", ["--inject", "weights"]),
                ("--average takes", [correct, "--average", "--task-on", "clean"]),
                ("teaches nothing", [correct, "--divergence", "none"]),
                ("--lambda weighs", [correct, "--divergence", "none", "--lambda", 1]),
                ("--fault-eval needs", ["--fault-eval", 2]),
                ("--fault-eval-rate needs", [correct, "--fault-eval-rate", 0.1]),
                ("'mlp.side' is no component", ["--lora", 2, "--lora-on", "mlp.side"]),
                ("no linear layer 'embedding.token'", ["--lora", 2, "--lora-on",
                                                       "embedding.token"]),
                ("no linear layer 'head.lm'", ["--lora", 2, "--lora-on", "head.lm"]),
                ("larger than", ["--lora", 33]),
                ("either adapted or trained in full", ["--lora", 2, "--lora-full", "mlp.up"]),
                ("layers are 0 to 1", [correct, "--fault-layers", "1,2"]),
                ("layers are 0 to 1", [correct, "--fault-layers", "1,"]),
                ("layers are 0 to 1", [correct, "--fault-layers", "-1"]),
                ("need --self-correction", ["--fault-layers", "1"]),
                ("no parameter", [correct, "--fault-layers", "1", "--faults-on", "head"]),
                ("--fault-rate", [correct, "--fault-rate", 1.5]),
                ("--lambda", [correct, "--lambda", "nan"])):
            with self.subTest(args=args):
                self.assertIn(said, self.tune("refused", *args, code=2).stderr)
                self.assertFalse((self.dir / "refused" / "model.safetensors").exists())


if __name__ == "__main__":
    harness.main()
