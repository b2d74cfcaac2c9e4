#!/usr/bin/env python3
"""Measures what others do over Redis; see README.md.

usage: run.py [PEER ...]     PEER limits the run to these
Prints one JSON line per scene, and then a table of the medians. REPS (3), TURN (4), the seconds of each rate.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
REPS = int(os.environ.get("REPS", 3))
TURN = float(os.environ.get("TURN", 4))
PEERS = {
    "bullmq": ("bullmq", {}),
    "publish": ("publish", {}),
    "publish-piped": ("publish", {"AUTO_PIPELINE": "1"}),
}
NAMES = {
    "bullmq": "BullMQ, `updateProgress` to `QueueEvents`",
    "publish": "`PUBLISH` of each event, ioredis",
    "publish-piped": "the same, auto-pipelined",
}
IN_FLIGHT = (1, 16, 256)
KILLS = 10
# After a fault, so long without an event is the end. BullMQ's watchdog takes 10 s and a margin to see that a
# blocked read is dead; what was PUBLISHed comes at once or never.
QUIET_MS = {"bullmq": 14_000, "publish": 3_000}


class Redis:
    """A private one on a free port, until it is closed."""

    def __init__(self, dir, *settings):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.args = [os.environ.get("REDIS_SERVER", "redis-server"), "--bind", "127.0.0.1", "--port", str(self.port)]
        self.args += ["--dir", str(dir), "--save", "", "--loglevel", "warning", *settings]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.args, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                if self.ask("PING").startswith("+PONG"):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("redis-server does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, command):
        with socket.create_connection(("127.0.0.1", self.port), 2) as s, s.makefile("rb") as answer:
            s.sendall(command.encode() + b"\r\n")
            head = answer.readline().decode()
            return answer.read(int(head[1:])).decode() if head.startswith("$") else head

    def cpu(self):
        fields = dict(line.split(":", 1) for line in self.ask("INFO cpu").splitlines() if ":" in line)
        return float(fields["used_cpu_sys"]) + float(fields["used_cpu_user"])

    def cut_watcher(self):
        """Closes the connection that the watcher reads events from; says whether there was one."""
        if int(self.ask("CLIENT KILL TYPE pubsub")[1:]) > 0:
            return True
        blocked = [dict(f.split("=", 1) for f in line.split(" ")) for line in self.ask("CLIENT LIST").splitlines()]
        blocked = [client["id"] for client in blocked if client["cmd"] == "xread"]
        return any([self.ask(f"CLIENT KILL ID {id}").startswith(":1") for id in blocked])


class Node:
    """A process of `node.mjs`."""

    def __init__(self, program, peer, role, port):
        module, env = PEERS[peer]
        self.process = subprocess.Popen(
            ["node", program, module, role, str(port)],
            env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a process ended")
        return json.loads(line)

    def tell(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def ask(self, **order):
        self.tell(**order)
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait()


def scene(nodes, redis, order, quiet_ms, meanwhile=None):
    worker, watcher = nodes
    watcher.ask(do="begin")
    cpu = redis.cpu()
    worker.tell(**order)
    did = meanwhile(redis, worker) if meanwhile else {}
    sent = worker.answer()
    # Those that the worker was told of come no more.
    seen = watcher.ask(do="until", count=sent["sent"] - sent["refused"], quiet_ms=quiet_ms)
    took = (seen["last"] - sent["began"]) / 1e6
    got = {k: seen[k] for k in ("distinct", "repeated", "silence_ms", "p50_ms", "p99_ms")}
    got |= {k: sent[k] for k in ("sent", "refused", "unanswered") if k in sent} | did
    got["lost"] = sent["sent"] - seen["distinct"]
    got["rate"] = seen["distinct"] / took
    got["returned"] = sent["ended"] - seen["last"] < 1e6
    if not meanwhile:
        got["cpu_s_per_100k"] = (redis.cpu() - cpu) / max(seen["distinct"], 1) * 1e5
    return got


def cutting(redis, worker):
    """Cuts the watcher off ten times, each when it is back from the last."""
    cut, deadline = 0, time.monotonic() + 45
    while cut < KILLS and time.monotonic() < deadline:
        time.sleep(0.4)
        cut += redis.cut_watcher()
    if cut < KILLS:
        raise RuntimeError(f"the watcher came back only {cut} times")
    time.sleep(2)
    worker.tell(do="stop")
    return {"cut": cut}


def crashing(redis, _worker):
    """Redis is gone for a second."""
    time.sleep(1)
    redis.kill()
    time.sleep(1)
    redis.start()
    return {}


def measure(peer, program, dir):
    ms = TURN * 1000

    def with_redis(settings, scenes):
        redis, nodes = Redis(dir, *settings), []
        try:
            # The watcher first: it is to see the first event too.
            nodes.append(Node(program, peer, "watch", redis.port))
            nodes.insert(0, Node(program, peer, "work", redis.port))
            for name, order, quiet_ms, meanwhile in scenes:
                yield name, scene(nodes, redis, order, quiet_ms, meanwhile)
        finally:
            for node in nodes:
                node.close()
            redis.kill()

    def paced(each, seconds=TURN):
        return {"do": "paced", "each": each, "ticks": int(seconds * 1000)}

    warm = ("warm", {"do": "closed", "in_flight": 16, "ms": 500}, 2_000, None)
    scenes = [(f"closed-{n}", {"do": "closed", "in_flight": n, "ms": ms}, 2_000, None) for n in IN_FLIGHT]
    scenes += [("paced-1k", paced(1), 2_000, None), ("paced-10k", paced(10), 2_000, None)]
    off = ("--appendonly", "no")
    yield from with_redis(off, [warm, *scenes])
    if peer == "publish-piped":
        return
    aof, quiet = ("--appendonly", "yes"), QUIET_MS[peer]
    yield from with_redis(off, [warm, ("cut", paced(1, 60), quiet, cutting)])
    yield from with_redis(off, [warm, ("crash", paced(1, 5), quiet, crashing)])
    yield from with_redis(aof, [warm, ("crash-aof", paced(1, 5), quiet, crashing)])


def loss(runs):
    """The range over the repeats: what is lost may be a matter of who comes back first."""
    lost = [r["lost"] for r in runs]
    low, high, sent = min(lost), max(lost), round(median(r["sent"] for r in runs))
    text = f"{low} of {sent}" if low == high else f"{low} to {high} of {sent}"
    if not all(r["returned"] for r in runs):
        return f"{text}, none came any more"
    return f"{text}, silent for {max(r['silence_ms'] for r in runs) / 1e3:.1f} s"


def table(runs, peers):
    def of(peer, name, field):
        return median(r[field] for r in runs if r["peer"] == peer and r["scene"] == name)

    def unsaid(peer, name):
        """A rate at which events are lost is not one that it takes."""
        lost = sum(r["lost"] for r in runs if r["peer"] == peer and r["scene"] == name)
        return f", {lost} lost" if lost else ""

    def row(peer):
        best = max((f"closed-{n}" for n in IN_FLIGHT), key=lambda name: of(peer, name, "rate"))
        cells = [NAMES[peer], f"{of(peer, best, 'rate') / 1e3:.1f} k ({best.split('-')[1]}){unsaid(peer, best)}"]
        cells.append(f"{of(peer, best, 'cpu_s_per_100k'):.2f}")
        for name in ("paced-1k", "paced-10k"):
            cells.append(f"{of(peer, name, 'p50_ms'):.2f}, {of(peer, name, 'p99_ms'):.1f} ms{unsaid(peer, name)}")
        if peer == "publish-piped":
            return [*cells, "-", "-", "-"]
        for name in ("cut", "crash", "crash-aof"):
            cells.append(loss([r for r in runs if r["peer"] == peer and r["scene"] == name]))
        return cells

    head = ["", "events/s (in flight)", "Redis CPU s per 100k", "p50, p99 at 1 000/s", "p50, p99 at 10 000/s",
            "lost when cut off 10 times", "lost when Redis crashes", "the same with AOF"]
    rows = [head, ["---"] * len(head), *map(row, peers)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def main():
    peers = sys.argv[1:] or list(PEERS)
    if unknown := set(peers) - set(PEERS):
        sys.exit(f"no such peer: {', '.join(unknown)}")
    runs = []
    with tempfile.TemporaryDirectory(prefix="redis-peers-") as place:
        place = Path(place)
        for file in (*HERE.glob("*.mjs"), *HERE.glob("package*.json")):
            shutil.copy(file, place)
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=place, check=True)
        for rep in range(REPS):
            for peer in peers:
                for name, got in measure(peer, place / "node.mjs", place):
                    if name == "warm":
                        continue
                    runs.append({"peer": peer, "scene": name, "rep": rep, **got})
                    print(json.dumps(runs[-1]), flush=True)
                shutil.rmtree(place / "appendonlydir", ignore_errors=True)
    print(table(runs, peers))


if __name__ == "__main__":
    main()
