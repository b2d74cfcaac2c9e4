"""A worker that knows nothing of progress-redis: it publishes JSON with redis-py, at most once."""

import json
import sys

import redis

if __name__ == "__main__":
    _, url, task_id = sys.argv
    client = redis.Redis.from_url(url)

    def publish(message):
        client.publish(f"progress:{task_id}", message if isinstance(message, bytes) else json.dumps(message))

    publish({"event": "progress_update", "data": {"current_stage": "render", "progress": 40, "estimated_remaining": 5}})
    publish(b"\x00 no JSON {")
    publish(b"[" * 10_000_000)
    publish({"task_id": task_id, "current": 3, "total": 10})
    publish({"event_type": "log", "data": {"message": "hi", "level": "WARNING"}})
    publish({"status": "FAILED", "error_code": "GPU_LOST", "message": "the GPU is gone"})
