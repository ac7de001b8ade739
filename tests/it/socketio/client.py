"""A program's client: prints all that it hears, a JSON line each.

client.py URL TRANSPORTS [TOKEN]
"""

import json
import sys

import socketio

url, transports, *token = sys.argv[1:]
client = socketio.Client(reconnection=False)


def say(on, **more):
    # In one write: the library speaks on several threads, and a line end of its own may come after another's line.
    sys.stdout.write(json.dumps({"on": on, **more}) + "\n")
    sys.stdout.flush()


@client.event
def connect():
    say("connect", id=client.get_sid(), transport=client.transport())


@client.event
def connect_error(data):
    say("connect_error", message=data if isinstance(data, str) else data.get("message"))


@client.event
def disconnect(*reason):
    say("disconnect", reason=list(reason))


@client.on("sensor_data")
def sensor_data(*data):
    say("sensor_data", data=data)


try:
    client.connect(url, transports=transports.split(","), auth={"token": token[0]} if token else None)
    client.start_background_task(lambda: (sys.stdin.read(), client.disconnect()))
    client.wait()
except socketio.exceptions.ConnectionError as error:
    say("failed", message=str(error))
