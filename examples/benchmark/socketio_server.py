"""python-socketio's own server, on aiohttp, doing what the guide's Flask server does: each message of a device becomes an
event for every client. It prints the port that it listens on.

socketio_server.py MQTT_PORT
"""

import asyncio
import json
import sys

import paho.mqtt.client as mqtt
import socketio
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
app = web.Application()
server.attach(app)


async def main():
    loop = asyncio.get_running_loop()

    def on_message(client, userdata, message):
        data = {"device_id": message.topic.split("/")[2], **json.loads(message.payload)}
        asyncio.run_coroutine_threadsafe(server.emit("sensor_data", data), loop)

    client = mqtt.Client()
    client.on_connect = lambda client, *_: client.subscribe("iot/devices/+/data")
    client.on_message = on_message
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()

    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
