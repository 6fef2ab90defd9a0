"""experiments/data is what its README says, and what the readers of sentences and texts accept."""
import collections
import hashlib
import json
import re
import subprocess
import unicodedata

import harness

DATA = harness.TOP / "experiments" / "data"


def words_of(text):
    return re.findall(r"[\w']+", text.casefold())


def readme_rows():
    """{file: (count, words, bytes, sha256)} of the README's first table."""
    row = re.compile(r"^\| `(\S+)` \| (\d+) \w+ \| (\d+) \| (\d+) \| `([0-9a-f]{64})` \|$", re.M)
    found = row.findall((DATA / "README.md").read_text(encoding="utf-8"))
    return {name: (int(count), int(words), int(size), sha) for name, count, words, size, sha in found}


class ShippedData(harness.Case):
    def text(self, name):
        """The file's text, after what every shipped text must be."""
        raw = (DATA / name).read_bytes()
        text = raw.decode("utf-8", errors="strict")
        self.assertEqual(text, unicodedata.normalize("NFC", text))
        strange = {c for c in text if unicodedata.category(c).startswith("C")} - {"\n", "\t"}
        self.assertEqual(strange, set())
        self.assertTrue(text.endswith("\n") and not text.endswith("\n\n"))
        for line in text.split("\n"):
            self.assertEqual(line, line.strip())
            self.assertNotIn("  ", line)
        _, _, size, sha = readme_rows()[name]
        self.assertEqual((len(raw), hashlib.sha256(raw).hexdigest()), (size, sha))
        return text

    def reviews(self):
        header, *lines = self.text("reviews.tsv").rstrip("\n").split("\n")
        self.assertEqual(header, "sentence\tlabel")
        rows = []
        for line in lines:
            self.assertRegex(line, r"^[^\t]+\t[01]$")
            rows.append((line[:-2], int(line[-1])))
        return rows

    def test_readme_lists_every_text(self):
        texts = {p.name for p in DATA.iterdir() if p.suffix in (".tsv", ".txt")} - {"CC0-1.0.txt"}
        self.assertEqual(set(readme_rows()), texts)

    def test_reviews_have_their_shape(self):
        rows = self.reviews()
        count, words, _, _ = readme_rows()["reviews.tsv"]
        lengths = [len(sentence.split()) for sentence, _ in rows]
        self.assertEqual((len(rows), sum(lengths)), (count, words))
        self.assertGreaterEqual(len(rows), 640)
        self.assertGreaterEqual(min(lengths), 3)
        self.assertLessEqual(max(lengths), 45)
        self.assertNotIn('"', "".join(sentence for sentence, _ in rows))

    def test_every_block_of_reviews_is_balanced(self):
        rows = self.reviews()
        self.assertEqual(len(rows) % 20, 0)
        for first in range(0, len(rows), 20):
            labels = [label for _, label in rows[first:first + 20]]
            self.assertEqual(sum(labels), 10, f"lines {first + 2} to {first + 21}")

    def test_the_order_of_reviews_is_the_one_documented(self):
        rows = self.reviews()
        key = lambda row: hashlib.sha256(row[0].encode()).digest()
        sides = [sorted((r for r in rows if r[1] == label), key=key) for label in (0, 1)]
        expected = []
        for first in range(0, len(sides[0]), 10):
            expected += sorted(sides[0][first:first + 10] + sides[1][first:first + 10], key=key)
        self.assertEqual(rows, expected)

    def test_no_review_repeats_another(self):
        rows = self.reviews()
        seen = collections.defaultdict(set)
        for index, (sentence, _) in enumerate(rows):
            words = words_of(sentence)
            # Short sentences count whole; of longer ones every six words in a row.
            for start in range(max(1, len(words) - 5)):
                seen[tuple(words[start:start + 6])].add(index)
        shared = {" ".join(run): [rows[i][0] for i in where] for run, where in seen.items() if len(where) > 1}
        self.assertEqual(shared, {})

    def test_articles_have_their_shape(self):
        text = self.text("articles.txt")
        count, words, _, _ = readme_rows()["articles.txt"]
        self.assertNotIn("\t", text)
        self.assertNotIn("\n\n\n\n", text)
        articles = text.rstrip("\n").split("\n\n\n")
        self.assertEqual((len(articles), len(text.split())), (count, words))
        self.assertGreaterEqual(words, 8500)
        titles = set()
        for article in articles:
            title, body = article.split("\n\n")
            self.assertRegex(title, r"^[A-Z][^\n.]{2,40}$")
            self.assertGreaterEqual(len(body.split()), 300, title)
            for paragraph in body.split("\n"):
                self.assertRegex(paragraph, r"^[A-Z].*\.$", title)
            titles.add(title.casefold())
        self.assertEqual(len(titles), count)

    def test_no_article_repeats_a_sentence(self):
        sentences = re.split(r"(?<=[.:;])\s+", self.text("articles.txt"))
        again = [s for s, n in collections.Counter(map(str.casefold, sentences)).items() if n > 1]
        self.assertEqual(again, [])

    def evaluate(self, model, task, name, *args):
        out = subprocess.run([harness.program("flipsweep-model"), "eval", "--json", str(model), "--task", task,
                              "--data", str(DATA / name), *args], check=True, capture_output=True, timeout=240)
        return json.loads(out.stdout)

    def test_the_engine_reads_all_reviews(self):
        model, _ = self.tiny()
        result = self.evaluate(model, "classification", "reviews.tsv")
        self.assertEqual(result["examples"], readme_rows()["reviews.tsv"][0])

    def test_the_engine_reads_the_articles(self):
        model, _ = self.tiny(kind="gpt2")
        result = self.evaluate(model, "language-model", "articles.txt")
        # A byte-level vocabulary spells out every word: at least one token a word, at most one a byte.
        _, words, size, _ = readme_rows()["articles.txt"]
        self.assertEqual(result["words"], words)
        self.assertGreaterEqual(result["tokens"], words)
        self.assertLessEqual(result["tokens"], size)


if __name__ == "__main__":
    harness.main()
