"""Jobs that tell a test that they run, and end when the test lets them: no time in between."""

import asyncio
import socket

from dispatcher import Dispatcher

app = Dispatcher()


@app.job("gate.wait")
async def wait(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


@app.job("gate.thread")
def thread(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return connection.makefile().readline().strip()
