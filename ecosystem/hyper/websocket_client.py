#!/usr/bin/python3
"""A client of examples/websocket.rs, by the library `websockets`: websocket_client.py HOST PORT PID.

It talks, with messages of many lengths, then stops the server by SIGTERM and gets its close.
"""

import asyncio
import os
import signal
import sys

import websockets


async def main(host, port, pid):
    url = f"ws://{host}:{port}/"
    async with websockets.connect(url, max_size=None) as one, websockets.connect(url) as other:
        for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000]:
            await one.send("a" * length)
            await one.send(b"b" * length)
            assert await one.recv() == "A" * length
            assert await one.recv() == b"b" * length
        await (await one.ping())
        await other.send("straße")
        assert await other.recv() == "STRASSE"
        await other.close()
        gone = await websockets.connect(url)
        gone.transport.abort()
        os.kill(pid, signal.SIGTERM)
        try:
            await one.recv()
            raise AssertionError("no close")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "the server stops"), closed


asyncio.run(asyncio.wait_for(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), 30))
