// The calls of the system's own page, by axios and a WebSocket: prints what it shows, a JSON line each.
// node page.cjs URL
const { createRequire } = require("node:module");
const installed = createRequire(require.resolve("../../../target/clients/package.json"));
const axios = installed("axios");
// A browser's, where Node.js has none.
const WebSocket = globalThis.WebSocket ?? installed("ws");
const say = (...shown) => console.log(JSON.stringify(shown));

async function main() {
  const api = axios.create({ baseURL: process.argv[2], proxy: false, headers: { Origin: "http://localhost:8080" } });
  const latest = (await api.get("/v1/sensors/latest")).data;
  say("latest", Object.keys(latest.sensors).sort(), latest.total_count);
  const history = (await api.get("/v1/sensors/history", { params: { sensor_id: "temp-001", limit: 50, hours: 6 } })).data;
  say("history", history.count, history.readings.map((reading) => reading.value));
  const stats = (await api.get("/v1/sensors/stats", { params: { hours: 24 } })).data;
  say("stats", stats.total_readings, stats.anomaly_count);
  const compared = (await api.get("/v1/sensors/compare/weather")).data;
  say("compare", compared.weather_data.city, compared.sensor_data.temperature.sensor_id);
  const failed = await api.get("/v1/sensors/latest?limit=0").catch((error) => error.response);
  say("failed", failed.status, failed.data.detail[0].loc[1]);

  const socket = new WebSocket(process.argv[2].replace(/^http/, "ws") + "/ws");
  let left = 2;
  socket.onopen = () => socket.send(JSON.stringify({ type: "ping" }));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    switch (message.type) {
      case "connection":
        return say("connection", message.data.status);
      case "pong":
        return say("pong");
      case "sensor_data": {
        const { sensor_type, sensor_id, value, unit } = message.data;
        say("sensor_data", sensor_type, sensor_id, value, unit);
        if (--left === 0) socket.close();
      }
    }
  };
  socket.onerror = (event) => {
    console.error(event.message);
    process.exitCode = 1;
  };
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
