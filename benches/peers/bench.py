#!/usr/bin/env python3
"""Runs this project's server and its peers through the same scenarios.

usage: bench.py [run|table] [NAME ...]     NAME limits the run to these servers
Writes results/runs.jsonl (one line per run) and results/table.md (medians over the repeats).
"""
import json
import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
TMP = Path(os.environ.get("TMPDIR", "/tmp"))
WORK = Path(os.environ.setdefault("PEERS_WORK", str(TMP / "peers-work")))
BIN = Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target")) / "release"
OURS = Path(os.environ.get("PROGRESS_SERVER", HERE.parents[1] / "target/release/progress-server"))
RESULTS = Path(os.environ.get("RESULTS", HERE / "results"))
REPS = int(os.environ.get("REPS", 3))
QUIET_BUDGET = float(os.environ.get("QUIET_BUDGET", 180))  # seconds in all spent on waiting for a quiet machine
RETRIES = int(os.environ.get("RETRIES", 1))  # a run with more than NOISY cores used by others is done again
NOISY = 0.25

U = "http://127.0.0.1:{port}"
POST = ["--post", U + "/publish/{task}"]
WS, SSE = U + "/ws/{task}", U + "/sse/{task}"
GO = ["--trigger", U + "/go/{events}/{rate}/{tasks}/{prefix}"]
IO = U + "/socket.io/?EIO=4&transport=websocket&task={task}"


def server(start, transports, publish=POST, burst=GO, scale=1.0, **env):
    """`burst` publishes in the server's own process, where the peer is a library and so can."""
    return {"start": start, "transports": transports, "publish": publish, "burst": burst, "scale": scale, "env": env}


# One event of the application's own, of the same fields as the peers' body.
OURS_BODY = ('{"event_type":"bench","data":{"seq":{seq},"kind":"progress","ts_ns":{ts_ns},"status":"running","progress":0.4321,'
             '"current":4321,"total":10000,"message":"Processing batch 4321 of 10000: embedding documents",'
             '"step":{"name":"embed","index":3,"total":7},"metadata":{"worker":"worker-07","queue":"default","attempt":1}}}')


def ours(adapter):
    start = ["sh", "-c", f"exec '{OURS}' --listen 127.0.0.1:$PORT --open --bench --adapter {adapter}"]
    post = ["--post", U + "/tasks/{task}/events", "--body", OURS_BODY]
    burst = ["--trigger", U + "/bench/{events}/{rate}/{tasks}/{prefix}?kind=state"]
    urls = {"ws": U + "/ws/progress/{task}", "sse": U + "/sse/progress/{task}"}
    return server(start, urls, post, burst if adapter == "axum" else None)


SERVERS = {
    # This project's server, on each of its adapters.
    "progress-axum": ours("axum"),
    "progress-warp": ours("warp"),
    "axum-naive": server([BIN / "axum-naive"], {"ws": WS, "sse": SSE}),
    "socketioxide": server([BIN / "socketioxide-peer"], {"socketio": IO}),
    "raw-1-thread": server([BIN / "raw"], {"ws": WS}, GO),
    "raw-2-threads": server([BIN / "raw"], {"ws": WS}, GO, THREADS="2"),
    "raw-batch-16": server([BIN / "raw"], {"ws": WS}, GO, BATCH="16"),
}

# name: (mode, conns, events, other options); `scale` of a slow server multiplies the fan-out events
SCENARIOS = {
    "warm": ("fanout", 20, 50, ""),
    "idle1000": ("fanout", 1000, 0, "--settle-ms 1000"),
    "fan100": ("fanout", 100, 2000, "--window 64 --publishers 2"),
    "fan1000": ("fanout", 1000, 500, "--window 64 --publishers 2"),
    "burst100": ("fanout", 100, 2000, "--publishers 2"),
    "paced100": ("fanout", 100, 200, "--rate 100"),
    "tasks1000": ("fanout", 1000, 20, "--tasks 1000 --publishers 8"),
    "replay": ("replay", 100, 1000, ""),
}
SCALED = ("fan100", "fan1000", "burst100")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def busy_cores(seconds=0.3):
    def busy():
        v = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(v) - v[3] - v[4]

    first = busy()
    time.sleep(seconds)
    return (busy() - first) / os.sysconf("SC_CLK_TCK") / seconds


waited = 0.0


def wait_for_quiet():
    global waited
    while waited < QUIET_BUDGET:
        begin = time.time()
        if busy_cores() < 0.15:
            return
        time.sleep(0.7)
        waited += time.time() - begin


class Running:
    """A started server, stopped by its own process group on exit."""

    def __init__(self, name, spec):
        self.port = free_port()
        log = WORK / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, **spec["env"], "PORT": str(self.port)}
        start = [str(a) for a in spec["start"]]
        self.proc = subprocess.Popen(start, env=env, stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self):
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.proc.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError("server did not start; see " + str(WORK / "logs"))

    def __exit__(self, *_):
        if self.proc.poll() is None:
            os.killpg(self.proc.pid, signal.SIGTERM)
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.proc.pid, signal.SIGKILL)
                self.proc.wait()


