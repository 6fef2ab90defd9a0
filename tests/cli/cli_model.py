"""flipsweep-model: eval, inspect, tokenize; their JSON, their texts, their errors."""
import array
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import BERT, GPT2, SST2_DEV, WIKI_TEST, needs_shared


class ModelCase(harness.Case):
    def model(self, *args, code=0, stdin=None, env=None):
        """Runs flipsweep-model and checks its exit code; stdin may be bytes."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        result = subprocess.run([harness.program("flipsweep-model"), *map(str, args)],
                                input=b"" if data is None else data, capture_output=True,
                                timeout=240, env={**os.environ, **(env or {})})
        self.assertEqual(result.returncode, code,
                         f"{args}\n{result.stdout[-2000:]!r}\n{result.stderr[-2000:]!r}")
        return result.stdout.decode(), result.stderr.decode()

    def document(self, *args, **kwargs):
        out, _ = self.model(*args, "--json", **kwargs)
        return json.loads(out)

    def error(self, text, *args, code=2, **kwargs):
        """Expects a failure: nothing on stdout, one message on stderr that holds `text`."""
        out, err = self.model(*args, code=code, **kwargs)
        self.assertEqual(out, "")
        self.assertIn(text, err)
        self.assertLessEqual(len(err.splitlines()), 2)


class Frame(ModelCase):
    def test_help(self):
        out, _ = self.model("--help")
        for verb in ("eval", "inspect", "tokenize"):
            self.assertIn(f"  {verb}", out)
            text, _ = self.model(verb, "--help")
            self.assertTrue(text.startswith(f"usage: flipsweep-model {verb} [options] MODEL\n"))
            self.assertIn("--json", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_usage_errors(self):
        self.error("a verb is missing")
        self.error('unknown verb "evil" (did you mean eval?)', "evil")
        self.error("missing argument: MODEL", "eval")
        self.error('unexpected argument "b"', "inspect", "a", "b")
        self.error("unknown option --jsn (did you mean --json?)", "eval", "--jsn", "m")
        self.error("--threads: 0 is below 1", "eval", "m", "--threads", "0")
        self.error("--threads: 1025 is above 1024", "eval", "m", "--threads", "1025")
        self.error('--examples: "ten" is not a whole number', "eval", "m", "--examples", "ten")
        self.error("--data needs a value: FILE", "eval", "m", "--data")
        self.error('--recipe: "raw" is not one of as-is|hf', "eval", "m", "--recipe", "raw")
        self.error('--task: "guess" is not one of', "eval", "m", "--task", "guess")


class Tokenize(ModelCase):
    def test_a_vocabulary_is_enough(self):
        folder = self.dir / "vocabulary"
        folder.mkdir()
        (folder / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\nwant\n##want\n##ed\nun\n,\n")
        out, _ = self.model("tokenize", "--json", folder, stdin="UNwanted,\n\nwant zzz")
        self.assertEqual([json.loads(line) for line in out.splitlines()],
                         [[1, 6, 4, 5, 7, 2], [1, 2], [1, 3, 0, 2]])
        out, _ = self.model("tokenize", folder, stdin="unwanted\n")
        self.assertEqual(out, "1:[CLS] 6:un 4:##want 5:##ed 2:[SEP]\n")
        self.assertEqual(self.model("tokenize", folder, stdin="")[0], "")

    def test_odd_bytes_pass(self):
        model, _ = self.tiny(kind="gpt2", vocab=300)
        out, _ = self.model("tokenize", "--json", model, stdin=b"\xff\x00a\r\n\n\xe2\x82\n")
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([len(row) for row in rows], [4, 0, 2])

    def test_errors(self):
        self.error("/nonexistent: no such folder", "tokenize", "/nonexistent")
        self.error("no vocab.txt, and no vocab.json with merges.txt", "tokenize", self.dir)
        (self.dir / "vocab.txt").write_text("[CLS]\n[SEP]\n")
        self.error("vocab.txt: the vocabulary has no [UNK]", "tokenize", self.dir)
        small, _ = self.tiny(kind="gpt2", vocab=26)
        out, err = self.model("tokenize", "--json", small, stdin="a\nb c\n", code=2)
        self.assertEqual(out, "[0]\n")
        self.assertIn("standard input:2: the vocabulary has no piece for byte 0x20", err)

    @needs_shared
    def test_sst2(self):
        rows = SST2_DEV.read_text("utf8").split("\n")[1:]
        text = "".join(row.rsplit("\t", 1)[0] + "\n" for row in rows if row)
        out, _ = self.model("tokenize", "--json", BERT, stdin=text)
        expected = json.loads((BERT / "reference_dev.json").read_text())["ids"]
        self.assertEqual([json.loads(line) for line in out.splitlines()], expected)


class Eval(ModelCase):
    FIELDS = {"metric", "value", "loss", "examples", "tokens", "seconds", "parameters"}

    def test_classification(self):
        model, data = self.tiny(data=30)
        logits, losses = self.dir / "logits", self.dir / "losses"
        report = self.document("eval", model, "--task", "classification", "--data", data,
                               "--logits", logits, "--losses", losses)
        self.assertLessEqual(self.FIELDS, report.keys())
        self.assertEqual((report["metric"], report["examples"]), ("accuracy", 30))
        rows = [list(map(float, line.split())) for line in logits.read_text().splitlines()]
        labels = [int(line.rsplit("\t", 1)[1]) for line in data.read_text().splitlines()[1:]]
        right = sum(row.index(max(row)) == label for row, label in zip(rows, labels))
        self.assertEqual(report["value"], right / 30)
        total = 0.0
        for row, label, line in zip(rows, labels, losses.read_text().splitlines()):
            loss = math.log(sum(math.exp(x - row[label]) for x in row))
            self.assertAlmostEqual(float(line), loss, places=6)
            total += float(line)
        self.assertAlmostEqual(report["loss"], total / 30, places=7)

    def test_language_model(self):
        model, data = self.tiny(kind="gpt2", vocab=300, positions=16, data=20)
        losses = self.dir / "losses"
        report = self.document("eval", model, "--data", data, "--stride", 5, "--losses", losses)
        self.assertLessEqual(self.FIELDS | {"recipe", "window", "stride", "normaliser", "scored"},
                             report.keys())
        self.assertEqual((report["recipe"], report["window"], report["stride"]),
                         ("as-is", 16, 5))
        rows = [list(map(float, line.split())) for line in losses.read_text().splitlines()]
        self.assertEqual([len(row) for row in rows[:3]], [15, 5, 5])
        scored = [loss for row in rows for loss in row]
        self.assertEqual((len(rows), len(scored)), (report["examples"], report["scored"]))
        mean = sum(scored) / len(scored)
        self.assertAlmostEqual(report["loss"], mean, places=6)
        self.assertAlmostEqual(report["value"], math.exp(mean), delta=1e-3)
        self.assertEqual(report["words"], len(data.read_text().split()))
        self.assertAlmostEqual(report["perplexity_per_word"],
                               math.exp(sum(scored) / report["words"]),
                               delta=1e-4 * report["perplexity_per_word"])
        few = self.document("eval", model, "--data", data, "--stride", 5, "--examples", 3)
        self.assertEqual((few["examples"], few["scored"]), (3, 25))
        self.assertAlmostEqual(few["loss"], sum(scored[:25]) / 25, places=6)

    def test_language_model_logits_are_the_whole_vocabulary(self):
        model, data = self.tiny(kind="gpt2", vocab=300, positions=16, data=20)
        logits = self.dir / "logits"
        self.model("eval", model, "--data", data, "--examples", 2, "--logits", logits)
        self.assertEqual([len(line.split()) for line in logits.read_text().splitlines()],
                         [16 * 300] * 2)

    def test_threads_and_kernels_change_no_bit(self):
        for kind in ("bert", "gpt2", "gpt2-classifier"):
            model, data = self.tiny(kind, kind=kind, vocab=600, data=200)
            files = []
            for options in (["-t", 1], ["-t", 5], ["--kernel", "portable"]):
                path = self.dir / f"{kind}{len(files)}"
                report = self.document("eval", model, "--data", data, "--losses", path, *options)
                files.append((path.read_bytes(), report["loss"], report["value"]))
            self.assertEqual(files[0], files[1])
            self.assertEqual(files[0], files[2])

    def test_formats(self):
        model, data = self.tiny(data=30)
        plain = self.document("eval", model, "--data", data)
        self.assertEqual((plain["dtype"], plain["protect"], plain["altered"]), ("fp32", [], 0))
        losses = {plain["loss"]}
        for dtype in ("fp16", "bf16", "int8"):
            report = self.document("eval", model, "--data", data, "--dtype", dtype)
            self.assertEqual(report["dtype"], dtype)
            self.assertGreater(report["altered"], report["parameters"] / 2)
            self.assertAlmostEqual(report["loss"], plain["loss"], delta=0.05)
            losses.add(report["loss"])
        self.assertEqual(len(losses), 4)
        report = self.document("eval", model, "--data", data, "--protect", "cep,ep")
        self.assertEqual(report["protect"], ["cep", "ep"])
        self.assertGreater(report["altered"], 0)
        text = self.run_program("eval", model, "--data", data, "--dtype", "bf16", "--protect", "mset").stdout
        self.assertRegex(text, r"stored      as bf16 under mset; \d+ of \d+ weights read as others")
        for options, reason in ((("--dtype", "int8", "--protect", "ep"), "int8 has none"),
                                (("--dtype", "fp8"), "fp8"), (("--protect", "epp"), "unknown protection")):
            result = self.run_program("eval", model, "--data", data, *options, code=2)
            self.assertIn(reason, result.stderr)

    def test_text_for_people(self):
        model, data = self.tiny()
        out, err = self.model("eval", model, "--data", data)
        self.assertRegex(out, r"^accuracy +[01]\.\d{4} \(\d+ of 40 right\)\nloss ")
        self.assertEqual(err, "")
        model, data = self.tiny("lm", kind="gpt2")
        out, _ = self.model("eval", model, "--data", data)
        self.assertRegex(out, r"^perplexity +[\d.e+]+ per token, [\d.e+]+ per word\nscored ")

    def test_bad_data(self):
        model, data = self.tiny()
        rows = {
            b"": "bad: empty",
            b"sentence\tlabel\n": "bad: only a header line, no examples",
            b"h\nabc\t1\nno tab\n": "bad:3: no tab",
            b"h\nabc\t2\n": "bad:2: label 2: the model has labels 0 to 1",
            b"h\nabc\tgood\n": 'bad:2: label "good" is not a whole number',
            b"h\nab\xff\t1\n": "bad:2: not UTF-8 text",
            b"h\na\0b\t1\n": "bad:2: not UTF-8 text",
        }
        bad = self.dir / "bad"
        for contents, message in rows.items():
            bad.write_bytes(contents)
            self.error(message, "eval", model, "--data", bad)
        self.error("--data FILE is missing", "eval", model)
        self.error("No such file", "eval", model, "--data", self.dir / "nothing")
        self.error("is a directory", "eval", model, "--data", self.dir)
        self.error("the model is a classifier", "eval", model, "--data", data, "--task",
                   "language-model")
        self.error("are for language models", "eval", model, "--data", data, "--window", 8)

    def test_bad_windows(self):
        model, data = self.tiny(kind="gpt2", positions=16)
        self.error("window: 17 tokens; the model has 16 positions", "eval", model, "--data", data,
                   "--window", 17)
        self.error("--window: 1 is below 2", "eval", model, "--data", data, "--window", 1)
        self.error("stride: 9 tokens skip text", "eval", model, "--data", data, "--window", 8,
                   "--stride", 9)
        self.error("the model is a language model", "eval", model, "--data", data, "--task",
                   "classification")
        short = self.dir / "short"
        short.write_text("a")
        self.error("short: too short", "eval", model, "--data", short)
        short.write_bytes(b"abc\n\xc3\n")
        self.error("short:2: not UTF-8 text", "eval", model, "--data", short)

    def test_bad_models(self):
        model, data = self.tiny()
        self.error("config.json", "eval", self.dir / "nothing", "--data", data)
        for name in ("vocab.txt", "model.safetensors"):
            shutil.copytree(model, self.dir / "copy", dirs_exist_ok=True)
            (self.dir / "copy" / name).unlink()
            self.error("copy", "eval", self.dir / "copy", "--data", data)
        shutil.copytree(model, self.dir / "copy", dirs_exist_ok=True)
        (self.dir / "copy" / "model.safetensors").write_bytes(b"\xff" * 100)
        self.error("model.safetensors", "eval", self.dir / "copy", "--data", data)
        # A tokeniser of another model: its ids are beyond the embedding.
        shutil.copytree(model, self.dir / "copy", dirs_exist_ok=True)
        pieces = (model / "vocab.txt").read_text().split("\n")
        (self.dir / "copy" / "vocab.txt").write_text("\n".join(["x"] * 600 + pieces))
        self.error("is beyond the model's vocabulary", "eval", self.dir / "copy", "--data", data)

    def test_output_that_cannot_be_written(self):
        model, data = self.tiny()
        self.error("missing/out: open: No such file", "eval", model, "--data", data, "--logits",
                   self.dir / "missing" / "out", code=1)
        self.error("/dev/full: write: No space left", "eval", model, "--data", data, "--logits",
                   "/dev/full", code=1)
        self.model("eval", model, "--data", data, "--logits", "/dev/null")
        self.assertTrue(pathlib.Path("/dev/null").is_char_device())
        with open("/dev/full", "wb") as full:
            result = subprocess.run([harness.program("flipsweep-model"), "inspect", str(model)],
                                    stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard output: No space left", result.stderr)

    def test_a_full_disk_leaves_the_old_file(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="flipsweep-test-"))
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
                               capture_output=True)
        if mount.returncode != 0:
            folder.rmdir()
            self.skipTest("needs the right to mount a tmpfs")
        try:
            model, data = self.tiny(kind="gpt2", vocab=300, positions=16, data=20)
            out = folder / "out"
            out.write_text("old")
            self.error("No space left", "eval", model, "--data", data, "--logits", out, code=1)
            self.assertEqual([p.name for p in folder.iterdir()], ["out"])
            self.assertEqual(out.read_text(), "old")
        finally:
            subprocess.run(["umount", str(folder)], check=True)
            folder.rmdir()

    @needs_shared
    def test_sst2(self):
        reference = json.loads((BERT / "reference_dev.json").read_text())
        logits = self.dir / "logits"
        report = self.document("eval", BERT, "--data", SST2_DEV, "--logits", logits)
        rows = [list(map(float, line.split())) for line in logits.read_text().splitlines()]
        self.assertEqual(len(rows), 872)
        worst = max(abs(x - y) for a, b in zip(rows, reference["logits"]) for x, y in zip(a, b))
        self.assertLess(worst, 1e-4)
        self.assertEqual((report["correct"], report["tokens"]), (705, 21943))

    @needs_shared
    def test_wikitext(self):
        report = self.document("eval", GPT2, "--data", WIKI_TEST, "--window", 256, "--stride",
                               256, "--examples", 24)
        self.assertAlmostEqual(report["loss"], 6.014854, delta=1e-5)
        self.assertEqual(report["scored"], 6120)


class Inspect(ModelCase):
    BOUNDS = [("up to 2^-32", 2.0 ** -32), ("(2^-32, 2^-8]", 2.0 ** -8),
              ("(2^-8, 2^-4]", 2.0 ** -4), ("(2^-4, 2^-2]", 0.25), ("(2^-2, 2^-1]", 0.5),
              ("(2^-1, 2]", 2.0), ("above 2", sys.float_info.max)]

    @staticmethod
    def weights(model):
        """All values of a file of F32 tensors without buffers, and where the first one lies."""
        data = (model / "model.safetensors").read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        return array.array("f", data[start:]), start

    def check(self, model):
        report = self.document("inspect", model)
        values, _ = self.weights(model)
        counts = dict.fromkeys([name for name, _ in self.BOUNDS] + ["NaN or infinite"], 0)
        for x in values:
            name = next((n for n, upper in self.BOUNDS if abs(x) <= upper), "NaN or infinite")
            counts[name] += 1
        self.assertEqual({b["magnitude"]: b["count"] for b in report["magnitude_histogram"]},
                         counts)
        self.assertEqual(report["parameters"], len(values))
        self.assertEqual(report["above_two"], sum(not abs(x) < 2 for x in values))
        self.assertEqual(sum(c["values"] for c in report["components"]), report["parameters"])
        self.assertEqual((report["dtype"], len(report["hash"])), ("F32", 64))
        return report

    def test_fields(self):
        for kind in ("bert", "gpt2"):
            model, _ = self.tiny(kind, kind=kind)
            report = self.check(model)
            self.assertEqual(report["model_type"], kind)
            out, _ = self.model("inspect", model)
            self.assertIn(f"parameters  {report['parameters']}\n", out)
            self.assertIn("embedding.token", out)

    def test_odd_values(self):
        model, _ = self.tiny()
        before = self.document("inspect", model)["hash"]
        data = bytearray((model / "model.safetensors").read_bytes())
        _, start = self.weights(model)
        odd = array.array("f", [2.0, -2.5, math.inf, -math.inf, math.nan, 0.0, 2.0 ** -8, 1e-40])
        data[start:start + 4 * len(odd)] = odd.tobytes()
        (model / "model.safetensors").write_bytes(data)
        self.assertNotEqual(self.check(model)["hash"], before)

    def test_without_weights(self):
        model, _ = self.tiny(kind="gpt2")
        (model / "model.safetensors").unlink()
        report = self.document("inspect", model)
        self.assertIsNone(report["magnitude_histogram"])
        self.assertIsNone(report["above_two"])
        self.assertGreater(report["parameters"], 0)
        self.assertIn("no weights", self.model("inspect", model)[0])

    def test_dtypes(self):
        for dtype in ("F16", "BF16"):
            model, _ = self.tiny(dtype, dtype=dtype)
            self.assertEqual(self.document("inspect", model)["dtype"], dtype)

    def test_errors(self):
        self.error("config.json", "inspect", self.dir)
        (self.dir / "config.json").write_text("{")
        self.error("config.json", "inspect", self.dir)


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


class Protect(ModelCase):
    """`inspect --protect`, against the definitions in the codes' papers, worked out here."""

    def model_with(self, odd, **kwargs):
        model, _ = self.tiny(**kwargs)
        data = bytearray((model / "model.safetensors").read_bytes())
        start = 8 + int.from_bytes(data[:8], "little")
        data[start:start + 4 * len(odd)] = array.array("f", odd).tobytes()
        (model / "model.safetensors").write_bytes(data)
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        shapes = sorted((t["data_offsets"][0] // 4, name, t["shape"]) for name, t in header.items())
        return model, array.array("f", data[start:]), shapes

    def rows(self, model, protect, *args):
        document = self.document("inspect", model, "--protect", protect, *args)["protections"]
        return {"+".join(row["protect"]): row for row in document["rows"]}, document

    def check(self, row, values, read):
        """A row's numbers against the values before and after."""
        errors = [abs(a - b) for a, b in zip(values, read)]
        rms = math.sqrt(sum(x * x for x in values) / len(values))
        self.assertEqual(row["altered"], sum(a != b for a, b in zip(values, read)))
        self.assertEqual((row["lost"], row["max_error"]), (0, max(errors)))
        error = math.sqrt(sum(e * e for e in errors) / len(errors))
        self.assertAlmostEqual(row["rms_error"], error, delta=1e-12 + 1e-9 * error)
        self.assertAlmostEqual(row["rms_error_relative"], error / rms, delta=1e-9)

    @staticmethod
    def masked(values, mask):
        bits = array.array("I", array.array("f", values).tobytes())
        return array.array("f", array.array("I", [b & mask for b in bits]).tobytes())

    def test_values(self):
        odd = [3.0, -2.5, 1.9999999, 0.0, 1e-40, -1e6]
        model, values, shapes = self.model_with(odd)
        rows, document = self.rows(model, "cep,ep,secded")
        self.assertEqual(list(rows), ["", "cep", "ep", "secded", "cep+ep+secded"])
        self.assertEqual((document["dtype"], document["values"]), ("fp32", len(values)))
        largest = 2 - 2.0 ** -23
        clipped = [min(max(x, -largest), largest) for x in values]
        self.check(rows[""], values, values)
        self.check(rows["ep"], values, clipped)
        self.check(rows["cep"], values, self.masked(values, 0xffffff00))
        self.check(rows["cep+ep+secded"], values, self.masked(clipped, 0xffffff00))
        worst = max(start for start, _, _ in shapes if start <= 5) # where -1e6 lies
        self.assertEqual((rows["ep"]["max_error_tensor"], rows["ep"]["max_error_index"]),
                         (next(n for s, n, _ in shapes if s == worst).removeprefix("bert."), 5 - worst))
        for row in rows.values():
            self.assertGreater(row["decode_s_per_forward"], 0)
            self.assertAlmostEqual(row["decode_ns_per_value"] * len(values) * 1e-9,
                                   row["decode_s_per_forward"], delta=1e-12)
        text, _ = self.model("inspect", model, "--protect", "cep,ep,secded")
        self.assertIn("cep,ep,secded", text)

    def test_redundant_bits(self):
        model, values, shapes = self.model_with([])
        rows, _ = self.rows(model, "tmr-exponent,secded,scrub")
        lines = [(math.prod(shape[:-1]), shape[-1]) for _, _, shape in shapes]
        pairs = sum(n * ((cols + 1) // 2) * 8 for n, cols in lines)
        self.assertEqual(rows["secded"]["redundant_bits"], pairs)
        self.assertEqual(rows["tmr-exponent"]["redundant_bits"], 2 * len(values))
        scrub = rows["scrub"]["redundant_bits"]
        self.assertEqual(scrub % sum(n for n, _ in lines), 0) # as many for each row
        whole = rows["tmr-exponent+secded+scrub"]
        self.assertEqual(whole["redundant_bits"], pairs + 2 * len(values) + scrub)
        self.assertAlmostEqual(whole["bits_per_value"], 32 + whole["redundant_bits"] / len(values))
        self.assertEqual(whole["altered"], 0)

    def test_what_acts_on_activations_is_not_measured(self):
        model, _, _ = self.model_with([])
        protect = "range-activations,ep"
        rows, _ = self.rows(model, protect)
        self.assertEqual({name: row["not_measured"] for name, row in rows.items()},
                         {"": [], "range-activations": ["range-activations"], "ep": [],
                          "range-activations+ep": ["range-activations"]})
        times = ("decode_ns_per_value", "decode_s_per_forward")
        self.assertEqual([rows["range-activations"][t] for t in times], [None, None])
        for name in ("", "ep", "range-activations+ep"): # of the weights' part
            self.assertGreater(rows[name][times[1]], 0)
        text, _ = self.model("inspect", model, "--protect", protect)
        self.assertEqual(text.count("range-activations: its cost is not measured here"), 1)
        row = next(l for l in text.splitlines() if l.startswith("  range-activations "))
        self.assertEqual(row.split()[-2:], ["-", "-"])

    def test_sixteen_bits(self):
        model, values, _ = self.model_with([3.0, -2.5, 1e-7, 0.1])
        halves = [struct.unpack("e", struct.pack("e", x))[0] for x in values]
        rows, document = self.rows(model, "mset", "--dtype", "fp16")
        self.assertEqual(document["dtype"], "fp16")
        self.check(rows[""], values, halves)
        self.assertEqual(rows["mset"]["bits_per_value"], 16)
        model, values, _ = self.model_with([1e6, 3.0]) # beyond fp16
        row = self.rows(model, "ep", "--dtype", "fp16")[0]
        self.assertEqual((row[""]["lost"], row[""]["rms_error"]), (1, None))
        self.assertEqual(row["ep"]["lost"], 0) # clipped

    def test_int8(self):
        model, values, shapes = self.model_with([])
        rows, _ = self.rows(model, "secded", "--dtype", "int8")
        read, scales = [0.0] * len(values), 0
        for start, name, shape in shapes: # of BERT: a row is a channel, a vector is one
            size, cols = math.prod(shape), shape[-1]
            for at in range(start, start + size, cols):
                scale = f32(max(abs(x) for x in values[at:at + cols]) / 127) or 1.0
                scales += 1
                for i in range(at, at + cols):
                    read[i] = f32(round(f32(values[i] / scale)) * scale)
        self.check(rows[""], values, read)
        self.assertEqual(rows[""]["redundant_bits"], 32 * scales)
        self.assertEqual(rows["secded"]["redundant_bits"],
                         32 * scales + sum(math.prod(s[:-1]) * -(-s[-1] // 8) * 8 for _, _, s in shapes))
        self.assertEqual(rows["secded"]["altered"], rows[""]["altered"])
        model, _, _ = self.model_with([math.inf])
        self.error("holds a value that is not finite", "inspect", model, "--protect", "op",
                   "--dtype", "int8", code=2)

    def test_refusals(self):
        model, _, _ = self.model_with([])
        for words, args in {
                "unknown protection 'evil'": ("--protect", "ep,evil"),
                "unknown protection ''": ("--protect", ""),
                "both keep their redundancy in the lowest bits": ("--protect", "cep,op"),
                "more than 8 protections": ("--protect", ",".join(["ep"] * 9)),
                "the list is too long": ("--protect", "e" * 600),
                "protection 'ep' is of exponents, and int8 has none": ("--protect", "ep", "--dtype", "int8"),
                '"fp8" is not one of': ("--protect", "ep", "--dtype", "fp8"),
                "--dtype goes with --protect": ("--dtype", "fp16")}.items():
            self.error(words, "inspect", model, *args)
        (model / "model.safetensors").unlink()
        self.error("--protect needs weights", "inspect", model, "--protect", "ep", code=2)


if __name__ == "__main__":
    harness.main()
