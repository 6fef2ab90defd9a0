"""Coordinator and workers as real processes: they are killed, frozen, drained, confused and lied
to, over loopback, and in the end every trial is stored once. Trials are simulated, so that hundreds
of thousands take seconds; what they are is a function of (cell, trial), as with a model.
"""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import fake_worker
import harness
from fake_worker import FakeWorker

TRIALS = 3000


class Switch:
    """A network between workers and a coordinator that can be switched off."""

    def __init__(self, endpoint):
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        self.beyond = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.on, self.open = True, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                if not self.on:
                    near.close()
                    continue
                far = socket.create_connection(self.beyond)
            except OSError:
                return # closed: the test is over
            self.open += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self.forward, args=ends, daemon=True).start()

    @staticmethod
    def forward(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        Switch.cut((source, sink))

    @staticmethod
    def cut(ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass # it is cut already

    def off(self):
        self.on = False
        self.cut(self.open)

    def close(self):
        self.off()
        self.cut([self.listener])
        for end in [*self.open, self.listener]:
            end.close()


def children(pid):
    """Ids of a process's children."""
    path = f"/proc/{pid}/task/{pid}/children"
    try:
        with open(path, encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


class Orchestration(harness.Case):
    def setUp(self):
        super().setUp()
        self.model, self.data = self.tiny()
        self.fakes = []

    def tearDown(self):
        for fake in self.fakes:
            fake.close()
        super().tearDown()

    def fake(self, endpoint, **kwargs):
        self.fakes.append(FakeWorker(endpoint, **kwargs))
        return self.fakes[-1]

    def write(self, trials=TRIALS, name="campaign.yaml", seed=3, more=""):
        return self.campaign(f"""campaign: orchestration
seed: {seed}
task: {{kind: classification, model: {self.model}, data: {self.data}, examples: 10}}
arms:
  - {{name: plain}}
sweep:
  - {{name: one, site: {{parameters: all}}, amount: {{count: 1}}, trials: {trials}}}
{more}""", name)

    def begin(self, verb, path, out, *more, us=0):
        """Starts run or serve with simulated workers; its stderr is in out.log."""
        cost = ["--simulate-us", us] if verb == "run" else []
        with open(self.dir / f"{out.name}.log", "a", encoding="utf-8") as log:
            return self.start(verb, path, "--out", out, "--simulate", *cost, *more, stderr=log,
                              stdout=log)

    def said(self, out):
        return (self.dir / f"{out.name}.log").read_text()

    def serve(self, path, out, *more):
        """Starts serve; returns (process, endpoint)."""
        access = out / "access.json"
        before = access.stat().st_mtime_ns if access.exists() else 0
        process = self.begin("serve", path, out, *more)
        self.wait_for(lambda: access.exists() and access.stat().st_mtime_ns != before,
                      "serve leaves an access file")
        self.assertEqual(access.stat().st_mode & 0o777, 0o600)
        return process, json.loads(access.read_text())["endpoint"]

    def worker(self, endpoint, us=0):
        return self.start("worker", "--connect", endpoint, "--threads", 1, "--simulate",
                          "--simulate-us", us)

    def wait_for(self, condition, what, seconds=60):
        deadline = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), deadline, what)
            time.sleep(0.02)

    def ends(self, process, code, out, seconds=120):
        try:
            self.assertEqual(process.wait(seconds), code, self.said(out)[-3000:])
        except subprocess.TimeoutExpired:
            self.fail(f"still running after {seconds} s: {self.said(out)[-3000:]}")

    def status(self, out):
        return self.json("status", "--json", out)

    def live(self, out, **wanted):
        """Whether a coordinator runs over the store and its status has these values."""
        result = self.run_program("status", "--json", out, code=None)
        if result.returncode != 0:
            return False
        status = json.loads(result.stdout)
        return all(status.get(key) == value for key, value in wanted.items())

    def done(self, out):
        result = self.run_program("status", "--json", out, code=None)
        return json.loads(result.stdout)["trials_done"] if result.returncode == 0 else 0

    def check_complete(self, out, trials=TRIALS, quarantined=0):
        status, verify = self.status(out), self.json("verify", "--json", out)
        self.assertEqual((status["state"], status["trials_done"], status["mismatches"]),
                         ("incomplete" if quarantined else "complete", trials - quarantined, 0))
        self.assertEqual(status["quarantined"], quarantined)
        self.assertTrue(verify["ok"] and verify["totals_equal"])
        self.assertEqual(verify["trials"], trials - quarantined)
        return [[cell[key] for key in ("id", "n", "masked", "benign", "sdc", "due", "critical",
                                       "metric_mean", "metric_low", "metric_high")]
                for cell in status["cells"]]

    # --- at scale ---

    def test_two_hundred_thousand_trials(self):
        path, out = self.write(200000), self.dir / "out"
        begin = time.time()
        self.ends(self.begin("run", path, out, "--workers", 2, "--threads", 1), 0, out)
        print(f"200000 trials, start and end included: {time.time() - begin:.1f} s")
        self.check_complete(out, 200000)

    # --- killed ---

    def test_kill_9_of_everything(self):
        path, calm, out = self.write(), self.dir / "calm", self.dir / "out"
        self.ends(self.begin("run", path, calm), 0, calm)
        rng, kills = random.Random(4), [0, 0]
        for number in range(200):
            process = self.begin("run", path, out, "--workers", 2, "--threads", 1, us=2000)
            deadline = time.time() + 0.4 + rng.random()
            while process.poll() is None and time.time() < deadline:
                time.sleep(0.05 + rng.random() / 4)
                victims = children(process.pid)
                if victims and rng.random() < 0.3:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                    kills[0] += 1
            if process.poll() is None and number < 6:
                self.kill(process)
                kills[1] += 1
            else:
                self.ends(process, 0, out)
                break
        print(f"{kills[0]} workers and {kills[1]} coordinators killed")
        self.assertGreaterEqual(kills[1], 3)
        self.assertGreaterEqual(kills[0], 3)
        self.assertGreater(self.status(out)["retries"], 0)
        self.assertEqual(self.check_complete(out), self.check_complete(calm))
        self.assertEqual(self.status(calm)["retries"], 0)

    def test_workers_outlive_their_coordinator(self):
        path, out = self.write(), self.dir / "out"
        server, endpoint = self.serve(path, out)
        workers = [self.worker(endpoint, us=3000) for _ in range(2)]
        for _ in range(3):
            before = self.done(out)
            self.wait_for(lambda: self.done(out) > before, "results come")
            self.kill(server)
            server, again = self.serve(path, out, "--bind", endpoint)
            self.assertEqual(again, endpoint)
        self.ends(server, 0, out)
        for worker in workers:
            self.assertEqual(worker.wait(30), 0)
        status = self.status(out)
        self.check_complete(out)
        self.assertEqual(len(status["workers"]), 2, "the same two processes did it all")

    def test_a_frozen_worker(self):
        """SIGSTOP until the coordinator gave it up; afterwards its late results are compared."""
        path, out = self.write(2000), self.dir / "out"
        server, endpoint = self.serve(path, out)
        frozen, other = self.worker(endpoint, us=5000), None
        self.wait_for(lambda: self.done(out) > 0, "results come")
        frozen.send_signal(signal.SIGSTOP)
        other = self.worker(endpoint, us=1000)
        self.wait_for(lambda: "2000" in self.said(out) or self.done(out) == 2000 or
                      server.poll() is not None, "the other does its share", 60)
        self.ends(server, 0, out)
        frozen.send_signal(signal.SIGCONT)
        self.check_complete(out, 2000)
        self.assertEqual(other.wait(30), 0)

    def test_a_network_that_comes_and_goes(self):
        """Three times 5 s without a network, during one long trial: it is nobody's death."""
        path, out = self.write(1), self.dir / "out"
        server, endpoint = self.serve(path, out)
        switch = Switch(endpoint)
        worker = self.worker(switch.endpoint, us=26000000)
        self.wait_for(lambda: self.live(out, leases=1), "the trial is leased")
        for _ in range(3):
            time.sleep(2)
            switch.off()
            time.sleep(5)
            switch.on = True
        self.ends(server, 0, out)
        self.assertEqual(worker.wait(30), 0)
        switch.close()
        self.check_complete(out, 1)
        self.assertEqual(self.status(out)["retries"], 0)

    # --- stopped ---

    def test_drain_stop_and_resume(self):
        path, out = self.write(), self.dir / "out"
        process = self.begin("run", path, out, us=5000)
        self.wait_for(lambda: self.done(out) > 0, "results come")
        live = self.status(out)
        self.assertEqual(live["state"], "running")
        self.assertEqual(len(live["workers"]), 1)
        self.assertEqual(self.json("stop", "--json", "--drain", out),
                         {"state": "running", "asked": "drain"})
        self.ends(process, 3, out)
        self.assertIn("the same command goes on", self.said(out))
        first = self.status(out)
        self.assertEqual((first["state"], first["duplicates"]), ("incomplete", 0))
        process = self.begin("run", path, out, us=5000)
        self.wait_for(lambda: self.done(out) > first["trials_done"], "it goes on")
        self.run_program("stop", out)
        self.ends(process, 3, out, 10)
        self.assertEqual(self.run_program("stop", out, code=2).stdout, "")
        self.ends(self.begin("run", path, out), 0, out)
        self.check_complete(out)

    def test_interrupts(self):
        path, out = self.write(), self.dir / "out"
        process = self.begin("run", path, out, us=5000)
        self.wait_for(lambda: self.done(out) > 0, "results come")
        process.send_signal(signal.SIGINT)
        self.ends(process, 3, out)
        self.assertIn("once more stops at once", self.said(out))
        process = self.begin("run", path, out, us=2000000) # a lease takes seconds
        self.wait_for(lambda: self.live(out, state="running"), "it runs")
        self.wait_for(lambda: self.status(out).get("leases", 0) > 0, "something is leased")
        process.send_signal(signal.SIGINT)
        self.wait_for(lambda: self.said(out).count("once more stops at once") == 2, "it drains")
        process.send_signal(signal.SIGINT)
        self.ends(process, 130, out, 15)
        self.ends(self.begin("run", path, out, "--until", "+1h"), 0, out)
        self.check_complete(out)

    def test_until(self):
        path, out = self.write(), self.dir / "out"
        self.ends(self.begin("run", path, out, "--until", "+2s", us=20000), 3, out, 60)
        self.assertIn("the time is up", self.said(out))
        self.assertIn("--until", self.run_program("run", path, "--until", "soon", code=2).stderr)

    # --- refused ---

    def test_a_second_coordinator(self):
        path, out = self.write(), self.dir / "out"
        process = self.begin("run", path, out, us=5000)
        self.wait_for(lambda: self.done(out) > 0, "results come")
        message = self.run_program("run", path, "--out", out, "--simulate", code=4).stderr
        self.assertIn(str(out), message)
        self.assertEqual(self.status(out)["state"], "running")
        self.run_program("stop", out)
        self.ends(process, 3, out)

    def test_another_campaign(self):
        path, out = self.write(50), self.dir / "out"
        self.ends(self.begin("run", path, out), 0, out)
        other = self.write(50, "other.yaml", seed=4)
        self.assertIn("seed", self.run_program("run", other, "--out", out, "--simulate",
                                               code=4).stderr)
        self.run_program("run", path, "--out", out, code=4) # real trials beside invented ones
        self.check_complete(out, 50)

    def test_a_port_in_use(self):
        path, out = self.write(50), self.dir / "out"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            self.run_program("serve", path, "--out", out, "--simulate", "--bind", endpoint, code=4)
        self.run_program("serve", path, "--out", out, "--simulate", "--bind", "nonsense", code=2)

    # --- confused and lied to ---

    def test_garbage_on_the_port(self):
        path, out = self.write(), self.dir / "out"
        server, endpoint = self.serve(path, out)
        worker = self.worker(endpoint, us=2000)
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        rng = random.Random(1)
        for raw in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, rng.randbytes(100000), b""):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                try:
                    connection.sendall(raw)
                except OSError:
                    pass
        frames = [b"", b"\x00", b"\x92\x02", b"\xdd\xff\xff\xff\xff", b"\x91" * 1000, b"\xc6\xff\xff\xff\xff",
                  fake_worker.pack([fake_worker.PROTO, 200]), fake_worker.pack([fake_worker.PROTO, fake_worker.GRANT, [1, 0, 0, 1], 5]),
                  fake_worker.pack([fake_worker.PROTO, fake_worker.RESULTS, 1, 1, 0, 0, 0, []]), bytes(3 << 20)]
        frames += [rng.randbytes(rng.randrange(1, 200)) for _ in range(300)]
        stranger, member = self.fake(endpoint), self.fake(endpoint)
        member.join()
        for frame in frames:
            stranger.send_raw(frame)
            member.send_raw(frame)
        huge = self.fake(endpoint)
        try:
            huge.send_raw(bytes(5 << 20)) # beyond the largest message: the connection is cut
        except OSError:
            pass
        stranger.send_raw(fake_worker.pack([fake_worker.PROTO, fake_worker.HEARTBEAT, [], 0, 0]))
        stranger.receive(fake_worker.WHO)
        member.send(fake_worker.BYE)
        self.ends(server, 0, out)
        self.assertEqual(worker.wait(30), 0)
        self.assertLess(self.said(out).count("was dropped"), 10, "said once a minute and peer")
        self.assertIn("was dropped", self.said(out))
        self.check_complete(out)

    def test_workers_that_do_not_fit(self):
        path, out = self.write(), self.dir / "out"
        server, endpoint = self.serve(path, out)
        old = self.fake(endpoint, version="0.0.1")
        old.hello()
        self.assertIn("0.0.1", old.receive(fake_worker.REJECT)[1])
        future = self.fake(endpoint)
        future.send_raw(fake_worker.pack([9, fake_worker.HELLO, "whatever"]))
        self.assertIn("version 9", future.receive(fake_worker.REJECT)[1])
        wrong = self.fake(endpoint)
        wrong.hello()
        wrong.receive(fake_worker.WELCOME)
        wrong.send(fake_worker.READY, bytes(range(32)))
        self.assertIn("fingerprint", wrong.receive(fake_worker.REJECT)[1])
        good = self.fake(endpoint)
        good.join()
        good.golden(checksum=1)
        good.results(good.grant(), [(0, fake_worker.record())])
        good.receive(fake_worker.ACK) # what was sent before has arrived too
        broken = self.fake(endpoint)
        broken.join()
        broken.golden(checksum=2)
        self.assertIn("differs", broken.receive(fake_worker.REJECT)[1])
        unlike = self.fake(endpoint) # the same answers, but other sentences or bounds
        unlike.join()
        unlike.golden(checksum=1, rows=3)
        self.assertIn("3 token rows", unlike.receive(fake_worker.REJECT)[1])
        unlike = self.fake(endpoint)
        unlike.join()
        unlike.golden(checksum=1, bounds=7)
        self.assertIn("bounds 0000000000000007", unlike.receive(fake_worker.REJECT)[1])
        self.run_program("stop", out)
        self.ends(server, 3, out)

    def test_lies_about_results(self):
        path, out = self.write(20), self.dir / "out"
        server, endpoint = self.serve(path, out)
        liar = self.fake(endpoint, threads=2)
        liar.join()
        lease = liar.grant()
        self.assertEqual(lease[1:], (0, 0, 8))
        good = fake_worker.record()
        damaged = good[:40] + bytes([good[40] ^ 1]) + good[41:]
        liar.results(lease, [(0, damaged)])             # nothing of it counts
        liar.results(lease, [(20, good)])               # a trial that the cell does not have
        liar.results((lease[0], 77), [(0, good)])       # a cell that the plan does not have
        sequence = liar.results(lease, [(0, good), (1, good)])
        self.assertEqual(liar.receive(fake_worker.ACK), [fake_worker.ACK, lease[0], sequence, 2, 0, 0])
        liar.results(lease, [(0, good)])                # once more: a duplicate
        self.assertEqual(liar.receive(fake_worker.ACK)[3:], [0, 1, 0])
        liar.results(lease, [(1, fake_worker.record(sdc=3, critical=1))]) # another result: a mismatch
        self.assertEqual(liar.receive(fake_worker.ACK)[3:], [0, 0, 1])
        liar.results((12345, 0), [(5, good)])           # a lease that never was: late, and welcome
        liar.receive(fake_worker.ACK)
        status = self.status(out)
        self.assertEqual((status["trials_done"], status["duplicates"], status["mismatches"]), (3, 1, 1))
        cell = status["cells"][0]
        self.assertEqual((cell["n"], cell["sdc"], cell["critical"]), (3, 0, 0))
        self.run_program("stop", out)
        self.ends(server, 3, out)
        self.assertTrue(self.json("verify", "--json", out)["ok"])

    def test_poison_is_quarantined(self):
        """Trial 5 kills whoever runs it; the others get their results."""
        path, out = self.write(8), self.dir / "out"
        server, endpoint = self.serve(path, out)
        deaths, good, worker = 0, fake_worker.record(), None
        while server.poll() is None:
            if worker is None:
                worker = self.fake(endpoint)
                worker.join()
                worker.golden()
            try:
                lease = worker.grant()
            except (TimeoutError, ConnectionError):
                break # it has ended: there was nothing more to grant
            trials = range(lease[2], lease[2] + lease[3])
            worker.results(lease, [(t, good) for t in trials if t != 5], last=int(5 not in trials))
            if trials != range(5, 6):
                worker.receive(fake_worker.ACK)
            if 5 in trials:
                # It dies, and comes back under the same name: so the coordinator knows at once.
                name, deaths = worker.uuid, deaths + 1
                worker.close()
                worker = self.fake(endpoint)
                worker.uuid, worker.boot_ms = name, worker.boot_ms + deaths
                worker.join()
                worker.golden()
        self.ends(server, 3, out, 20)
        self.check_complete(out, 8, quarantined=1)
        self.assertEqual(self.status(out)["quarantined_trials"], ["one/plain/5"])
        self.assertIn("quarantined, without a result: one/plain/5\n",
                      self.run_program("status", out).stdout)
        # Nor is it silent the next time.
        again = self.run_program("run", path, "--out", out, "--simulate", code=3)
        self.assertIn("no result of trial one/plain/5, quarantined 3 times", again.stderr)
        self.assertTrue((out / "report.html").exists())
        self.assertEqual(deaths, 3)
        self.assertIn("one/plain/5 is quarantined", self.said(out))

    def test_a_trial_that_fails(self):
        path, out = self.write(4), self.dir / "out"
        server, endpoint = self.serve(path, out)
        good, failures = fake_worker.record(), 0
        worker = self.fake(endpoint)
        worker.join()
        while failures < 3:
            lease = worker.grant()
            trials = range(lease[2], lease[2] + lease[3])
            if 2 in trials:
                failures += 1
                worker.send(fake_worker.FAILED, -4, 0, lease[0], lease[1], 2, "the model is not what it was")
            worker.results(lease, [(t, good) for t in trials if t != 2], last=1)
        self.ends(server, 3, out, 20)
        self.check_complete(out, 4, quarantined=1)
        self.assertIn("the model is not what it was", self.said(out))

    # --- the command line ---

    def test_missing_programs_and_files(self):
        path, out, alone = self.write(), self.dir / "out", self.dir / "alone"
        alone.mkdir()
        shutil.copy(harness.program(), alone)
        result = subprocess.run([alone / "flipsweep", "run", path, "--out", out, "--simulate"],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("flipsweep-worker", result.stderr)
        (self.model / "model.safetensors").rename(self.model / "gone")
        result = self.run_program("run", path, "--out", self.dir / "other", code=2)
        self.assertIn("model.safetensors", result.stderr)
        self.assertFalse((self.dir / "other").exists())

    def test_long_paths_and_state_dir(self):
        path = self.write(500)
        out = self.dir / ("long-" * 20) / ("name-" * 20)
        self.run_program("run", path, "--out", out, "--simulate")
        self.check_complete(out, 500)
        split, state = self.dir / "results", self.dir / "state"
        process = self.begin("run", path, split, "--state-dir", state, us=20000)
        self.wait_for(lambda: self.live(split, state="running"), "status follows state-dir")
        self.run_program("stop", split)
        self.ends(process, 3, split)
        self.assertFalse((split / "data.mdb").exists())
        self.run_program("run", path, "--out", split, "--simulate") # state-dir is remembered
        self.check_complete(split, 500)
        # Every reader follows it, also those of single trials.
        self.assertEqual(len(self.run_program("verify", "--dump", split).stdout.splitlines()), 500)
        (split / "state-dir").write_text("nowhere")
        self.assertIn("state-dir", self.run_program("status", split, code=2).stderr)

    def test_serve_prints_one_document(self):
        path, out = self.write(200), self.dir / "out"
        server, endpoint = self.serve(path, out, "--json", "--no-report")
        worker = self.worker(endpoint)
        self.ends(server, 0, out)
        self.assertEqual(worker.wait(30), 0)
        lines = self.said(out).splitlines()
        self.assertNotIn(endpoint, lines)
        documents = [json.loads(line) for line in lines if line.startswith("{")]
        self.assertEqual([(d["state"], d["trials_done"]) for d in documents], [("complete", 200)])
        self.assertFalse((out / "report.html").exists())

    def test_access_file(self):
        path, out = self.write(), self.dir / "out"
        server, _ = self.serve(path, out)
        worker = self.start("worker", "--access", out / "access.json", "--simulate", "--json",
                            "--threads", "2", stdout=subprocess.PIPE)
        self.ends(server, 0, out)
        said = json.loads(worker.communicate(timeout=30)[0])
        self.assertEqual(worker.returncode, 0)
        done = self.json("status", "--json", out)["trials_done"]
        self.assertEqual((said["trials"], said["accepted"], said["threads"]), (done, done, 2))
        self.assertEqual((said["failed"], said["duplicates"], said["mismatches"]), (0, 0, 0))
        self.assertIn("<!doctype html>", (out / "report.html").read_text(encoding="utf-8")[:100].lower())
        bad = self.dir / "bad.json"
        for text in ("", "[]", '{"endpoint": 5}', "{"):
            bad.write_text(text)
            self.assertIn("bad.json", self.run_program("worker", "--access", bad, code=2).stderr)
        self.run_program("worker", "--access", self.dir / "none", code=2)


if __name__ == "__main__":
    harness.main()
