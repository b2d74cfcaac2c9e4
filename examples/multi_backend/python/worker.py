"""A worker in Python: does the same jobs as those in Rust, and tells of them through Redis alone.

It needs redis-py and nothing of ours: `progress_publish` is a function that the web nodes keep loaded.
A task that is told in this way has no owner. Redis numbers its events, and any process may go on with
it: if this one is killed, the next worker in Python does.
"""

import argparse
import json
import os
import sys
import threading
import time
import uuid

import redis

import film

STAGES = [("script", 1.0), ("assets", 2.0), ("render", 5.0), ("thumbnail", 1.0), ("upload", 1.0)]
MAX_RETRIES = 3
FIRST_DELAY = 0.3
PART = 16 * 1024
KEPT_FOR = 3600
ALIVE_FOR_MS = 4000
AWAY = (redis.ConnectionError, redis.TimeoutError)
# What does not go away by itself; all else, such as a Redis without memory or one that was just
# started, is waited out.
REFUSALS = {
    "INVALID_EVENT",
    "RESERVED_EVENT_TYPE",
    "PAYLOAD_TOO_LARGE",
    "INVALID_TASK_ID",
    "TASK_OWNED",
    "ALREADY_COMPLETE",
}


class Stop(Exception):
    """The launcher is gone: others do the job."""


class Cancelled(Exception):
    """A watcher has asked the task to stop."""


class Refused(Exception):
    """An event was refused; the text says why."""


class Failure(Exception):
    """What a task fails with: an error object."""

    def __init__(self, code, message, **more):
        super().__init__(message)
        self.error = {"code": code, "message": message, "is_retryable": False} | more


stopping = threading.Event()


class Task:
    """Publishes events, each exactly once however often it has to be sent."""

    def __init__(self, client, task_id):
        self.client, self.id = client, task_id
        # Of this run of this process: another one counts by itself.
        self.producer, self.n = f"py-{uuid.uuid4().hex}", 0
        self.begun = time.monotonic()

    def publish(self, event_type, data):
        """Sends an event until Redis has answered. Raises Refused or, asked to, Cancelled."""
        self.n += 1
        arguments = [self.producer, self.n, event_type, json.dumps(data)]
        while not stopping.is_set():
            try:
                key = f"pgs:t:{{{self.id}}}"
                _, cancel = self.client.fcall("progress_publish", 1, key, *arguments)
                if cancel == b"1" and event_type not in ("complete", "log"):
                    raise Cancelled
                return
            except AWAY:
                stopping.wait(0.2)
            except redis.ResponseError as error:
                if str(error).split()[0] in REFUSALS:
                    raise Refused(str(error)) from error
                stopping.wait(0.2)
        raise Stop

    def log(self, level, message, stage):
        self.publish("log", {"level": level, "message": message, "stage": stage})

    def update(self, stage, current, total, unit, **more):
        data = {"stage": stage, "current": current, "total": total, "unit": unit}
        # Stages have weights that only this worker knows, so it says itself how far the whole is.
        before = sum(weight for name, weight in STAGES[: [n for n, _ in STAGES].index(stage)])
        weight = dict(STAGES)[stage]
        share = before + weight * current / total
        done = share / sum(weight for _, weight in STAGES)
        data["progress"] = round(100 * done, 2)
        data["stage_progress"] = round(100 * current / total, 2)
        data["eta_ms"] = int((time.monotonic() - self.begun) * 1000 * (1 - done) / done)
        self.publish("progress_update", data | more)


