"""A local worker lives no longer than the coordinator that started it."""
import os
import subprocess
import time
import unittest

import harness


class LocalWorker(harness.Case):
    def worker(self, parent):
        process = subprocess.Popen(
            [harness.program("flipsweep-worker"), "--connect", f"ipc://{self.dir}/nobody",
             "--parent-death", str(parent), "--threads", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.processes.append(process)
        return process

    def test_a_parent_that_died_before_the_start(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        process = self.worker(gone.pid)
        err = process.communicate(timeout=30)[1]
        self.assertNotEqual(process.returncode, 0)
        self.assertIn(f"process {gone.pid}, which started this worker, is gone", err)

    def test_a_living_parent(self):
        process = self.worker(os.getpid())
        time.sleep(1)
        self.assertIsNone(process.poll(), "it waits for its coordinator")
        self.kill(process)
        process.stderr.close()


if __name__ == "__main__":
    harness.main()
