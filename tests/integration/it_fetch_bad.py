"""`flipsweep fetch` when servers, networks, disks and signals do everything wrong.

Whatever happens, a name in the cache is a whole and right model or file, or it is not there.
"""
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import unittest

import harness
from fetch_case import FetchCase, sha256
from hub import (Site, answer, chunked, drop_after, lie, redirect, silent, slowly, without_length,
                 wrong_bytes)


class Bad(FetchCase):
    def weights_misbehave(self, *misdeeds):
        self.site.misdeeds[self.weights] = list(misdeeds)

    def test_dropped_connections_are_taken_up(self):
        raw = self.site.files[self.weights]
        self.weights_misbehave(*[drop_after(9000)] * 8)
        got = self.fetch(self.NAME)
        self.assert_model()
        self.assertEqual(got["retries"], 8) # each brought more, so the limit of 6 does not count
        self.assertEqual([h.get("Range") for h in self.site.asked(self.weights)],
                         [None] + [f"bytes={9000 * i}-" for i in range(1, 9)])
        self.assertEqual(got["bytes_fetched"], sum(f["bytes"] for f in got["files"]))
        self.assertGreater(len(raw), 9 * 9000)

    def test_a_server_that_ignores_ranges(self):
        self.weights_misbehave(drop_after(9000), lambda h: h.good(ranges=False))
        self.fetch(self.NAME)
        self.assert_model()

    def test_a_server_that_ignores_ranges_and_always_drops_is_given_up(self):
        self.weights_misbehave(*[drop_after(9000, ranges=False)] * 99)
        error = self.fetch(self.NAME, code=1)
        self.assertIn("given up after 6 connections", error)
        self.assert_absent()
        self.weights_misbehave()
        self.fetch(self.NAME)
        self.assert_model()

    def test_the_file_changes_between_two_connections(self):
        """An ETag that If-Range does not match, and one that the server forgets to compare."""
        old = b"x" * len(self.site.files[self.weights])
        new = self.site.files[self.weights]

        def careless(handler):
            handler.headers["If-Range"] = '"new"'
            handler.good(etag='"new"')

        for second in (lambda h: h.good(etag='"new"'), careless):
            def change(handler, second=second):
                self.site.files[self.weights] = new
                second(handler)

            self.site.files[self.weights] = old
            self.weights_misbehave(drop_after(9000, etag='"old"'), change,
                                   lambda h: h.good(etag='"new"'))
            self.fetch(self.NAME)
            self.assert_model()
            shutil.rmtree(self.cache)

    def test_parts_that_do_not_fit(self):
        raw = self.site.files[self.weights]
        etag = f'"{hashlib.md5(raw).hexdigest()}"'

        def part(content_range, body=raw):
            def send(handler):
                headers = [("ETag", etag)]
                handler.plain(206, body[9000:], headers + ([("Content-Range", content_range)]
                                                           if content_range else []))
            return send

        total = len(raw)
        for bad in (f"bytes 0-{total - 1}/{total}", f"bytes 9000-{total - 1}/{total + 1}",
                    f"bytes 9001-{total - 1}/{total}", "bytes 9000-8000/17", "bytes x-y/z", "", None):
            with self.subTest(bad):
                self.weights_misbehave(drop_after(9000), part(bad))
                if bad is not None and bad.startswith("bytes 9") and "8000" not in bad:
                    self.fetch(self.NAME)
                    self.assert_model()
                elif bad is not None and bad.startswith("bytes 0"):
                    self.fetch(self.NAME)
                    self.assert_model()
                else:
                    self.assertIn("does not say which", self.fetch(self.NAME, code=1))
                    self.assert_absent()
                shutil.rmtree(self.cache)

    def test_lies_about_the_length(self):
        real = len(self.site.files[self.weights])
        # Too long: the rest never comes.
        self.weights_misbehave(*[lie(real + 5000)] * 99)
        error = self.fetch(self.NAME, code=1)
        self.assertIn("given up", error)
        self.assert_absent()
        # Too short: what came is no model.
        shutil.rmtree(self.cache)
        self.weights_misbehave(lie(real - 5000))
        self.assertIn("model.safetensors", self.fetch(self.NAME, code=2))
        self.assert_absent()
        # Too short, and the server itself had stated the size.
        self.site.headers[self.weights] = [("X-Linked-Size", str(real))]
        self.weights_misbehave(*[lie(real - 5000)] * 99)
        self.assertIn(f"a size of {real} bytes and then one of {real - 5000}",
                      self.fetch(self.NAME, code=1))
        self.assert_absent()
        # Once only: the next try is right.
        self.weights_misbehave(lie(real + 5000), lie(real - 5000))
        self.fetch(self.NAME)
        self.assert_model()

    def test_absurd_lengths(self):
        for length in (10 ** 15, 10 ** 30):
            self.weights_misbehave(*[lie(length)] * 9)
            self.fetch(self.NAME, code=2)
            self.assert_absent()
        self.site.misdeeds[self.path("config.json")] = [lie(10 ** 9)]
        self.assertIn("at most 67108864 are taken", self.fetch(self.NAME, code=2))

    def test_wrong_bytes(self):
        raw = self.site.files[self.weights]
        wrong = sha256(b"?" * len(raw))
        # Without a sum the form of the file tells.
        self.weights_misbehave(wrong_bytes)
        self.assertIn("model.safetensors", self.fetch(self.NAME, code=2))
        self.assert_absent()
        # By the header of large files, by the ETag, by the user.
        etag = f'"{sha256(raw)}"'

        def by_etag(handler):
            handler.good(etag=etag, wire=lambda body: handler.wfile.write(b"?" * len(body)))

        for misdeed, headers, args in (
                (wrong_bytes, [("X-Linked-Etag", etag)], []), (by_etag, [], []),
                (wrong_bytes, [], ["--sha256", sha256(raw)])):
            self.site.headers[self.weights] = headers
            self.weights_misbehave(misdeed)
            error = self.fetch(self.NAME, *args, code=1)
            self.assertIn(wrong, error)
            self.assertIn(sha256(raw), error)
            self.assert_absent()
            self.assertEqual(list(self.cache.rglob("model.safetensors*")), [], "it is removed")
            self.fetch(self.NAME, *args)
            self.assert_model()
            shutil.rmtree(self.cache)

    def test_wrong_bytes_in_one_of_two_pieces(self):
        raw = self.site.files[self.weights]
        self.site.headers[self.weights] = [("X-Linked-Etag", f'"{sha256(raw)}"')]
        self.weights_misbehave(drop_after(9000), wrong_bytes)
        self.fetch(self.NAME)
        self.assert_model()
        self.assertIn("fetching all of it again", self.messages)

    def test_errors_that_pass(self):
        self.weights_misbehave(answer(500), answer(503, [("Retry-After", "1")]), answer(429),
                               drop_after(9000), answer(502), answer(504))
        begun = time.time()
        got = self.fetch(self.NAME)
        self.assert_model()
        self.assertEqual(got["retries"], 6)
        self.assertGreater(time.time() - begun, 1, "Retry-After is heeded")

    def test_errors_that_stay(self):
        self.weights_misbehave(*[answer(503)] * 99)
        error = self.fetch(self.NAME, code=1)
        self.assertIn("HTTP 503", error)
        self.assertEqual(len(self.site.asked(self.weights)), 6)
        self.assert_absent()
        self.weights_misbehave(answer(418))
        self.assertIn("HTTP 418", self.fetch(self.NAME, code=1))
        self.assertEqual(len(self.site.asked(self.weights)), 7)

    def test_what_is_not_there(self):
        error = self.fetch("own/none", code=2)
        self.assertIn(f"{self.site.url} has no model own/none", error)
        del self.site.files[self.path("vocab.txt")]
        self.assertIn("own/tiny has no vocab.txt", self.fetch(self.NAME, code=2))
        self.offer(self.NAME)
        self.site.files[self.path("pytorch_model.bin")] = self.site.files.pop(self.weights)
        error = self.fetch(self.NAME, code=2)
        self.assertIn("own/tiny has no weights as safetensors", error)
        self.assertIn("pytorch_model.bin is not read", error)
        self.site.files[self.path("config.json")] = b'{"model_type": "llama"}'
        self.assertIn("llama", self.fetch(self.NAME, code=2))
        for raw in (b"", b"[]", b"<html>", b'{"model_type": 5}'):
            self.site.files[self.path("config.json")] = raw
            self.assertIn("config.json", self.fetch(self.NAME, code=2))
        self.assert_absent()

    def test_tokens(self):
        self.site.misdeeds[self.path("config.json")] = [answer(401), answer(403)]
        error = self.fetch(self.NAME, code=4)
        self.assertIn("HTTP 401", error)
        self.assertIn("HF_TOKEN", error)
        error = self.fetch(self.NAME, code=4, HF_TOKEN="hf_very-secret")
        self.assertIn("HTTP 403", error)
        self.assertNotIn("secret", error)
        for bad in ("two words", "line\nX-Evil: 1", "\x01", "é", "x" * 600):
            self.assertNotIn(bad, self.fetch(self.NAME, code=2, HF_TOKEN=bad))
        self.fetch(self.NAME, HF_TOKEN="")
        self.assert_model()
        # Whoever serves a file by its URL is not the hub.
        self.site.files["/x.tsv"] = b"h\n"
        self.fetch(f"{self.site.url}/x.tsv", server=False, HF_TOKEN="hf_very-secret")
        self.assertNotIn("Authorization", self.site.asked("/x.tsv")[0])

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl to make a certificate")
    def test_certificates_are_checked(self):
        """A certificate that nobody vouches for ends it, at once and before anything is asked."""
        key, certificate = self.dir / "key.pem", self.dir / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                        "/CN=localhost", "-days", "2", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        site = Site(context)
        self.addCleanup(site.close)
        site.files.update(self.site.files)
        error = self.fetch(self.NAME, "--server", site.url, code=1, server=False, HF_TOKEN="hf_x")
        self.assertIn("certificate", error)
        self.assertNotIn("trying again", error)
        self.assertEqual(site.requests, [])
        self.assert_absent()

    def test_redirects(self):
        config = self.path("config.json")
        self.site.misdeeds[config] = [redirect(config)] * 99
        self.assertIn("more than 8 redirects", self.fetch(self.NAME, code=1))
        self.assertEqual(len(self.site.asked(config)), 9)
        for target, words in (("http://192.0.2.1/x", "not encrypted"), ("file:///etc/passwd", "redirect"),
                              ("ftp://127.0.0.1/x", "redirect"), ("", "redirect"),
                              ("http://user:password@127.0.0.1/", "redirect")):
            self.site.misdeeds[config] = [redirect(target)]
            error = self.fetch(self.NAME, code=1)
            self.assertIn(words, error)
            self.assertNotIn("password@", error)
        self.assert_absent()

    def test_a_silent_server_is_left(self):
        self.weights_misbehave(silent)
        begun = time.time()
        got = self.fetch(self.NAME, "--timeout", 1)
        self.assertEqual(got["retries"], 1)
        self.assertLess(time.time() - begun, 15)
        self.assert_model()

    def test_a_slow_server_is_borne(self):
        size = len(self.site.files[self.weights])
        self.weights_misbehave(slowly(size // 3))
        self.assertEqual(self.fetch(self.NAME, "--timeout", 1)["retries"], 0)
        self.assert_model()

    def test_no_length(self):
        self.weights_misbehave(without_length)
        self.assertIn("half a file would look like a whole one", self.fetch(self.NAME, code=2))
        self.assert_absent()
        self.weights_misbehave(without_length)
        self.fetch(self.NAME, "--sha256", sha256(self.site.files[self.weights]))
        self.assert_model()
        shutil.rmtree(self.cache)
        self.weights_misbehave(lambda h: chunked(h, whole=False), chunked)
        self.assertEqual(self.fetch(self.NAME)["retries"], 1)
        self.assert_model()

    def test_web_pages_and_compression(self):
        url = f"{self.site.url}/x/page.txt"
        self.site.files["/x/page.txt"] = b"<html>"
        self.site.headers["/x/page.txt"] = [("Content-Type", "text/html; charset=utf-8")]
        self.assertIn("a web page", self.fetch(url, code=2, server=False))
        self.site.headers["/x/page.txt"] = [("Content-Encoding", "gzip")]
        self.assertIn("compresses", self.fetch(url, code=1, server=False))
        self.assertEqual(list(self.cache.glob("*.txt")), [])

    def test_floods_of_headers(self):
        flood = [(f"X-{i}", "y" * 1000) for i in range(400)]
        self.site.misdeeds[self.path("config.json")] = [lambda h: h.good(extra=flood)]
        self.assertIn("headers", self.fetch(self.NAME, code=1))
        self.assert_absent()

    def test_nobody_answers(self):
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        error = self.fetch(self.NAME, "--server", url, code=1, server=False)
        self.assertIn("given up after 6 connections", error)
        self.assertIn("--from", error)
        free.close()
        self.assert_absent()

    def test_what_is_no_http(self):
        def garbage(handler):
            handler.wfile.write(b"\xff\x00 garbage\r\n" * 100)
            handler.hang_up()
        self.weights_misbehave(garbage)
        self.assertIn("HTTP/0.9", self.fetch(self.NAME, code=1))
        self.assert_absent()
        self.fetch(self.NAME)
        self.assert_model()

    def test_usage(self):
        for args, words in ((("../etc",), "neither NAME"), (("a/b/c",), "neither NAME"), (("",), "neither NAME"),
                            (("a b",), "neither NAME"), (("x.part",), "cache's own"),
                            (("http://192.0.2.1/a/b",), "not encrypted"),
                            (("http://user:pw@127.0.0.1/a/b",), "password"),
                            (("ftp://127.0.0.1/a/b",), "URL"), (("https://h/a/..%2f..",), "neither NAME"), (("https://h/a/b/..%2f..",), "plain file name"),
                            (("rows.tsv",), "--from DIR"),
                            (("a/b", "--sha256", "12"), "64 hexadecimal"),
                            (("a/b", "--server", "huggingface.co"), "--server"),
                            (("a/b", "--server", "http://h/?q"), "--server"),
                            (("a/b", "--server", "http://h", "--from", "."), "not both"), ((), "NAME|URL")):
            with self.subTest(args):
                error = self.fetch(*args, code=2, server=False)
                self.assertIn(words, error)
                self.assertNotIn(":pw@", error)

    def test_http_needs_a_reason(self):
        """http is for this machine, or for a server that was named."""
        url = "http://a-name-that-does-not-resolve.invalid"
        self.assertIn("not encrypted", self.fetch(url + "/own/tiny", code=2, server=False))
        error = self.fetch(self.NAME, "--server", url, code=1, server=False)
        self.assertIn("resolve", error)


class Interrupted(FetchCase):
    def setUp(self):
        super().setUp()
        self.big = os.urandom(4 << 20)
        self.site.files["/x/big.txt"] = self.big
        self.url = f"{self.site.url}/x/big.txt"

    def start_fetch(self, *args):
        process = subprocess.Popen(
            [harness.program(), "fetch", "--pause-ms", "1", *map(str, args)], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment())
        self.processes.append(process)
        return process

    def wait_for(self, condition, what):
        deadline = time.time() + 30
        while not condition():
            self.assertLess(time.time(), deadline, what)
            time.sleep(0.005)

    def test_kill_9_again_and_again(self):
        """Killed at nine places of a file, the tenth run brings the rest, and every byte once."""
        part = self.cache / "big.txt.part" / "big.txt.part"
        kept = 0
        for i in range(1, 10):
            self.site.misdeeds["/x/big.txt"] = [slowly(8 << 20)]
            process = self.start_fetch(self.url)
            goal = len(self.big) * i // 12
            self.wait_for(lambda: part.exists() and part.stat().st_size > goal, "it goes on")
            self.kill(process)
            self.assertEqual(process.returncode, -signal.SIGKILL)
            self.assertFalse((self.cache / "big.txt").exists())
            self.assertGreaterEqual(part.stat().st_size, kept, "nothing is lost")
            kept = part.stat().st_size
        got = self.fetch(self.url, server=False)
        self.assertEqual(got["bytes_kept"], kept)
        self.assertEqual(got["bytes_kept"] + got["bytes_fetched"], len(self.big))
        self.assertEqual((self.cache / "big.txt").read_bytes(), self.big)
        self.assert_tidy()

    def test_killed_between_files_of_a_model(self):
        self.site.misdeeds[self.weights] = [slowly(200000)]
        process = self.start_fetch(self.NAME, "--server", self.site.url)
        part = self.cache / (self.NAME + ".part") / "model.safetensors.part"
        self.wait_for(lambda: part.exists() and part.stat().st_size > 1000, "weights come")
        self.kill(process)
        self.assertFalse((self.cache / self.NAME).exists())
        self.fetch(self.NAME)
        self.assert_model()
        self.assertEqual(len(self.site.asked(self.path("vocab.txt"))), 1, "what is whole is kept")

    def test_parts_that_were_tampered_with(self):
        """A damaged note, bytes too many, a part of something else: none is gone on with."""
        folder = self.cache / "big.txt.part"
        part, note = folder / "big.txt.part", folder / "big.txt.part.json"
        self.site.misdeeds["/x/big.txt"] = [drop_after(1 << 20), answer(418)]
        self.fetch(self.url, code=1, server=False)
        good_part, good_note = part.read_bytes(), note.read_text()
        self.assertEqual(good_part, self.big[:1 << 20])
        for name, new_part, new_note in (
                ("no note", good_part, None), ("empty note", good_part, ""),
                ("a note of another file", good_part, good_note.replace("/x/big", "/y/big")),
                ("a note of an older file", b"?" * (1 << 20), good_note.replace('"etag": "\\"', '"etag": "\\"0')),
                ("too many bytes", self.big + b"?", good_note),
                ("no part", b"", good_note), ("no JSON", good_part, "{"), ("a list", good_part, "[]"),
                ("a size of -1", good_part, re.sub(r'"size": \d+', '"size": -1', good_note))):
            with self.subTest(name):
                folder.mkdir(parents=True, exist_ok=True)
                part.write_bytes(new_part)
                note.unlink(missing_ok=True)
                if new_note is not None:
                    note.write_text(new_note)
                self.fetch(self.url, server=False)
                self.assertEqual((self.cache / "big.txt").read_bytes(), self.big)
                shutil.rmtree(self.cache)

    def test_two_at_once(self):
        """The second waits for the first and finds its work done; nothing is asked for twice."""
        self.site.misdeeds[self.weights] = [slowly(500000)]
        first = self.start_fetch(self.NAME, "--server", self.site.url)
        self.wait_for(lambda: self.site.asked(self.weights), "the first is at it")
        got = self.fetch(self.NAME)
        self.assertEqual(first.wait(30), 0)
        self.assertTrue(got["already"])
        self.assertIn("waiting", self.messages)
        self.assert_model()
        self.assertEqual(len(self.site.asked(self.weights)), 1)

    def test_many_at_once_and_one_is_killed(self):
        self.site.misdeeds["/x/big.txt"] = [slowly(2 << 20)]
        first = self.start_fetch(self.url)
        self.wait_for(lambda: self.site.asked("/x/big.txt"), "the first is at it")
        others = [self.start_fetch(self.url) for _ in range(4)]
        self.kill(first)
        self.assertEqual([p.wait(60) for p in others], [0] * 4)
        self.assertEqual((self.cache / "big.txt").read_bytes(), self.big)
        self.assertLessEqual(len(self.site.asked("/x/big.txt")), 2)
        self.assert_tidy()

    def test_what_changed_or_is_not_ours_is_left_alone(self):
        self.fetch(self.NAME)
        weights = self.cache / self.NAME / "model.safetensors"
        raw = bytearray(weights.read_bytes())
        raw[len(raw) // 2] ^= 1
        weights.write_bytes(raw)
        error = self.fetch(self.NAME, code=1)
        self.assertIn(sha256(raw), error)
        self.assertIn(f"remove {self.cache / self.NAME}", error)
        self.assertEqual(weights.read_bytes(), raw)
        own = self.cache / "own" / "mine"
        own.mkdir()
        self.assertIn("was not fetched", self.fetch("own/mine", code=4))
        (self.cache / "mine.txt").write_text("mine")
        self.assertIn("was not fetched", self.fetch(f"{self.site.url}/mine.txt", code=4, server=False))
        self.assertEqual((self.cache / "mine.txt").read_text(), "mine")
        (self.cache / self.NAME / "fetch.json").write_text("{")
        self.assertIn("fetch.json", self.fetch(self.NAME, code=2))


@unittest.skipUnless(os.geteuid() == 0, "mounting a tmpfs needs root")
class FullDisk(FetchCase):
    def setUp(self):
        super().setUp()
        self.disk = self.dir / "disk"
        self.disk.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.disk)],
                              capture_output=True, text=True)
        if made.returncode != 0:
            self.skipTest("cannot mount a tmpfs: " + made.stderr.strip())
        self.cache = self.disk / "cache"

    def tearDown(self):
        subprocess.run(["umount", "-l", str(self.disk)], check=False)
        super().tearDown()

    def test_said_before_and_found_in_the_middle(self):
        body = os.urandom(3 << 20)
        self.site.files["/x/big.txt"] = body
        url = f"{self.site.url}/x/big.txt"
        error = self.fetch(url, code=1, server=False)
        self.assertRegex(error, r"3\.1 MB more are needed, and the disk has [01]\.\d MB left")
        # Chunked: nobody can know before.
        self.site.misdeeds["/x/big.txt"] = [chunked]
        error = self.fetch(url, code=1, server=False)
        self.assertIn("the disk is full", error)
        self.assertFalse((self.cache / "big.txt").exists())
        subprocess.run(["mount", "-o", "remount,size=16m", str(self.disk)], check=True)
        self.fetch(url, server=False)
        self.assertEqual((self.cache / "big.txt").read_bytes(), body)
        self.assert_tidy()


class ReadOnly(FetchCase):
    @unittest.skipIf(os.geteuid() == 0, "root writes everywhere")
    def test_a_cache_that_cannot_be_written(self):
        self.cache.mkdir(mode=0o500)
        self.assertIn(str(self.cache), self.fetch(self.NAME, code=1))

    def test_a_cache_that_is_a_file(self):
        self.cache.write_text("x")
        self.assertIn(str(self.cache), self.fetch(self.NAME, code=1))


if __name__ == "__main__":
    harness.main()
