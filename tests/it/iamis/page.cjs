// The calls of the system's own page, by axios: prints the answers, a JSON line each.
// node page.cjs URL
const { createRequire } = require("node:module");
const axios = createRequire(require.resolve("../../../target/clients/package.json"))("axios");
const say = (on, data) => console.log(JSON.stringify({ on, data }));

async function main() {
  const api = axios.create({ baseURL: process.argv[2], proxy: false });
  say("health", (await api.get("/health-check/")).data);
  say("layout", (await api.get("/api/layout")).data);
  const tiles = ["temperature", "humidity"].map((sensorType, index) => ({
    id: `tile-${index}`,
    title: sensorType,
    sensorType,
    layout: { i: `tile-${index}`, x: 4 * index, y: 0, w: 4, h: 3 },
  }));
  say("saved", (await api.post("/api/layout", { tiles })).data);
  for (let value = 1; value <= 3; value++) {
    await api.post("/sensor-data/", { sensor_type: "temperature", value, unit: "°C" });
  }
  for (const tile of (await api.get("/api/layout")).data.tiles) {
    const answer = await api.get(`/sensor-data/${tile.sensorType}/?page=1&limit=100`);
    const shown = answer.data.reverse().map(({ value, timestamp }) => [value, Number.isFinite(Date.parse(timestamp))]);
    say(tile.sensorType, shown);
  }
  // As older pages ask, without the slash.
  const moved = await api.post("/sensor-data", { sensor_type: "temperature", value: 4, unit: "°C" });
  say("moved", [moved.status, moved.data.id]);
  const failed = await api.post("/sensor-data/", { sensor_type: "temperature" }).catch((error) => error.response);
  say("failed", [failed.status, failed.data.detail.map((fault) => fault.loc.join("."))]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
