"""Publishes as the system's own scripts do: python publisher.py PORT TOPIC PAYLOAD…"""

import sys

import paho.mqtt.client as mqtt

port, topic, *payloads = sys.argv[1:]
client = mqtt.Client()
client.connect("127.0.0.1", int(port), 60)
client.loop_start()
for payload in payloads:
    client.publish(topic, payload, qos=1).wait_for_publish(20)
client.disconnect()
client.loop_stop()