class Production:
    """One job at work."""

    def __init__(self, client, job, pace, worker):
        self.client, self.job, self.pace, self.worker = client, job, pace, worker
        self.task = Task(client, job["id"])
        self.failures = job["failures"]

    def run(self):
        lines = self.script()
        assets = self.assets(lines)
        video = self.render(assets)
        thumbnail = self.thumbnail(assets)
        self.upload({"film.png": video, "thumbnail.png": thumbnail})
        return {
            "video_url": f"/api/files/{self.job['id']}/film.png",
            "thumbnail_url": f"/api/files/{self.job['id']}/thumbnail.png",
            "bytes": len(video),
            "frames": len(assets) * film.FRAMES,
            "sha256": film.digest(video),
            "worker": self.worker,
        }

    def begin(self, stage):
        self.task.publish("stage_change", {"current_stage": stage})

    def script(self):
        self.begin("script")
        lines = []
        for scene in range(self.job["scenes"]):
            lines.append(film.line(self.job["title"], scene))
            self.step("script", len(lines), self.job["scenes"], "lines", message=lines[-1])
        self.task.log("INFO", f"{len(lines)} lines are written", "script")
        self.task.log("WARNING", "There is no soundtrack: the film is silent", "script")
        return lines

    def assets(self, lines):
        self.begin("assets")
        assets = []
        for scene, line in enumerate(lines):
            assets.append(self.retry(lambda: self.ask_for_asset(scene, line)))
            self.step("assets", len(assets), len(lines), "pictures")
        self.task.log("INFO", f"{len(assets)} pictures are there", "assets")
        return assets

    def ask_for_asset(self, scene, line):
        if self.failures == 0:
            return film.Asset(line)
        self.failures -= 1
        text = "The asset service is busy"
        self.task.log("ERROR", f"{text}: no picture for scene {scene}", "assets")
        raise Failure(
            "ASSET_SERVICE_BUSY",
            text,
            is_retryable=True,
            stage="assets",
            details={"scene": scene},
            solutions=["It is asked again by itself", "Make the film with fewer scenes"],
            trace_id=self.job["trace_id"],
        )

    def retry(self, attempt):
        """Repeats an attempt, telling of each failure as the workers in Rust do."""
        for made in range(MAX_RETRIES + 1):
            try:
                return attempt()
            except Failure as failure:
                error = failure.error
                error["max_retries"] = MAX_RETRIES
                if made == MAX_RETRIES or not error["is_retryable"]:
                    error["retry_count"] = made
                    self.task.publish("error", error)
                    raise
                delay = FIRST_DELAY * 2**made
                error["retry_count"] = made + 1
                error["retry_after_ms"] = int(delay * 1000)
                self.task.publish("error", error)
                self.rest(delay)

    def render(self, assets):
        self.begin("render")
        video, total = film.Film(len(assets) * film.FRAMES), len(assets) * film.FRAMES
        for asset in assets:
            for frame in range(film.FRAMES):
                video.push(asset, frame)
                self.step("render", video.frames, total, "frames")
        whole = video.finish()
        self.task.log("INFO", f"The film has {len(whole)} bytes", "render")
        return whole

    def thumbnail(self, assets):
        self.begin("thumbnail")
        small = assets[len(assets) // 2].thumbnail()
        self.step("thumbnail", 1, 1, "pictures", message="The middle of the film")
        return small

    def upload(self, files):
        self.begin("upload")
        done, total = 0, sum(len(file) for file in files.values())
        for name, file in files.items():
            for offset in range(0, len(file), PART):
                part = file[offset : offset + PART]
                self.put(f"mb:file:{self.job['id']}:{name}", offset, part)
                done += len(part)
                self.step("upload", done, total, "bytes")
        self.task.log("INFO", "The film can be seen", "upload")

    def put(self, key, offset, part):
        """Writes a part to where it belongs, so that it may be written twice."""
        while True:
            try:
                with self.client.pipeline(transaction=True) as pipe:
                    pipe.setrange(key, offset, part).expire(key, KEPT_FOR).execute()
                return
            except redis.RedisError:
                self.rest(0.2)

    def step(self, stage, current, total, unit, **more):
        self.task.update(stage, current, total, unit, **more)
        self.rest(self.pace)

    def rest(self, seconds):
        if stopping.wait(seconds):
            raise Stop


class Desk:
    """The queue as one worker sees it; see `queue.rs`."""

    def __init__(self, client, worker):
        self.client, self.worker, self.doing = client, worker, f"mb:doing:{worker}"

    def take(self):
        while not stopping.is_set():
            try:
                text = self.client.lindex(self.doing, 0)
                for kind in ("python", "any"):
                    text = text or self.client.lmove(f"mb:jobs:{kind}", self.doing, "LEFT", "RIGHT")
                if text:
                    return text
                stopping.wait(0.1)
            except redis.RedisError:
                stopping.wait(0.2)
        raise Stop

    def done(self, text):
        while not stopping.is_set():
            try:
                self.client.lrem(self.doing, 1, text)
                return
            except redis.RedisError:
                stopping.wait(0.2)

    def stay_alive(self):
        while not stopping.is_set():
            try:
                with self.client.pipeline(transaction=True) as pipe:
                    pipe.set(f"mb:alive:{self.worker}", 1, px=ALIVE_FOR_MS)
                    pipe.sadd("mb:workers", self.worker).execute()
            except redis.RedisError:
                pass
            stopping.wait(ALIVE_FOR_MS / 4000)

    def leave(self):
        while self.client.lmove(self.doing, "mb:jobs:python", "LEFT", "LEFT"):
            pass
        with self.client.pipeline(transaction=True) as pipe:
            pipe.srem("mb:workers", self.worker).delete(f"mb:alive:{self.worker}").execute()


def perform(client, job, pace, worker):
    """Does a job, and ends its task."""
    production = Production(client, job, pace, worker)
    try:
        try:
            end = {"status": "completed", "result": production.run()}
        except Failure as failure:
            end = {"status": "failed", "error": failure.error}
        except Cancelled:
            end = {"status": "cancelled", "cause": "cancelled"}
        production.task.publish("complete", end)
    except Refused as refused:
        # It has ended already: a worker that was taken for dead, or a job that came twice.
        print(f"{job['id']}: {refused}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--name", default="1")
    parser.add_argument("--pace", type=float, default=0.04)
    settings = parser.parse_args()
    client = redis.Redis.from_url(settings.redis, socket_timeout=2, socket_connect_timeout=1)
    name = f"python-{settings.name}"
    worker = f"{name}-{os.getpid()}"
    desk = Desk(client, worker)
    threading.Thread(target=desk.stay_alive, daemon=True).start()
    threading.Thread(target=watch_parent, daemon=True).start()
    print(f"{name} pid {os.getpid()}", flush=True)
    try:
        while True:
            text = desk.take()
            try:
                job = json.loads(text)
                job = {field: job[field] for field in ("id", "title", "scenes", "failures", "trace_id")}
            except (ValueError, TypeError, KeyError) as error:
                # It would come again and again.
                print(f"this is no job: {text}: {error!r}", file=sys.stderr)
            else:
                perform(client, job, settings.pace, worker)
            desk.done(text)
    except Stop:
        pass
    try:
        desk.leave()
    except redis.RedisError:
        pass


def watch_parent():
    """The launcher holds our standard input open for as long as it lives."""
    sys.stdin.buffer.read()
    stopping.set()


if __name__ == "__main__":
    main()
