"""`flipsweep fetch` when the server is good: what comes where, names, folders, archives."""
import hashlib
import io
import json
import os
import shutil
import subprocess
import zipfile

import harness
from fetch_case import FetchCase, sha256
from hub import Site, drop_after, redirect


class Good(FetchCase):
    def test_a_model_by_owner_and_name(self):
        got = self.fetch(self.NAME)
        self.assert_model()
        self.assertEqual((got["name"], got["kind"], got["already"], got["retries"]),
                         (self.NAME, "model", False, 0))
        self.assertEqual(got["path"], str(self.cache / self.NAME))
        self.assertEqual(got["source"], f"{self.site.url}/{self.NAME}")
        sums = {f["name"]: (f["bytes"], f["sha256"]) for f in got["files"]}
        for file in ("config.json", "model.safetensors", "vocab.txt"):
            raw = (self.model / file).read_bytes()
            self.assertEqual(sums[file], (len(raw), sha256(raw)))
        self.assertEqual(got["bytes_fetched"], sum(f["bytes"] for f in got["files"]))
        # It is there for every verb, by name; and a second fetch asks nobody.
        asked = len(self.site.requests)
        again = self.fetch(self.NAME)
        self.assertTrue(again["already"])
        self.assertEqual(again["files"], got["files"])
        self.assertEqual(len(self.site.requests), asked)
        env = self.environment()
        eval_ = self.json("eval", "--json", self.NAME, "--data", self.data, env=env)
        self.assertEqual(eval_["examples"], 40)
        self.assertEqual(self.json("inspect", "--json", self.NAME, env=env)["model_type"], "bert")

    def test_a_campaign_names_what_was_fetched(self):
        self.site.files["/data/rows.tsv"] = self.data.read_bytes()
        self.fetch(self.NAME)
        self.fetch(f"{self.site.url}/data/rows.tsv", server=False)
        path = self.campaign(f"""campaign: named
task: {{kind: classification, model: {self.NAME}, data: rows}}
sweep: [{{name: s, amount: {{count: 0}}, trials: 2}}]
""")
        env = self.environment()
        plan = self.json("plan", "--json", path, env=env)
        self.assertIsNotNone(plan["fingerprint"])
        self.run_program("run", path, "--out", self.dir / "out", "--no-report", env=env)
        tuned = self.dir / "tuned"
        self.run_program("finetune", tuned, "--from", self.NAME, "--data", "rows", "--steps", 1,
                         "--batch", 2, env=env)
        self.assertTrue((tuned / "model.safetensors").exists())
        self.assertIn("looked in", self.run_program("finetune", self.dir / "no", "--from", "nowhere",
                                                    "--data", "rows", code=2, env=env).stderr)
        missing = self.campaign("""campaign: named
task: {kind: classification, model: nowhere, data: rows}
sweep: [{name: s, amount: {count: 0}, trials: 2}]
""")
        error = self.run_program("plan", missing, code=2, env=env).stderr
        for place in (self.dir, harness.TOP / "models/zoo", self.cache):
            self.assertIn(str(place), error)
        self.assertIn("flipsweep fetch", error)

    def test_shards(self):
        folder = self.cut_into_shards()
        got = self.fetch(self.NAME)
        self.assertIn("model.safetensors.index.json", [f["name"] for f in got["files"]])
        self.assertEqual(sum(f["name"].startswith("part-") for f in got["files"]), 2)
        for file in folder.iterdir():
            self.assertEqual((self.cache / self.NAME / file.name).read_bytes(), file.read_bytes())
        self.fetch("own/other", code=2)
        # One sum cannot be of several files.
        shutil.rmtree(self.cache)
        self.assertIn("in several", self.fetch(self.NAME, "--sha256", "0" * 64, code=2))

    def cut_into_shards(self):
        """Replaces the weights by two files and their index."""
        raw = (self.model / "model.safetensors").read_bytes()
        size = int.from_bytes(raw[:8], "little")
        header, data = json.loads(raw[8:8 + size]), raw[8 + size:]
        header.pop("__metadata__", None)
        names, index = sorted(header), {}
        folder = self.dir / "shards"
        folder.mkdir()
        for shard in range(2):
            part, body = {}, b""
            for name in names[shard::2]:
                begin, end = header[name]["data_offsets"]
                part[name] = {**header[name], "data_offsets": [len(body), len(body) + end - begin]}
                body += data[begin:end]
                index[name] = f"part-{shard}.safetensors"
            text = json.dumps(part).encode()
            (folder / f"part-{shard}.safetensors").write_bytes(
                len(text).to_bytes(8, "little") + text + body)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
        del self.site.files[self.weights]
        for file in folder.iterdir():
            self.site.files[self.path(file.name)] = file.read_bytes()
        return folder

    def test_all_files_are_of_the_commit_that_the_server_names(self):
        commit = "0123456789abcdef0123456789abcdef01234567"
        self.offer(self.NAME, commit)
        self.site.headers[self.path("config.json")] = [("X-Repo-Commit", commit)]
        # The branch has moved on for the weights: they must not be taken from it.
        self.site.files[self.weights] = b"another commit's"
        got = self.fetch(self.NAME)
        self.assert_model()
        self.assertEqual(got["revision"], commit)
        self.assertEqual(self.site.asked(self.weights), [])

    def test_a_page_of_a_model_and_a_revision(self):
        self.offer("own/tiny", "v1.2")
        del self.site.files[self.path("config.json")]
        self.fetch(f"{self.site.url}/own/tiny/tree/v1.2", server=False)
        self.assert_model()

    def test_redirects_as_the_hub_does_them(self):
        """302 to another host, the sum and the size stated before, another ETag behind."""
        other = Site()
        self.addCleanup(other.close)
        raw = self.site.files[self.weights]
        other.files["/blob"] = raw
        other.misdeeds["/blob"] = [drop_after(1000), drop_after(20000)]
        stated = [("X-Linked-Etag", f'"{sha256(raw)}"'), ("X-Linked-Size", str(len(raw)))]
        self.site.misdeeds[self.weights] = [redirect(other.url + "/blob?sig=" + "x" * 3000, headers=stated)] * 9
        self.site.misdeeds[self.path("vocab.txt")] = [redirect(self.path("v", "own/new"), 307)]
        self.site.files[self.path("v", "own/new")] = self.site.files[self.path("vocab.txt")]
        got = self.fetch(self.NAME, HF_TOKEN="hf_secret-token")
        self.assert_model()
        self.assertEqual(got["retries"], 2)
        ranges = [h.get("Range") for h in other.asked("/blob")]
        self.assertEqual(ranges, [None, "bytes=1000-", "bytes=21000-"])
        self.assertEqual({h.get("If-Range") for h in other.asked("/blob")[1:]},
                         {f'"{hashlib.md5(raw).hexdigest()}"'})
        # The token went to the server, to a redirect on it, and to nobody else.
        self.assertTrue(all("Authorization" not in h for _, h in other.requests))
        self.assertTrue(all(h.get("Authorization") == "Bearer hf_secret-token"
                            for _, h in self.site.requests))
        self.assertNotIn("secret", self.messages)
        # What was stated before the redirect is checked behind it.
        shutil.rmtree(self.cache)
        other.files["/blob"] = raw[:-1] + b"?"
        self.site.misdeeds[self.weights] = [redirect(other.url + "/blob", headers=stated)] * 9
        error = self.fetch(self.NAME, code=1)
        self.assertIn(sha256(raw), error)
        self.assertIn(sha256(other.files["/blob"]), error)
        self.assert_absent()

    def test_other_hosts_state_nothing(self):
        """Only the server itself may say what a file is: a wrong sum from elsewhere is no error."""
        other = Site()
        self.addCleanup(other.close)
        other.files["/x/resolve/blob"] = self.site.files[self.weights]
        other.headers["/x/resolve/blob"] = [("X-Linked-Etag", '"%s"' % ("0" * 64)),
                                            ("X-Linked-Size", "5")]
        other.misdeeds["/x/resolve/blob"] = [lambda h: h.good(etag='"%s"' % ("1" * 64))]
        self.site.misdeeds[self.weights] = [redirect(other.url + "/x/resolve/blob")]
        self.fetch(self.NAME)
        self.assert_model()

    def test_data_by_url(self):
        rows = self.data.read_bytes()
        self.site.files["/datasets/own/set/resolve/main/rows.tsv"] = rows
        got = self.fetch(f"{self.site.url}/datasets/own/set/resolve/main/rows.tsv?download=true",
                         "--sha256", sha256(rows).upper(), server=False)
        self.assertEqual((got["kind"], got["name"]), ("data", "rows.tsv"))
        self.assertEqual((self.cache / "rows.tsv").read_bytes(), rows)
        self.assert_tidy()
        again = self.fetch(f"{self.site.url}/elsewhere/rows.tsv", server=False)
        self.assertTrue(again["already"])
        wrong = self.fetch(f"{self.site.url}/elsewhere/rows.tsv", "--sha256", "0" * 64, code=1,
                           server=False)
        self.assertIn(sha256(rows), wrong)
        env = self.environment()
        self.json("eval", "--json", self.model, "--data", "rows", env=env)

    def test_text_for_people(self):
        result = subprocess.run([harness.program(), "fetch", self.NAME, "--server", self.site.url],
                                capture_output=True, text=True, env=self.environment())
        self.assertEqual(result.stdout, f"{self.cache / self.NAME}\n")
        self.assertRegex(result.stderr, r"fetched, \d files, \d+\.\d MB, from http://127")
        self.assertIn(f"can name it: {self.NAME}", result.stderr)
        help_ = self.run_program("fetch", "--help").stdout
        for name in ("gpt2", "bert-base-uncased", "bert-base-uncased-sst2", "sst2", "wikitext-103"):
            self.assertIn(f"\n  {name}: ", help_)
        self.assertLessEqual(max(map(len, help_.splitlines())), 100)


