// An ESP32 as a device of twinhub: it reports a temperature every ten seconds, follows `desired.led`, and is shown as
// offline as soon as it is gone. Arduino IDE or PlatformIO, with the libraries PubSubClient and ArduinoJson.
//
// Start the hub for your network: twinhub --listen 0.0.0.0:8080 --mqtt-listen 0.0.0.0:1883 --open-to-network

#include <ArduinoJson.h>
#include <PubSubClient.h>
#include <WiFi.h>

const char *WIFI_NAME = "your network";
const char *WIFI_PASSWORD = "its password";
const char *HUB = "192.168.1.10";  // the address of the machine on which twinhub runs
const uint16_t HUB_PORT = 1883;
const char *DEVICE = "esp32-1";  // letters, digits, '-', '_', '.' and ':'; the device's id for good

const unsigned long REPORT_EVERY_MS = 10000;

WiFiClient network;
PubSubClient mqtt(network);
unsigned long reported_at = 0;

String topic(const char *end) { return String("iot/devices/") + DEVICE + "/" + end; }

// {"delta": {"led": true}, "desired": {"led": true}, "version": 5}: what the hub wants. The device does it, and reports
// it as its state.
void on_message(char *, byte *payload, unsigned int length) {
  JsonDocument message;
  if (deserializeJson(message, payload, length) != DeserializationError::Ok) return;
  if (!message["desired"]["led"].is<bool>()) return;
  bool led = message["desired"]["led"];
  digitalWrite(LED_BUILTIN, led ? HIGH : LOW);
  mqtt.publish(topic("state").c_str(), led ? "{\"led\": true}" : "{\"led\": false}");
}

void connect() {
  while (WiFi.status() != WL_CONNECTED) delay(200);
  // The last will: the broker says `offline` for the device when the connection breaks.
  while (!mqtt.connect(DEVICE, nullptr, nullptr, topic("status").c_str(), 1, true, "offline")) delay(2000);
  mqtt.publish(topic("status").c_str(), "online", true);
  mqtt.subscribe(topic("desired").c_str(), 1);
  mqtt.publish(topic("get").c_str(), "");  // what is desired now?
}

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  mqtt.setServer(HUB, HUB_PORT);
  mqtt.setBufferSize(2048);  // PubSubClient's own 256 bytes drop larger messages without a word
  mqtt.setCallback(on_message);
}

void loop() {
  if (!mqtt.connected()) connect();
  mqtt.loop();
  if (millis() - reported_at >= REPORT_EVERY_MS) {
    reported_at = millis();
    char payload[64];
    snprintf(payload, sizeof payload, "{\"temperature\": %.1f}", temperatureRead());
    mqtt.publish(topic("data").c_str(), payload);
  }
}
