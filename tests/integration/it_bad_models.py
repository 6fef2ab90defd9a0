"""Broken model folders and data files end with a clear error, a documented exit code, no crash."""
import json
import shutil
import struct

import harness


def header_of(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:8 + size]), raw[8 + size:]


def write(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class BadModels(harness.Case):
    def setUp(self):
        super().setUp()
        self.model, self.data = self.tiny()
        self.weights = self.model / "model.safetensors"
        self.header, self.body = header_of(self.weights)

    def refused(self, *words, model=None, data=None):
        result = self.run_program("eval", model or self.model, "--task", "classification", "--data",
                                  data or self.data, code=2)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual(result.stdout, "")

    def broken(self, value):
        """The model with a value in a query weight, a campaign of it and what is said of a run."""
        name = next(n for n in self.header if n.endswith("query.weight"))
        self.assertEqual(self.header[name]["dtype"], "F32")
        at = self.header[name]["data_offsets"][0]
        data = self.body[:at] + struct.pack("<f", value) + self.body[at + 4:]
        write(self.weights, self.header, data)
        path = self.campaign(f"""campaign: broken
seed: 1
task: {{kind: classification, model: {self.model}, data: {self.data}, examples: 8}}
arms:
  - {{name: whole}}
  - {{name: half, dtype: fp16}}
sweep:
  - {{name: one, site: {{parameters: all}}, amount: {{count: 1}}, trials: 2}}
""")
        out = self.dir / "out"
        shutil.rmtree(out, ignore_errors=True)
        said = self.run_program("run", path, "--out", out).stderr
        arms = self.json("status", "--json", out)["arms"]
        return out, said, {a["arm"]: a["golden_finite"] for a in arms}

    def test_fault_free_without_an_answer(self):
        words = "its fault-free run has no finite answer"
        for name, value, finite in [("NaN", float("nan"), {"whole": False, "half": False}),
                                    ("beyond fp16", 1e6, {"whole": True, "half": False}),
                                    ("a number", 0.5, {"whole": True, "half": True})]:
            with self.subTest(name):
                out, said, found = self.broken(value)
                text = self.run_program("status", out).stdout
                self.assertEqual(found, finite)
                for arm in finite:
                    self.assertEqual(f"arm {arm}, in " in said and words in said, not finite[arm])
                    self.assertEqual(f"WARNING: arm {arm}" in text, not finite[arm])

    def test_safetensors(self):
        good = self.weights.read_bytes()
        names = [n for n in self.header if n != "__metadata__"]
        first = names[0]

        def changed(name, **fields):
            return {n: ({**v, **fields} if n == name else v) for n, v in self.header.items()}

        cases = [
            ("no length", good[:5]),
            ("length beyond the file", struct.pack("<Q", 1 << 40) + good[8:]),
            ("length beyond the limit", struct.pack("<Q", 200_000_000) + good[8:]),
            ("length 2^64-1", b"\xff" * 8 + good[8:]),
            ("truncated data", good[:-7]),
            ("trailing data", good + b"x"),
            ("empty", b""),
            ("no JSON", struct.pack("<Q", 4) + b"{{{{" + self.body),
        ]
        for name, raw in cases:
            with self.subTest(name):
                self.weights.write_bytes(raw)
                self.refused("model.safetensors")
        begin, end = self.header[first]["data_offsets"]
        for name, header in [
                ("backward offsets", changed(first, data_offsets=[end, begin])),
                ("offsets beyond the data", changed(first, data_offsets=[begin, 1 << 50])),
                ("negative offset", changed(first, data_offsets=[-4, end])),
                ("shape overflow", changed(first, shape=[1 << 40, 1 << 40])),
                ("shape and size disagree", changed(first, shape=[3, 3])),
                ("unknown dtype", changed(first, dtype="F31")),
                ("text for a shape", changed(first, shape="big")),
                ("no shape", {**self.header, first: {"dtype": "F32", "data_offsets": [begin, end]}}),
                ("a list", [])]:
            with self.subTest(name):
                write(self.weights, header, self.body)
                self.refused("model.safetensors")

    def test_wrong_tensors(self):
        names = [n for n in self.header if n.endswith("output.dense.weight")]
        victim = names[0]
        transposed = dict(self.header)
        transposed[victim] = {**transposed[victim], "shape": transposed[victim]["shape"][::-1]}
        if transposed[victim]["shape"] != self.header[victim]["shape"]:
            write(self.weights, transposed, self.body)
            self.refused(victim.split("bert.")[-1])
        renamed = {("other" if n == victim else n): v for n, v in self.header.items()}
        write(self.weights, renamed, self.body)
        self.refused(victim.split("bert.")[-1], str(self.model))
        as_ints = dict(self.header)
        as_ints[victim] = {**as_ints[victim], "dtype": "I32"}
        write(self.weights, as_ints, self.body)
        self.refused(victim.split("bert.")[-1])

    def test_config(self):
        good = json.loads((self.model / "config.json").read_text())
        cases = [({**good, "hidden_size": "wide"}, "hidden_size"), ({**good, "hidden_size": -8}, "hidden_size"),
                 ({**good, "num_attention_heads": 5}, "heads"), ({**good, "hidden_act": "swish"}, "hidden_act"),
                 ({**good, "model_type": "llama"}, "llama"), ({**good, "vocab_size": 10 ** 12}, "vocab_size"),
                 ({k: v for k, v in good.items() if k != "vocab_size"}, "vocab_size"),
                 ({**good, "num_hidden_layers": 0}, "num_hidden_layers")]
        for config, word in cases:
            with self.subTest(word):
                (self.model / "config.json").write_text(json.dumps(config))
                self.refused("config.json", word)
        for raw in (b"", b"[]", b"{", b"\xff\xfe", b'{"model_type": "bert"'):
            (self.model / "config.json").write_bytes(raw)
            self.refused("config.json")
        (self.model / "config.json").unlink()
        self.refused("config.json")

    def test_data(self):
        bad = self.dir / "bad.tsv"
        for raw, words in [
                (b"", ["bad.tsv"]), (b"sentence\tlabel\n", ["bad.tsv"]),
                (b"sentence\tlabel\nno tab here\n", ["bad.tsv:2"]),
                (b"sentence\tlabel\ngood\t1\nbad\tx\n", ["bad.tsv:3"]),
                (b"sentence\tlabel\nbad\t7\n", ["bad.tsv:2"]),
                (b"sentence\tlabel\nbad\t-1\n", ["bad.tsv:2"]),
                (b"sentence\tlabel\n\xff\xfe\t1\n", ["bad.tsv:2"]),
                (b"sentence\tlabel\na\x00b\t1\n", ["bad.tsv:2"])]:
            with self.subTest(raw[:40]):
                bad.write_bytes(raw)
                self.refused(*words, data=bad)
        self.refused("absent.tsv", data=self.dir / "absent.tsv")
        self.refused("directory", data=self.dir)

    def test_campaign_over_a_broken_model(self):
        self.weights.write_bytes(self.weights.read_bytes()[:-7])
        path = self.campaign(f"""campaign: broken
task: {{kind: classification, model: {self.model}, data: {self.data}}}
sweep:
  - {{name: one, site: {{parameters: all}}, amount: {{count: 1}}, trials: 5}}
""")
        result = self.run_program("run", path, "--out", self.dir / "out", code=None, timeout=60)
        self.assertIn(result.returncode, (1, 2))
        self.assertIn("model.safetensors", result.stderr)


if __name__ == "__main__":
    harness.main()