class Archives(FetchCase):
    ROWS = {"sst2.tsv": b"sentence\tlabel\nfine . \t1\n" * 3,
            "sst2-train.tsv": b"sentence\tlabel\nso bad\t0\n" * 5000}

    def make(self, method=zipfile.ZIP_DEFLATED):
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", method) as archive:
            archive.writestr("SST-2/original/README.txt", "not wanted")
            archive.writestr("SST-2/train.tsv", self.ROWS["sst2-train.tsv"])
            archive.writestr("SST-2/dev.tsv", self.ROWS["sst2.tsv"])
        self.site.files["/glue/data/SST-2.zip"] = raw.getvalue()
        return raw.getvalue()

    def assert_rows(self):
        for name, rows in self.ROWS.items():
            self.assertEqual((self.cache / name).read_bytes(), rows)
        self.assert_tidy()

    def test_a_data_set_from_an_archive(self):
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            raw = self.make(method)
            self.site.misdeeds["/glue/data/SST-2.zip"] = [drop_after(len(raw) // 2)]
            got = self.fetch("sst2", "--sha256", sha256(raw))
            self.assertEqual((got["name"], got["kind"], got["revision"]), ("sst2", "data", sha256(raw)))
            self.assertEqual([f["name"] for f in got["files"]], ["sst2.tsv", "sst2-train.tsv"])
            self.assertEqual(got["path"], str(self.cache / "sst2.tsv"))
            self.assert_rows()
            self.assertTrue(self.fetch("sst2")["already"])
            self.fetch("sst2", "--sha256", "0" * 64, code=1)
            shutil.rmtree(self.cache)

    def test_what_is_known_of_a_name_is_checked(self):
        raw = self.make()
        error = self.fetch("sst2", code=1)
        self.assertIn(sha256(raw), error)
        self.assertIn("d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa", error)
        self.assertEqual(list(self.cache.glob("*.tsv")), [])
        self.offer("openai-community/gpt2")
        self.site.files[self.path("config.json", "openai-community/gpt2")] = \
            b'{"model_type": "gpt2"}'
        for file in ("vocab.json", "merges.txt"):
            self.site.files[self.path(file, "openai-community/gpt2")] = b"{}"
        error = self.fetch("gpt2", code=1)
        self.assertIn("196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783", error)
        self.assert_absent("gpt2")

    def test_bad_archives(self):
        good = self.make()
        cut = good.replace(b"SST-2/dev.tsv", b"SST-2/xxx.tsv")
        for name, raw, words in (("a member lacks", cut, "no member SST-2/dev.tsv"),
                                 ("no archive", b"hello", "no zip archive"),
                                 ("cut", good[:-30], "no zip archive"),
                                 ("empty", b"", "no zip archive")):
            with self.subTest(name):
                self.site.files["/glue/data/SST-2.zip"] = raw
                self.assertIn(words, self.fetch("sst2", "--sha256", sha256(raw), code=2))
                self.assertEqual(list(self.cache.glob("*.tsv")), [])

    def test_killed_while_data_takes_its_names(self):
        """The record is written, one file has its name, the other not: the same command ends it."""
        raw = self.make()
        self.fetch("sst2", "--sha256", sha256(raw))
        (self.cache / "sst2-train.tsv").unlink()
        got = self.fetch("sst2", "--sha256", sha256(raw))
        self.assertFalse(got["already"])
        self.assert_rows()


class FromFolder(FetchCase):
    def test_the_forms_of_a_folder(self):
        mirror = self.dir / "mirror" / "own" / "tiny" / "resolve" / "main"
        flat = self.dir / "flat" / "own" / "tiny"
        for folder in (mirror, flat):
            folder.parent.mkdir(parents=True)
            shutil.copytree(self.model, folder)
        for folder in (self.model, self.dir / "mirror", self.dir / "flat"):
            with self.subTest(folder):
                got = self.fetch(self.NAME, "--from", folder, server=False)
                self.assert_model()
                self.assertEqual(self.site.requests, [])
                self.assertIn(str(folder), got["source"])
                shutil.rmtree(self.cache)
        error = self.fetch("own/else", "--from", self.dir / "flat", code=2, server=False)
        self.assertIn("holds no model own/else", error)
        self.assertIn("no folder", self.fetch(self.NAME, "--from", "/none", code=2, server=False))

    def test_another_cache(self):
        rows = self.data.read_bytes()
        self.site.files["/rows.tsv"] = rows
        first = self.fetch(self.NAME)
        self.fetch(f"{self.site.url}/rows.tsv", server=False)
        other, self.cache = self.cache, self.dir / "second"
        got = self.fetch(self.NAME, "--from", other, server=False)
        self.assertEqual((got["source"], got["files"]), (first["source"], first["files"]))
        self.assert_model()
        self.fetch("rows.tsv", "--from", other, server=False)
        self.assertEqual((self.cache / "rows.tsv").read_bytes(), rows)
        # A file of the other cache that is not what its record says is not taken.
        shutil.rmtree(self.cache)
        weights = other / self.NAME / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
        (other / "rows.tsv").write_bytes(rows + b"more\t1\n")
        error = self.fetch(self.NAME, "--from", other, code=1, server=False)
        self.assertIn("the sha256 is", error)
        self.assert_absent()
        self.fetch("rows.tsv", "--from", other, code=1, server=False)
        self.assertFalse((self.cache / "rows.tsv").exists())

    def test_checks_are_the_same(self):
        raw = (self.model / "model.safetensors").read_bytes()
        error = self.fetch(self.NAME, "--from", self.model, "--sha256", "0" * 64, code=1,
                           server=False)
        self.assertIn(sha256(raw), error)
        self.assert_absent()
        self.fetch(self.NAME, "--from", self.model, "--sha256", sha256(raw), server=False)
        shutil.rmtree(self.cache)
        for change, words, code in ((lambda: (self.model / "model.safetensors").write_bytes(raw[:-9]),
                                     "model.safetensors", 2),
                                    (lambda: (self.model / "vocab.txt").write_bytes(b""), "vocab.txt", 2),
                                    (lambda: (self.model / "vocab.txt").unlink(), "no vocab.txt", 2)):
            change()
            self.assertIn(words, self.fetch(self.NAME, "--from", self.model, code=code, server=False))
            self.assert_absent()
        os.mkfifo(self.model / "vocab.txt")
        self.assertIn("regular file", self.fetch(self.NAME, "--from", self.model, code=2, server=False))

    def test_records_from_elsewhere_lead_nowhere(self):
        """A record in a folder that somebody brought names no file outside it."""
        self.fetch(self.NAME)
        other, self.cache = self.cache, self.dir / "second"
        record = other / self.NAME / "fetch.json"
        good = record.read_text()
        for bad in ("../../secret", "/etc/passwd", ".hidden", ""):
            record.write_text(good.replace('"config.json"', json.dumps(bad)))
            self.assertIn("fetch.json", self.fetch(self.NAME, "--from", other, code=2, server=False))
        self.assert_absent()

    def test_archives(self):
        raw = Archives.make(self)
        folder = self.dir / "zips"
        folder.mkdir()
        (folder / "SST-2.zip").write_bytes(raw)
        self.fetch("sst2", "--from", folder, "--sha256", sha256(raw), server=False)
        Archives.assert_rows(self)
        self.assertIn("d67e16fb", self.fetch("sst2", "--cache", self.dir / "c", "--from", folder,
                                             code=1, server=False))
        other, self.cache = self.cache, self.dir / "third"
        self.fetch("sst2", "--from", other, server=False)
        Archives.assert_rows(self)

    ROWS = Archives.ROWS


if __name__ == "__main__":
    harness.main()
