"""Prints the frames of a task's WebSocket: websockets_client.py ws://HOST/ws/progress/TASK"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url):
    async with connect(url, subprotocols=["progress.v1.json"]) as socket:
        try:
            while True:
                print(json.dumps(json.loads(await socket.recv())), flush=True)
        except ConnectionClosed:
            print(json.dumps({"closed": socket.close_code, "subprotocol": socket.subprotocol}), flush=True)


asyncio.run(main(sys.argv[1]))
