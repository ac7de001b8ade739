// A live table of twins: a page of the list first, then every event as it comes.

import * as rules from "./rules.js";
import { ask, showUser, toSignIn } from "./session.js";

const PAGE = 200; // rows shown at most; more is what search is for
const READINGS = 8; // shown of one device
const FLASH_MS = 150;
const SIGNED_OUT = 4401; // the code of a closed socket

const byId = (id) => document.getElementById(id);
const link = byId("link"), search = byId("search"), rows = byId("rows");

/** Rows by device id. */
const shown = new Map();
/** The last event seen: a new connection goes on from there. */
let cursor = null;
let waitMs = 500;

/** Makes an element; text is always text, never markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function load() {
  const query = new URLSearchParams({ limit: PAGE, sort: "name" });
  if (search.value.trim()) query.set("q", search.value.trim());
  const response = await ask(`/api/devices?${query}`);
  if (!response.ok) throw new Error((await response.json()).error);
  const total = Number(response.headers.get("X-Total-Count"));
  const devices = await response.json();
  shown.clear();
  rows.replaceChildren(...devices.map((device) => row(device).element));
  tellCount(total);
}

function tellCount(total) {
  const filtered = search.value.trim() !== "";
  byId("table").hidden = total === 0;
  byId("empty").hidden = total !== 0 || filtered;
  byId("count").textContent = total === 0 ? (filtered ? "none found" : "") : `${total} device${total === 1 ? "" : "s"}`;
  byId("more").hidden = total <= shown.size;
  byId("more").textContent = `${shown.size} shown`;
}

function row(device) {
  const parts = {
    name: element("a", { href: `/api/devices/${encodeURIComponent(device.id)}` }),
    id: element("small"),
    status: element("span", { className: "status" }),
    seen: element("td", { className: "seen" }),
    readings: element("dl", { className: "readings" }),
    values: new Map(),
    lastSeen: device.last_seen ? Date.parse(device.last_seen) : null,
  };
  parts.element = element("tr", {},
    element("td", { className: "name" }, parts.name, parts.id),
    element("td", {}, parts.status), parts.seen, element("td", {}, parts.readings));
  shown.set(device.id, parts);
  name(parts, device);
  status(parts, device.status);
  for (const [reading, { value }] of Object.entries(device.readings)) read(parts, reading, value);
  age(parts);
  return parts;
}

function name(parts, device) {
  parts.name.textContent = device.name || device.id;
  parts.id.textContent = [device.id, device.type, device.claimed ? "" : "unclaimed"].filter(Boolean).join(" · ");
}

function status(parts, word) {
  parts.status.textContent = word;
  parts.status.dataset.status = word;
}

function read(parts, reading, value) {
  let cell = parts.values.get(reading);
  if (!cell) {
    if (parts.values.size >= READINGS) return;
    cell = element("dd");
    parts.values.set(reading, cell);
    parts.readings.append(element("div", {}, element("dt", { textContent: reading }), cell));
  }
  cell.textContent = typeof value === "object" ? JSON.stringify(value) : String(value);
}

function age(parts) {
  if (parts.lastSeen === null) {
    parts.seen.textContent = "never";
    return;
  }
  const seconds = Math.max(0, (Date.now() - parts.lastSeen) / 1000);
  const [amount, unit] = seconds < 60 ? [seconds, "s"] : seconds < 3600 ? [seconds / 60, "min"]
    : seconds < 86400 ? [seconds / 3600, "h"] : [seconds / 86400, "d"];
  parts.seen.textContent = seconds < 2 ? "now" : `${Math.floor(amount)} ${unit} ago`;
}

function heard(parts) {
  parts.lastSeen = Date.now();
  age(parts);
  parts.element.classList.add("heard");
  setTimeout(() => parts.element.classList.remove("heard"), FLASH_MS);
}

function happen(event) {
  const { kind, device_id: id, data } = event;
  if (kind === "rule" || kind === "alarm") return rules.happen(event);
  const parts = shown.get(id);
  if (!parts || (kind === "twin" && data.change !== "reported")) return reloadSoon(); // who it is has changed
  if (kind === "telemetry") for (const [reading, value] of Object.entries(data)) read(parts, reading, value);
  if (kind === "twin") for (const [reading, value] of Object.entries(data.reported ?? {})) read(parts, reading, value);
  if (kind === "presence") status(parts, data.status);
  if (kind !== "presence" || data.status === "online") heard(parts);
}

let reloading = null;
function reloadSoon() {
  reloading ??= setTimeout(() => {
    reloading = null;
    load().catch(() => state("lost"));
  }, 400);
}

function state(word) {
  link.dataset.state = word;
  link.textContent = word;
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/ws`);
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "hello") {
      const since = cursor === null ? {} : { since: cursor };
      socket.send(JSON.stringify({ type: "subscribe", id: "table", kinds: ["telemetry", "twin", "presence", "rule", "alarm"], ...since }));
      cursor ??= frame.cursor;
    } else if (frame.type === "subscribed") {
      waitMs = 500;
      state("live");
      rules.reloadSoon();
      reloadSoon(); // what stands now, from here on the events change it
    } else if (frame.type === "event") {
      cursor = frame.cursor;
      happen(frame);
    } else if (frame.type === "lagged" || frame.type === "resync") {
      cursor = frame.cursor;
      rules.reloadSoon();
      reloadSoon();
    }
  };
  socket.onclose = ({ code }) => {
    if (code === SIGNED_OUT) return toSignIn();
    state("lost");
    showUser().catch(() => {}); // a handshake that is refused does not say why: this leads away whoever is signed out
    setTimeout(() => connect(), waitMs);
    waitMs = Math.min(waitMs * 2, 15_000);
  };
}

async function tellWhatToTry() {
  let broker = "";
  try {
    const { parts } = await (await ask("/health")).json();
    const [, host, port] = /^mqtts?:\/\/(?:.*@)?(.+?)(?::(\d+))?$/.exec(parts.mqtt.url);
    broker = ` -h ${host}${port && port !== "1883" ? ` -p ${port}` : ""}`;
  } catch { /* without it the line means this machine and the usual port */ }
  byId("try").textContent =
    `mosquitto_pub${broker} -t iot/devices/my-first-device/data -m '{"temperature": 23.5}'`;
}

let typing = null;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => load().catch(() => state("lost")), 200);
});
setInterval(() => shown.forEach(age), 1000);
showUser().catch(() => {}); // the link says when it is lost
tellWhatToTry();
load().catch(() => state("lost"));
connect();
