"""A voice assistant, by the protocol's own library: one step for each JSON line on stdin.

    python peer.py PORT

{"do": "info"}                     -> the described handle program
{"do": "ping", "text": "x"}        -> {"type": "pong", ...}
{"do": "say", "text": ..., "language"?: ..., "context"?: {...}, "noise"?: true}
                                   -> {"type": "handled" | "not-handled", "text", "context"}

Each answer is one JSON line on stdout. Needs the package `wyoming`.
"""

import asyncio
import json
import sys

from wyoming.asr import Transcript
from wyoming.audio import AudioChunk
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.handle import Handled, NotHandled
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

READ_SECONDS = 15


async def step(client: AsyncTcpClient, order: dict) -> dict:
    if order["do"] == "info":
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
        (program,) = info.handle
        (model,) = program.models
        return {
            "name": program.name,
            "installed": program.installed and model.installed,
            "version": program.version,
            "attribution": program.attribution.name,
            "languages": model.languages,
            "home_control": program.supports_home_control,
            "streaming": program.supports_handled_streaming,
            "others": len(info.asr + info.tts + info.intent + info.wake + info.mic + info.snd),
        }
    if order["do"] == "ping":
        await client.write_event(Ping(text=order["text"]).event())
        event = await client.read_event()
        assert Pong.is_type(event.type), event
        return {"type": event.type, "text": Pong.from_event(event).text}
    if order.get("noise"):
        # What a satellite may send besides: audio with its payload, and what nobody knows yet.
        await client.write_event(AudioChunk(16000, 2, 1, bytes(32000)).event())
        await client.write_event(Event(type="from-the-future", data={"a": 1}))
    transcript = Transcript(order["text"], order.get("context"), order.get("language"))
    await client.write_event(transcript.event())
    event = await client.read_event()
    kinds = {"handled": Handled, "not-handled": NotHandled}
    said = kinds[event.type].from_event(event)
    return {"type": event.type, "text": said.text, "context": said.context}


async def main() -> None:
    client = AsyncTcpClient("127.0.0.1", int(sys.argv[1]), read_timeout=READ_SECONDS)
    async with client:
        for line in sys.stdin:
            print(json.dumps(await step(client, json.loads(line))), flush=True)


asyncio.run(main())
