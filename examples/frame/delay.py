"""A proxy that passes bytes on after a delay, as the network to a distant service does: python3 -m frame.delay HOST:PORT MILLISECONDS

Only the way to the upstream is delayed, so a request and its answer take the delay once.
"""

from __future__ import annotations

import asyncio
import sys

CHUNK_BYTES = 65536


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Keeps the order and the distance of the chunks: each leaves `delay` after it came."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def receive() -> None:
        while True:
            try:
                data = await reader.read(CHUNK_BYTES)
            except ConnectionError:
                data = b""
            chunks.put_nowait((loop.time() + delay, data))
            if not data:
                return

    receiving = asyncio.create_task(receive())
    try:
        while True:
            leaves_at, data = await chunks.get()
            await asyncio.sleep(max(0.0, leaves_at - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        receiving.cancel()
        writer.close()


async def serve(upstream: str, delay: float) -> None:
    host, _, port = upstream.rpartition(":")

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, upstream_writer, delay), pass_on(upstream_reader, writer, 0.0))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    address, chosen = server.sockets[0].getsockname()
    print(f"ready {address}:{chosen}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]) / 1000))
