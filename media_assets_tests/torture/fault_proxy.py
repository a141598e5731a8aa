"""A TCP proxy between the product and the S3 server that misbehaves on demand.

It knows just enough HTTP to answer 503 where a request begins. The rest is what networks do: connections that are
refused, stall, or end in the middle of a body.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from types import TracebackType
from typing import Literal, Self

Fault = Literal["none", "refuse", "slow_down", "delay", "cut"]
FAULTS: tuple[Fault, ...] = ("refuse", "slow_down", "delay", "cut")

_CHUNK = 65536
_METHODS = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")
_BODY = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
_SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)


class FaultProxy:
    """Forwards 127.0.0.1:``port`` to another port of the loopback interface. Use as a context manager.

    Attributes:
        port: Where it listens.
        injected: How many connections or requests each fault hit.
    """

    def __init__(self, target_port: int, seed: int) -> None:
        self.port = 0
        self.injected: Counter[str] = Counter()
        self._target_port = target_port
        self._rng = random.Random(seed)
        self._fault: Fault = "none"
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._live: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def misbehave(self, fault: Fault) -> None:
        """Begin a fault, or end it with ``none``."""
        self._loop.call_soon_threadsafe(self._set, fault)

    def _set(self, fault: Fault) -> None:
        self._fault = fault
        if fault == "refuse":  # those that are open end too, as when a server goes away
            for writer in list(self._live):
                self._abort(writer, fault)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._live):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close at the next turn

    def _abort(self, writer: asyncio.StreamWriter, fault: str) -> None:
        self.injected[fault] += 1
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault == "refuse":
            self._abort(writer, "refuse")
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._live.add(writer)
        pumps = [
            asyncio.ensure_future(self._requests(reader, writer, up_writer)),
            asyncio.ensure_future(self._answers(up_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._live.discard(writer)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for one in (up_writer, writer):
                with contextlib.suppress(OSError, RuntimeError):
                    one.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if data.startswith(_METHODS):
                    if self._fault == "slow_down":
                        self.injected["slow_down"] += 1
                        writer.write(_SLOW_DOWN)
                        await writer.drain()
                        return
                    if self._fault == "delay":
                        self.injected["delay"] += 1
                        await asyncio.sleep(self._rng.uniform(0.2, 3.0))
                up_writer.write(data)
                await up_writer.drain()

    async def _answers(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await up_reader.read(_CHUNK):
                if self._fault == "cut" and self._rng.random() < 0.3:
                    writer.write(data[: self._rng.randrange(len(data))])
                    await writer.drain()
                    self._abort(writer, "cut")
                    return
                writer.write(data)
                await writer.drain()
