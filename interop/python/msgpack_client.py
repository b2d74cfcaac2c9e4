"""Prints the frames of a task's WebSocket, which come as MessagePack: msgpack_client.py ws://HOST/ws/progress/TASK"""

import asyncio
import json
import sys

import msgpack
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url):
    async with connect(url, subprotocols=["progress.v1.msgpack"]) as socket:
        try:
            while True:
                message = await socket.recv()
                assert isinstance(message, bytes), "binary frames"
                print(json.dumps(msgpack.unpackb(message)), flush=True)
        except ConnectionClosed:
            print(json.dumps({"closed": socket.close_code, "subprotocol": socket.subprotocol}), flush=True)


asyncio.run(main(sys.argv[1]))
