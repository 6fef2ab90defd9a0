"""flipsweep-model vocab: its files, its texts, its errors."""
import json
import subprocess
import sys
import unittest

import harness

TEXT = "low\n" * 5 + "lower\n" * 2 + "newest\n" * 6 + "widest\n" * 3  # Sennrich et al. 2016


class Vocab(harness.Case):
    def setUp(self):
        super().setUp()
        self.text = self.dir / "text"
        self.text.write_text(TEXT)

    def model(self, *args, code=0, stdin=""):
        result = subprocess.run([harness.program("flipsweep-model"), *map(str, args)], input=stdin,
                                text=True, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, code, f"{args}\n{result.stdout}\n{result.stderr}")
        return result.stdout, result.stderr

    def error(self, text, *args):
        out, err = self.model("vocab", *args, code=2)
        self.assertEqual(out, "")
        self.assertIn(text, err)
        self.assertLessEqual(len(err.splitlines()), 2)

    def test_help(self):
        out, _ = self.model("--help")
        self.assertIn("  vocab", out)
        self.assertIn("  vocab", self.run_program("--help").stdout)
        out, _ = self.model("vocab", "--help")
        self.assertEqual(self.run_program("vocab", "--help").stdout, out)
        self.assertTrue(out.startswith("usage: flipsweep-model vocab [options] OUT\n"))
        self.assertLessEqual(max(map(len, out.splitlines())), 100)

    def test_bert(self):
        out, err = self.model("vocab", self.dir / "a/b", "--model", "bert", "--size", 26,
                              "--data", self.text)
        self.assertEqual(err, "")
        self.assertEqual(out, f"{self.dir}/a/b: 26 pieces from 16 words, 4 of them distinct, in "
                              f"{len(TEXT)} bytes\n")
        pieces = (self.dir / "a/b/vocab.txt").read_text().split("\n")
        self.assertEqual(pieces[:6], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "d"])
        self.assertEqual(pieces[-4:], ["##es", "##est", "lo", ""])
        settings = json.loads((self.dir / "a/b/tokenizer_config.json").read_text())
        self.assertIs(settings["do_lower_case"], True)
        out, _ = self.model("tokenize", "--json", self.dir / "a/b", stdin="LOW lowest\n")
        ids = [pieces.index(p) for p in ("[CLS]", "lo", "##w", "lo", "##w", "##est", "[SEP]")]
        self.assertEqual(json.loads(out), ids)

    def test_gpt2(self):
        args = ("--model", "gpt2", "--data", self.text, "--json")
        out, _ = self.model("vocab", self.dir / "g", "--size", 300, *args)
        # 256 bytes, the 12 merges of pairs that come twice, the end of text
        self.assertEqual(json.loads(out), {"folder": f"{self.dir}/g", "bytes": len(TEXT),
                                           "words": 32, "distinct_words": 5, "pieces": 269})
        merges = (self.dir / "g/merges.txt").read_text().splitlines()
        self.assertEqual(merges[:4], ["#version: 0.2", "e s", "es t", "l o"])
        vocab = json.loads((self.dir / "g/vocab.json").read_text())
        self.assertEqual(sorted(vocab.values()), list(range(269)))
        self.assertEqual((vocab["!"], vocab["\u0120"], vocab["es"]), (0, 220, 256))  # as GPT-2's
        self.assertEqual(vocab["<|endoftext|>"], 268)
        before = {p.name: p.read_bytes() for p in (self.dir / "g").iterdir()}
        self.model("vocab", self.dir / "g", "--size", 300, *args)
        self.assertEqual({p.name: p.read_bytes() for p in (self.dir / "g").iterdir()}, before)

    def test_a_text_with_little_in_it(self):
        out, _ = self.model("vocab", self.dir / "g", "--model", "gpt2", "--size", 300,
                            "--data", self.text)
        self.assertIn("give the model a vocabulary of 269.", out)

    def test_part_of_a_text(self):
        line = "some words of a line\n"
        self.text.write_text(line * 60000)
        out, _ = self.model("vocab", self.dir / "g", "--model", "gpt2", "--size", 300, "--megabytes",
                            1, "--data", self.text, "--json")
        self.assertEqual(json.loads(out)["bytes"], 1000000 // len(line) * len(line))

    def test_errors(self):
        out, good = self.dir / "out", ("--model", "bert", "--size", "100")
        self.error("missing argument: OUT", *good)
        self.error("--model is needed: bert or gpt2", out, "--size", "9", "--data", self.text)
        self.error("--size is needed", out, "--model", "bert", "--data", self.text)
        self.error("--data is needed", out, *good)
        self.error('--model: "t5" is not one of bert|gpt2', out, "--model", "t5")
        self.error("--size: 0 is below 1", out, "--size", "0")
        self.error("--size: 1048577 is above 1048576", out, "--size", "1048577")
        self.error("--megabytes: 0 is below 1", out, "--megabytes", "0")
        self.error("/none", out, *good, "--data", self.dir / "none")
        self.error("at least 23", out, "--model", "bert", "--size", "22", "--data", self.text)
        self.error("are 257", out, "--model", "gpt2", "--size", "256", "--data", self.text)
        self.text.write_bytes(b"good\nb\xe4d\n")
        self.error("text:2: not UTF-8 text", out, *good, "--data", self.text)
        self.text.write_bytes(b"")
        self.error("text: empty", out, *good, "--data", self.text)
        self.assertFalse(out.exists())

    def test_a_folder_that_cannot_be_written(self):
        out, err = self.model("vocab", self.text / "out", "--model", "bert", "--size", 100,
                              "--data", self.text, code=1)
        self.assertEqual(out, "")
        self.assertIn(f"{self.text}", err)


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
