"""Prints the frames of a task's event stream: httpx_sse_client.py http://HOST/sse/progress/TASK"""

import json
import sys

import httpx
from httpx_sse import connect_sse

with httpx.Client(timeout=30) as client, connect_sse(client, "GET", sys.argv[1]) as source:
    for event in source.iter_sse():
        print(json.dumps({"id": event.id, **json.loads(event.data)}), flush=True)
print(json.dumps({"closed": 200}))
