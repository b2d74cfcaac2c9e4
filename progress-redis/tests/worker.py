"""A worker that tells of its task through Redis alone, with redis-py.

`Task` is all that a worker needs; what is below it is the worker that the tests of progress-redis run.
"""

import json
import os
import secrets
import socket
import sys
import time

import redis


class Task:
    """Tells of one task. Each event is there once, however often it had to be sent."""

    def __init__(self, client, task_id, prefix="pgs", patience=30.0):
        self.client = client
        self.key = f"{prefix}:t:{{{task_id}}}"
        self.patience = patience
        # Of this process alone: another one counts for itself.
        self.producer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.n = 0
        self.cancel_requested = False

    def publish(self, event_type, data, key=""):
        """Publishes an event; returns its position.

        Raises redis.ResponseError, whose first word says why, if it cannot be one, and what the
        connection says if Redis is away for longer than the patience.
        """
        self.n += 1
        data = json.dumps(data, allow_nan=False)
        words = ("FCALL", "progress_publish", 1, self.key, self.producer, self.n, event_type, data, key)
        pause, until = 0.05, time.monotonic() + self.patience
        while True:
            try:
                position, cancel = self.client.execute_command(*words)
                self.cancel_requested |= cancel in ("1", b"1")
                return position if isinstance(position, str) else position.decode()
            except redis.ResponseError as error:
                # The nodes load the function again by themselves.
                if "Function not found" not in str(error) or time.monotonic() > until:
                    raise
            except (redis.ConnectionError, redis.TimeoutError):
                # It may have been done all the same: under the same number it is not done twice.
                if time.monotonic() > until:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def progress(self, **fields):
        return self.publish("progress_update", fields)

    def log(self, message, level="INFO"):
        return self.publish("log", {"message": message, "level": level})

    def complete(self, result=None):
        return self.publish("complete", {"status": "completed", "result": result})

    def cancelled(self):
        return self.publish("complete", {"status": "cancelled"})


def whole(task):
    """A job from its beginning to its end."""
    for stage, progress in (("load", 10.5), ("render", 60)):
        task.publish("stage_change", {"current_stage": stage})
        for current in range(1, 6):
            task.progress(stage=stage, current=current, total=5, progress=progress)
            task.log(f"{stage} {current} é", "WARNING" if current == 5 else "INFO")
    task.publish("error", {"code": "BUSY", "message": "again", "is_retryable": True, "retry_count": 1})
    task.publish("photo", {"url": "a"}, key="first")
    task.complete({"url": "done"})


def many(task):
    """Lines that are to be there once each, whatever becomes of the connection."""
    for number in range(400):
        task.log(str(number))
    task.complete()


def until_cancelled(task):
    """A job that goes on until somebody asks it to stop."""
    while not task.cancel_requested:
        task.progress(message="working")
        time.sleep(0.05)
    task.cancelled()


def silent(task):
    """A job that says something once, and then hangs."""
    task.progress(message="working")
    print("told", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    _, url, task_id, job = sys.argv
    client = redis.Redis.from_url(url, socket_timeout=2.0)
    {"whole": whole, "many": many, "until_cancelled": until_cancelled, "silent": silent}[job](Task(client, task_id))