def loadgen(run, spec, transport, scenario):
    mode, conns, events, more = SCENARIOS[scenario]
    if scenario in SCALED:
        events = int(events * spec["scale"])
    port = str(run.port)
    args = [str(BIN / "loadgen"), mode, "--proto", transport, "--url", spec["transports"][transport].replace("{port}", port)]
    args += [a.replace("{port}", port) for a in spec["burst" if scenario == "burst100" else "publish"]]
    args += ["--conns", str(conns), "--events", str(events), "--server-pid", str(run.proc.pid), "--timeout", "60", *shlex.split(more)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=90)
    if done.stderr:
        print("   ", done.stderr.strip().splitlines()[0], file=sys.stderr)
    return json.loads(done.stdout)


def measure(rep, name, spec, transport, out):
    with Running(name, spec) as run:
        for scenario in SCENARIOS:
            # A blocking writer has no queue to overflow; a paced one has nothing to batch.
            if scenario == "burst100" and spec["burst"] is None:
                continue
            if spec["publish"] is GO and (scenario == "burst100" or scenario == "paced100" and "BATCH" in spec["env"]):
                continue
            best = None
            for _ in range(1 + RETRIES):
                wait_for_quiet()
                load = Path("/proc/loadavg").read_text().split()[0]
                try:
                    got = loadgen(run, spec, transport, scenario)
                except (ValueError, subprocess.TimeoutExpired) as e:
                    print(f"    {name} {scenario}: {e}", file=sys.stderr)
                    break
                got.update(server=name, transport=transport, scenario=scenario, rep=rep, loadavg=float(load))
                if best is None or got["other_cpu_share"] < best["other_cpu_share"]:
                    best = got
                # Idle memory is only right for the first connections a fresh process sees.
                if scenario in ("warm", "idle1000") or got["other_cpu_share"] < NOISY or waited >= QUIET_BUDGET:
                    break
            if best and scenario != "warm":
                out.write(json.dumps(best) + "\n")
                out.flush()


def told(run):
    """What came, and what a frame that came said it stands for."""
    return run["received"] + run.get("declared", 0)


# figure: (scenario, heading, how to read it from a run, digits, is more better)
FIGURES = {
    "fan100_rate": ("fan100", "N=100: deliveries/s", lambda r: r["deliveries_per_s"] / 1e3, "k", 1, True),
    "fan100_cpu": ("fan100", "server CPU s per million", lambda r: r["cpu_s_per_million"], "", 2, False),
    "fan100_p99": ("fan100", "p99 ms under load", lambda r: r["lat_p99_ms"], "", 1, False),
    "fan1000_rate": ("fan1000", "N=1000: deliveries/s", lambda r: r["deliveries_per_s"] / 1e3, "k", 1, True),
    "fan1000_cpu": ("fan1000", "server CPU s per million", lambda r: r["cpu_s_per_million"], "", 2, False),
    "fan1000_p99": ("fan1000", "p99 ms under load", lambda r: r["lat_p99_ms"], "", 1, False),
    "paced_p50": ("paced100", "paced 10k/s: p50 ms", lambda r: r["lat_p50_ms"], "", 2, False),
    "paced_p99": ("paced100", "paced 10k/s: p99 ms", lambda r: r["lat_p99_ms"], "", 2, False),
    "paced_cpu": ("paced100", "paced: CPU s per million", lambda r: r["cpu_s_per_million"], "", 1, False),
    "burst_rate": ("burst100", "burst: deliveries/s", lambda r: r["deliveries_per_s"] / 1e3, "k", 1, True),
    "burst_cpu": ("burst100", "burst: CPU s per million", lambda r: r["cpu_s_per_million"], "", 2, False),
    "burst_share": ("burst100", "burst: delivered or declared %", lambda r: 100 * told(r) / r["expected"], "", 1, True),
    "tasks_rate": ("tasks1000", "1000 tasks: events/s", lambda r: r["deliveries_per_s"] / 1e3, "k", 1, True),
    "tasks_cpu": ("tasks1000", "1000 tasks: CPU s per million", lambda r: r["cpu_s_per_million"], "", 1, False),
    "tasks_p99": ("tasks1000", "1000 tasks: p99 ms", lambda r: r["lat_p99_ms"], "", 2, False),
    "replay_p50": ("replay", "replay 1000 to 100: p50 ms", lambda r: r["full_p50_ms"], "", 0, False),
    "replay_max": ("replay", "replay: last ms", lambda r: r["full_max_ms"], "", 0, False),
    "replay_cpu": ("replay", "replay: CPU s per million", lambda r: r["cpu_s_per_million"], "", 2, False),
    "idle_rss": ("idle1000", "idle: RSS KiB per connection", lambda r: r["rss_per_conn"] / 1024, "", 1, False),
    "connect_p50": ("idle1000", "connect p50 ms (64 at once)", lambda r: r["connect_p50_ms"], "", 1, False),
    "connect_p99": ("idle1000", "connect p99 ms", lambda r: r["connect_p99_ms"], "", 1, False),
}
TABLES = {
    "Fan-out on one task, flow-controlled (never more than 64 events ahead of the slowest subscriber)":
        ["fan100_rate", "fan100_cpu", "fan100_p99", "fan1000_rate", "fan1000_cpu", "fan1000_p99"],
    "Paced (100 events/s to 100 subscribers) and a burst of 2000 events to 100 subscribers (in-process)":
        ["paced_p50", "paced_p99", "paced_cpu", "burst_share", "burst_rate", "burst_cpu"],
    "1000 tasks with one subscriber each, 20 events per task, one POST per event":
        ["tasks_rate", "tasks_cpu", "tasks_p99"],
    "Replay, idle connections, connecting":
        ["replay_p50", "replay_max", "replay_cpu", "idle_rss", "connect_p50", "connect_p99"],
}


