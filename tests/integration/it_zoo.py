"""models/zoo is what its README says: its files, and how well each model does."""
import hashlib
import json
import re

import harness

ZOO = harness.TOP / "models" / "zoo"
BYTES_MAX = 25_000_000


def readme():
    return (ZOO / "README.md").read_text(encoding="utf-8")


def weights():
    """{model: sha256 of its weights} of the README's table."""
    return dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", readme(), re.M))


def quality():
    """{(model, data): (value, examples)} of the README's table, value as it is written."""
    row = re.compile(r"^\| `(\S+)` \| `?(\S+?)`? \| \w+ \| ([0-9.]+) \| (\d+) \|$", re.M)
    return {(model, data): (value, int(n)) for model, data, value, n in row.findall(readme())}


class Zoo(harness.Case):
    def evaluate(self, model, data, *extra):
        return self.json("eval", "--json", model, "--data", data, *extra)

    def check(self, model, data, path, *extra):
        value, examples = quality()[model, data]
        result = self.evaluate(model, path, *extra)
        digits = len(value.partition(".")[2])
        self.assertEqual((f"{result['value']:.{digits}f}", result["examples"]), (value, examples))

    def test_readme_lists_every_model_and_its_weights(self):
        folders = {p.name for p in ZOO.iterdir() if p.is_dir()}
        self.assertEqual(set(weights()), folders)
        self.assertEqual(len(folders), 4)
        for model, sha in weights().items():
            raw = (ZOO / model / "model.safetensors").read_bytes()
            self.assertEqual(hashlib.sha256(raw).hexdigest(), sha, model)
            self.assertLess(sum(p.stat().st_size for p in (ZOO / model).iterdir()), BYTES_MAX)

    def test_training_says_how_each_was_made(self):
        for model in weights():
            training = json.loads((ZOO / model / "training.json").read_text(encoding="utf-8"))
            self.assertEqual(training["state"], "complete", model)
            self.assertEqual("self-correction" in training["options"], model.endswith("-sc"), model)
            command = f"flipsweep {training['options']['verb']} {model} "
            self.assertIn(command, readme())

    def test_names_are_found_and_shipped_texts_give_the_numbers(self):
        for model, data in quality():
            if data in ("reviews", "articles"):
                self.check(model, data, data)

    @harness.needs_shared
    def test_real_data_give_the_numbers(self):
        for model in ("bert-mini-sst2", "bert-mini-sst2-sc"):
            self.check(model, "SST-2-dev", harness.SST2_DEV)
        self.assertGreaterEqual(float(quality()["bert-mini-sst2", "SST-2-dev"][0]), 0.82)
        for model in ("gpt2-mini-wiki", "gpt2-mini-wiki-sc"):
            self.check(model, "WikiText-test", harness.WIKI_TEST)


harness.main()
