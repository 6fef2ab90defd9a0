"""Training with real processes: kill -9 at any moment and the same command goes on to the same
bits, for any number of threads; and what cannot be trained says why.

The texts are the ones that ship, so that nothing outside the checkout is needed.
"""
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import time
import unittest

import harness

TEXTS = harness.TOP / "experiments" / "data"


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def read_safetensors(path):
    """Names and values of a file of F32 tensors, read by its published description."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        tensors[name] = (entry["shape"], data[8 + size + first:8 + size + last])
    return tensors


class Training(harness.Case):
    def setUp(self):
        super().setUp()
        self.text = self.dir / "text.txt"
        self.text.write_bytes((TEXTS / "articles.txt").read_bytes()[:40000].rsplit(b"\n", 1)[0])
        rows = (TEXTS / "reviews.tsv").read_text().splitlines()
        self.reviews, self.dev = self.dir / "reviews.tsv", self.dir / "dev.tsv"
        self.reviews.write_text("\n".join(rows[:401]) + "\n")
        self.dev.write_text("\n".join(rows[:1] + rows[401:501]) + "\n")

    shape = ["--layers", 2, "--width", 32, "--heads", 2, "--positions", 32, "--batch", 8]

    def gpt2(self, out, *more, **kwargs):
        return self.run_program("train", out, "--model", "gpt2", "--data", self.text, "--vocab",
                                400, *self.shape, *more, **kwargs)

    def metrics(self, out):
        return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]

    def bert(self):
        """A pretrained encoder to fine-tune."""
        out = self.dir / "pretrained"
        if not out.exists():
            self.run_program("train", out, "--model", "bert", "--data", self.text, "--vocab", 400,
                             *self.shape, "--steps", 20)
        return out

    def kill_often(self, out, args, kills, seed, least_seconds):
        """Starts the command again and again, killing it at random moments, the last time when it
        has left a checkpoint, then lets it end.
        @return how often a killed run had left a checkpoint to go on from."""
        rng = random.Random(seed)
        checkpoint = out / "checkpoint"
        resumed = 0
        for kill in range(kills):
            last = kill + 1 == kills
            if last and (out / "config.json").exists():
                shutil.rmtree(out)  # it was through before its moment came: once more from nothing
            process = self.start(*args)
            moment = time.time() + rng.uniform(0.02, least_seconds)
            while process.poll() is None and (not checkpoint.exists() if last else
                                              time.time() < moment):
                time.sleep(0.005)
            self.kill(process)
            resumed += checkpoint.exists()
            self.assertFalse((out / "config.json").exists() and
                             not (out / "model.safetensors").exists())
        self.run_program(*args)
        return resumed

    def kill_with_checkpoint(self, out, *args):
        process = self.start("train", out, *args)
        deadline = time.time() + 60
        while not (out / "checkpoint").exists() and time.time() < deadline:
            time.sleep(0.005)
        self.kill(process)
        self.assertTrue((out / "checkpoint").exists())

    def check_killed(self, args, kills=8, seed=1):
        """The command into one folder undisturbed, into another under kills: the same bits."""
        whole, killed = self.dir / "whole", self.dir / "killed"
        begun = time.time()
        self.run_program(args[0], whole, *args[1:])
        seconds = time.time() - begun
        resumed = self.kill_often(killed, [args[0], killed, *args[1:]], kills, seed, seconds)
        self.assertGreater(resumed, 0, "no kill left a checkpoint to go on from")
        for name in ("model.safetensors", "config.json"):
            self.assertEqual(sha256(whole / name), sha256(killed / name), name)
        self.assertFalse((killed / "checkpoint").exists())
        self.assertEqual([p.name for p in killed.iterdir() if p.name.endswith(".tmp")], [])
        # Lines of metrics are told once, and are the same but for what a clock says.
        timeless = [[{k: v for k, v in line.items() if k not in ("tokens_per_s", "faulty_seconds")}
                     for line in self.metrics(out)] for out in (whole, killed)]
        self.assertEqual(*timeless)
        results = [json.loads((out / "training.json").read_text())["result"]
                   for out in (whole, killed)]
        for result in results:
            result.pop("seconds")
        self.assertEqual(*results)

    def test_causal_training_survives_kills(self):
        self.check_killed(["train", "--model", "gpt2", "--data", self.text, "--dev", self.text,
                           "--vocab", 400, *self.shape, "--steps", 400, "--eval-every", 150,
                           "--log-every", 20, "--checkpoint-every", 7])

    def test_keeping_the_best_survives_kills(self):
        self.check_killed(["finetune", "--from", self.bert(), "--task", "classification", "--data",
                           self.reviews, "--dev", self.dev, "--epochs", 3, "--keep-best",
                           "--eval-every", 20, "--rate", "1e-3", "--checkpoint-every", 5,
                           "--log-every", 10])
        lines = self.metrics(self.dir / "whole")
        best = max(line["dev"]["accuracy"] for line in lines if "dev" in line)
        measured = self.json("eval", "--json", self.dir / "whole", "--data", self.dev)
        self.assertEqual(measured["value"], best, "the saved weights are the best ones")

    def test_self_correction_and_adapters_survive_kills(self):
        self.check_killed(["finetune", "--from", self.bert(), "--task", "classification", "--data",
                           self.reviews, "--epochs", 2, "--self-correction", "--lora", 4,
                           "--lora-full", "head", "--rate", "1e-3", "--checkpoint-every", 5],
                          kills=5)

    def test_threads_change_no_bit(self):
        hashes = set()
        for threads in (1, 2, 3):
            out = self.dir / f"threads{threads}"
            self.gpt2(out, "--steps", 40, "--threads", threads, "--accumulate", 2)
            hashes.add(sha256(out / "model.safetensors"))
        self.assertEqual(len(hashes), 1)

    def test_seeds_matter(self):
        for seed in (1, 2):
            self.gpt2(self.dir / f"seed{seed}", "--steps", 2, "--seed", seed)
        self.assertNotEqual(sha256(self.dir / "seed1" / "model.safetensors"),
                            sha256(self.dir / "seed2" / "model.safetensors"))

    def test_it_learns(self):
        out = self.dir / "out"
        self.gpt2(out, "--steps", 300, "--rate", "3e-3", "--log-every", 20, "--dev", self.text)
        losses = [line["loss"] for line in self.metrics(out) if "loss" in line]
        self.assertGreater(losses[0], 5)  # ln 400 is 5.99
        self.assertLess(losses[-1], losses[0] - 1.2)
        measured = self.json("eval", "--json", out, "--data", self.text, "--window", 32)
        told = [line["dev"] for line in self.metrics(out) if "dev" in line][-1]
        self.assertAlmostEqual(measured["loss"], told["loss"], places=6)

    def test_an_interrupt_makes_a_checkpoint(self):
        out = self.dir / "out"
        args = ["train", out, "--model", "gpt2", "--data", self.text, "--vocab", 400, *self.shape,
                "--steps", 100000, "--log-every", 1]
        steps = []
        for how in (signal.SIGINT, signal.SIGTERM):
            process = self.start(*args, stderr=subprocess.PIPE, text=True)
            deadline = time.time() + 60
            before = len(self.metrics(out)) if steps else 0
            while time.time() < deadline:
                time.sleep(0.05)
                if (out / "metrics.jsonl").exists() and \
                        (out / "metrics.jsonl").read_bytes().count(b"\n") > before + 5:
                    break
            process.send_signal(how)
            err = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 130, err)
            self.assertIn("the same command goes on", err)
            steps.append(self.metrics(out)[-1]["step"])
            self.assertEqual([line["step"] for line in self.metrics(out)],
                             list(range(1, steps[-1] + 1)))
        self.assertGreater(steps[1], steps[0])

    def test_a_complete_folder_says_so_and_others_are_refused(self):
        out = self.dir / "out"
        first = self.gpt2(out, "--steps", 5, "--json")
        told = json.loads(first.stdout)
        self.assertEqual(told["steps"], 5)
        before = sha256(out / "model.safetensors")
        again = self.gpt2(out, "--steps", 5, "--json", "--threads", 1)
        self.assertIn("is complete already", again.stderr)
        self.assertEqual(json.loads(again.stdout), told)
        for more, said in ((["--steps", 6], "steps was 5, now it is 6"),
                           (["--steps", 5, "--rate", "1e-4"], "rate was 0.0005, now it is 0.0001"),
                           (["--steps", 5, "--seed", 2], "seed was 1, now it is 2"),
                           (["--epochs", 1], "epochs was none"),
                           (["--steps", 5, "--dev", self.text], "dev was none")):
            self.assertIn(said, self.gpt2(out, *more, code=4).stderr)
        self.text.write_text(self.text.read_text() + "More.\n")
        self.assertIn("data was", self.gpt2(out, "--steps", 5, code=4).stderr)
        self.assertEqual(sha256(out / "model.safetensors"), before)

    def test_one_process_at_a_time(self):
        out = self.dir / "out"
        self.start("train", out, "--model", "gpt2", "--data", self.text, "--vocab", 400,
                   *self.shape, "--steps", 100000)
        deadline = time.time() + 60
        while not (out / "training.json").exists() and time.time() < deadline:
            time.sleep(0.02)
        self.assertIn("another process", self.gpt2(out, "--steps", 100000, code=4).stderr)

    def test_only_its_own_half_files_are_removed(self):
        out = self.dir / "out"
        out.mkdir()
        others = ["notes.tmp", "notes.12.tmp", "config.json.tmp", "config.json.old.tmp", "notes.7@a.tmp"]
        own = ["model.safetensors.12@a.tmp", "checkpoint.7@node-3.x.tmp", "vocab.json.123@b.tmp"]
        for name in others + own:
            (out / name).write_text("x")
        self.gpt2(out, "--steps", 1)
        left = sorted(p.name for p in out.iterdir() if p.name.endswith(".tmp"))
        self.assertEqual(left, sorted(others))

    def test_a_complete_run_keeps_no_checkpoint(self):
        """As after a kill between the record of completion and the removal."""
        out = self.dir / "out"
        self.gpt2(out, "--steps", 1)
        (out / "checkpoint").write_bytes(b"of the last step")
        self.assertIn("complete already", self.gpt2(out, "--steps", 1).stderr)
        self.assertFalse((out / "checkpoint").exists())

    def test_a_damaged_checkpoint_is_told(self):
        out = self.dir / "out"
        args = ["--steps", 100, "--checkpoint-every", 10, "--log-every", 5]
        whole = self.dir / "whole"
        self.gpt2(whole, *args)
        self.kill_with_checkpoint(out, "--model", "gpt2", "--data", self.text, "--vocab", 400,
                                  *self.shape, *args)
        checkpoint = out / "checkpoint"
        good = checkpoint.read_bytes()
        for bad in (good[:1000], good[:-1], good[:5000] + b"\1" + good[5001:], b"nonsense" * 9):
            checkpoint.write_bytes(bad)
            err = self.gpt2(out, *args, code=1).stderr
            self.assertIn("damaged", err)
            self.assertIn("delete it", err)
        checkpoint.unlink()
        self.gpt2(out, *args)
        self.assertEqual(sha256(out / "model.safetensors"), sha256(whole / "model.safetensors"))
        steps = [line["step"] for line in self.metrics(out)]
        self.assertEqual(steps, list(range(5, 101, 5)))

    def test_its_own_vocabulary_must_stay(self):
        """A run goes on with the pieces that its first steps learnt, or not at all."""
        for model, names in (("gpt2", ("vocab.json", "merges.txt")),
                             ("bert", ("vocab.txt", "tokenizer_config.json"))):
            whole, out = self.dir / f"{model}-whole", self.dir / f"{model}-out"
            args = ["--model", model, "--data", self.text, "--vocab", 400, *self.shape, "--steps",
                    200, "--checkpoint-every", 5]
            self.run_program("train", whole, *args)
            self.kill_with_checkpoint(out, *args)
            for name in names:
                path = out / name
                good = path.read_bytes()
                lines = good.splitlines(keepends=True)
                if name.endswith(".txt"):
                    lines[-2:] = reversed(lines[-2:])
                else:
                    lines.append(b"\n")
                path.write_bytes(b"".join(lines))
                err = self.run_program("train", out, *args, code=4).stderr
                self.assertIn(f"{name}: has changed", err)
                path.unlink()
                missing = self.run_program("train", out, *args, code=2)
                self.assertIn(f"{name}: No such file", missing.stderr)
                path.write_bytes(good)
            self.run_program("train", out, *args)
            self.assertEqual(sha256(out / "model.safetensors"), sha256(whole / "model.safetensors"))

    def test_a_diverged_run_stops_and_says_so(self):
        out = self.dir / "out"
        err = self.gpt2(out, "--steps", 50, "--rate", "1e30", "--warmup", 0, code=1).stderr
        self.assertIn("diverged", err)
        self.assertIn("--rate", err)
        self.assertFalse((out / "model.safetensors").exists())

    def test_the_folder_is_what_transformers_loads(self):
        bert, tuned = self.bert(), self.dir / "tuned"
        self.run_program("finetune", tuned, "--from", bert, "--task", "classification", "--data",
                         self.reviews, "--steps", 2)
        body = {f"bert.embeddings.{x}" for x in
                ("word_embeddings.weight", "position_embeddings.weight",
                 "token_type_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias")}
        for layer in range(2):
            for part in ("attention.self.query", "attention.self.key", "attention.self.value",
                         "attention.output.dense", "attention.output.LayerNorm",
                         "intermediate.dense", "output.dense", "output.LayerNorm"):
                body |= {f"bert.encoder.layer.{layer}.{part}.{x}" for x in ("weight", "bias")}
        masked = {f"cls.predictions.{x}" for x in
                  ("transform.dense.weight", "transform.dense.bias", "transform.LayerNorm.weight",
                   "transform.LayerNorm.bias", "bias")}
        head = {f"{x}.{y}" for x in ("bert.pooler.dense", "classifier") for y in ("weight", "bias")}
        self.assertEqual(set(read_safetensors(bert / "model.safetensors")), body | masked)
        tensors = read_safetensors(tuned / "model.safetensors")
        self.assertEqual(set(tensors), body | head)
        self.assertEqual(tensors["bert.encoder.layer.0.intermediate.dense.weight"][0], [128, 32])
        self.assertEqual(tensors["classifier.bias"][0], [2])
        config = json.loads((tuned / "config.json").read_text())
        self.assertEqual(config["architectures"], ["BertForSequenceClassification"])
        self.assertEqual(config["id2label"], {"0": "LABEL_0", "1": "LABEL_1"})
        self.assertEqual(config["hidden_dropout_prob"], 0.1)
        vocabulary = (tuned / "vocab.txt").read_text().splitlines()
        self.assertEqual(config["vocab_size"], len(vocabulary))
        self.assertIn("[CLS]", vocabulary)
        self.assertIn("do_lower_case", json.loads((tuned / "tokenizer_config.json").read_text()))


class BadInput(Training):
    """Everything here fails before a model is written, with one message."""

    def bad(self, code, said, *args, verb="finetune", out=None):
        out = out or self.dir / "out"
        result = self.run_program(verb, out, *args, code=code)
        self.assertIn(said, result.stderr)
        self.assertFalse((pathlib.Path(out) / "model.safetensors").exists())
        return result

    def file(self, name, text):
        path = self.dir / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def test_options(self):
        base = self.bert()
        tune = ["--from", base, "--task", "classification", "--data", self.reviews]
        text = ["--model", "gpt2", "--data", self.text, "--vocab", 400]
        for said, verb, args in (
                ("--data FILE is missing", "train", ["--model", "gpt2"]),
                ("--model bert, --model gpt2 or --from DIR", "train", ["--data", self.text]),
                ("--from DIR is missing", "finetune", ["--data", self.reviews]),
                ("not for BERT", "finetune", ["--from", base, "--task", "causal", "--data",
                                              self.text]),
                ("not for GPT-2", "train", [*text, "--task", "masked"]),
                ("more than the model's 32 positions", "train",
                 [*text, "--positions", 32, "--window", 33]),
                ("not a multiple of --heads", "train", [*text, "--width", 30, "--heads", 4]),
                ("needs --dev", "finetune", [*tune, "--keep-best"]),
                ("needs --dev", "finetune", [*tune, "--eval-every", 5]),
                ("--window is for running text", "finetune", [*tune, "--window", 8]),
                ("--labels is for classification", "train", [*text, "--labels", 3]),
                ("more than all 2 steps", "finetune", [*tune, "--steps", 2, "--warmup", 3]),
                ("--from brings the model", "train", ["--from", base, "--layers", 3, "--data",
                                                      self.text]),
                ("--rate", "train", [*text, "--rate", "nan"]),
                ("--dropout", "train", [*text, "--dropout", 1]),
                ("--batch", "train", [*text, "--batch", 0])):
            with self.subTest(said):
                self.bad(2, said, *args, verb=verb)
                self.assertFalse((self.dir / "out").exists(), "a mistyped command leaves nothing")

    def test_data(self):
        base = self.bert()
        header = "sentence\tlabel\n"
        for said, name, text in (
                ("none.tsv", "none.tsv", None),
                ("empty.tsv", "empty.tsv", ""),
                ("head.tsv", "head.tsv", header),
                ("label.tsv:3", "label.tsv", header + "good\t1\nbad\t2\n"),
                ("minus.tsv:2", "minus.tsv", header + "good\t-1\n"),
                ("word.tsv:2", "word.tsv", header + "good\tyes\n"),
                ("tab.tsv:2", "tab.tsv", header + "good 1\n"),
                ("utf8.tsv:2", "utf8.tsv", header.encode() + b"g\xffd\t1\n")):
            with self.subTest(name):
                path = self.dir / name if text is None else self.file(name, text)
                self.bad(2, said, "--from", base, "--task", "classification", "--data", path)
        for name, text in (("empty.txt", ""), ("blank.txt", "\n \n"), ("utf8.txt", b"a\xff b\n")):
            for model in ("bert", "gpt2"):
                if (name, model) == ("blank.txt", "gpt2"):
                    continue  # white space is text to GPT-2
                with self.subTest(name, model=model):
                    self.bad(2, name, "--model", model, "--data", self.file(name, text), "--vocab",
                             300, verb="train", out=self.dir / (model + name))

    def test_a_long_text_is_cut_to_the_positions(self):
        rows = "sentence\tlabel\n" + "".join(f"{'very ' * 500}good\t{i % 2}\n" for i in range(4))
        self.run_program("finetune", self.dir / "out", "--from", self.bert(), "--task",
                         "classification", "--data", self.file("long.tsv", rows), "--steps", 1)

    def test_weights_that_are_not_finite(self):
        base = self.bert()
        weights = base / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-4:] = struct.pack("<f", float("nan"))
        weights.write_bytes(data)
        self.bad(2, "not finite", "--from", base, "--task", "masked", "--data", self.text,
                 verb="train")

    def test_where_nothing_can_be_written(self):
        args = ["--model", "gpt2", "--data", self.text, "--vocab", 400, *self.shape, "--steps", 3]
        self.bad(1, "/proc/none", *args, verb="train", out="/proc/none")
        self.bad(1, "plain", *args, verb="train", out=self.file("plain", "x") / "out")
        self.bad(1, "not a directory", *args, verb="train", out=self.dir / "plain")
        base = self.bert()
        result = self.run_program("train", base, *args, "--seed", 9, code=4)
        self.assertIn("other options", result.stderr)
        (base / "training.json").unlink()
        result = self.run_program("train", base, *args, code=4)
        self.assertIn("holds a model already", result.stderr)

    def test_a_disk_that_fills_up(self):
        """A limit on a file's size stands for the disk: the run stops, and goes on later."""
        out, whole = self.dir / "out", self.dir / "whole"
        args = ["--model", "gpt2", "--data", self.text, "--vocab", 400, *self.shape, "--steps", 30,
                "--checkpoint-every", 10]

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        result = subprocess.run([harness.program(), "train", out, *map(str, args)],
                                preexec_fn=limit, restore_signals=False, capture_output=True,
                                text=True, timeout=60)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("checkpoint: write", result.stderr)
        self.assertFalse((out / "model.safetensors").exists())
        self.run_program("train", out, *args)
        self.run_program("train", whole, *args)
        self.assertEqual(sha256(out / "model.safetensors"), sha256(whole / "model.safetensors"))


# The base's own tests ran once already.
for name in [n for n in dir(Training) if n.startswith("test_")]:
    setattr(BadInput, name, None)

if __name__ == "__main__":
    harness.main()