def complete(run):
    """A figure counts only when every subscriber was connected (and, replayed, got everything)."""
    return run["ready"] == run["conns"] and run["post_errors"] == 0 and run.get("complete", run["conns"]) == run["conns"]


def table(runs):
    cells, lines = {}, []
    for key, (scenario, _, read, unit, digits, _) in FIGURES.items():
        for row in {(r["server"], r["transport"]) for r in runs}:
            mine = [r for r in runs if (r["server"], r["transport"]) == row and r["scenario"] == scenario]
            values = sorted(read(r) for r in mine if complete(r))
            if values:
                short = any(told(r) < r["expected"] for r in mine) and key != "burst_share"
                show = [f"{v:.{digits}f}" for v in (median(values), values[0], values[-1])]
                text = f"{show[0]}{unit} [{show[1]}–{show[2]}]" + ("*" if short else "")
                cells[row, key] = (None if short else median(values), text)  # a lossy run wins nothing
            elif mine:
                cells[row, key] = (None, "failed")
    names = list(SERVERS)
    rows = {(r["server"], r["transport"]) for r in runs}
    rows = sorted(rows, key=lambda r: (names.index(r[0]) if r[0] in names else 99, r[1] != "ws"))
    for title, keys in TABLES.items():
        head = ["peer", *(FIGURES[k][1] for k in keys), "cores used by others"]
        lines += [f"### {title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        used = {FIGURES[k][0] for k in keys} - {"idle1000"}
        for row in rows:
            noise = [r["other_cpu_share"] for r in runs if (r["server"], r["transport"]) == row and r["scenario"] in used]
            text = [f"{row[0]} {row[1]}", *(cells.get((row, k), (0, "–"))[1] for k in keys), f"{median(noise):.2f}" if noise else "–"]
            lines.append("| " + " | ".join(text) + " |")
        lines.append("")
    lines += ["### Best peer at each figure, and the raw floor", "", "| figure | best peer | value | raw, one thread | raw, 16 frames per write |", "|---|---|---|---|---|"]
    for key, (scenario, head, _, unit, digits, more) in FIGURES.items():
        peers = [(cells[row, key][0], row) for row in rows if not row[0].startswith("raw") and cells.get((row, key), (None,))[0] is not None]
        if not peers:
            continue
        value, row = (max if more else min)(peers)
        ties = [f"{r[0]} {r[1]}" for v, r in peers if f"{v:.{digits}f}" == f"{value:.{digits}f}"]
        raw = [cells.get(((n, "ws"), key), (None, "–"))[1] for n in ("raw-1-thread", "raw-batch-16")]
        head = head if head.startswith(("N=", "paced", "burst", "1000", "replay", "idle", "connect")) else f"N={scenario[3:]}: {head}"
        lines.append(f"| {head} | {', '.join(ties)} | {value:.{digits}f}{unit} | {raw[0]} | {raw[1]} |")
    other = sorted(r["other_cpu_share"] for r in runs)
    steal = sorted(r["steal_share"] for r in runs)
    lines += ["", f"{len(runs)} runs. Cores used by anything else during a run: median {median(other):.2f}, 90th percentile "
              f"{other[int(0.9 * (len(other) - 1))]:.2f}, worst {other[-1]:.2f}; stolen by the host: median {median(steal):.3f}, worst {steal[-1]:.2f}.",
              "Cells: median [lowest–highest]. * some deliveries were lost in at least one repeat."]
    return "\n".join(lines) + "\n"


def main():
    args = sys.argv[1:] or ["run"]
    RESULTS.mkdir(exist_ok=True)
    runs_file = RESULTS / "runs.jsonl"
    if args[0] == "run":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
        chosen = args[1:] or list(SERVERS)
        with runs_file.open("w") as out:
            for rep in range(1, REPS + 1):
                for name in chosen:
                    for transport in SERVERS[name]["transports"]:
                        begin = time.time()
                        try:
                            measure(rep, name, SERVERS[name], transport, out)
                        except RuntimeError as e:
                            print(f"    {name}: {e}", file=sys.stderr)
                        print(f"repeat {rep}: {name} {transport} {time.time() - begin:.0f} s", file=sys.stderr)
    runs = [json.loads(line) for line in runs_file.read_text().splitlines()]
    text = table(runs)
    (RESULTS / "table.md").write_text(text)
    print(text)


main()
