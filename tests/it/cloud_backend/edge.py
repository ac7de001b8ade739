"""A sensor of the edge, as this system's scripts are: python edge.py PORT SENSOR VALUE…"""

import json
import sys
from datetime import datetime, timezone

import paho.mqtt.client as mqtt

SENSORS = {
    "temp-001": ("temperature", "°C", lambda value: value > 40),
    "hum-001": ("humidity", "%", lambda value: value > 90),
    "press-001": ("pressure", "hPa", lambda value: False),
}

port, sensor_id, *values = sys.argv[1:]
kind, unit, is_anomaly = SENSORS[sensor_id]
client = mqtt.Client(client_id=f"sensor-{sensor_id}")
client.connect("127.0.0.1", int(port), 60)
client.loop_start()
for value in map(float, values):
    payload = {
        "ts": datetime.now(timezone.utc).replace(tzinfo=None).isoformat(),
        "sensor_id": sensor_id,
        "type": kind,
        "value": value,
        "unit": unit,
        "origin": "edge",
        "source_protocol": "mqtt",
        "anomaly": is_anomaly(value),
    }
    client.publish(f"sensors/{kind}/{sensor_id}", json.dumps(payload), qos=1).wait_for_publish(20)
client.disconnect()
client.loop_stop()
