// Active alarms and the rules: what is wrong, what runs by itself, and why it did or did not.

import { ask } from "./session.js";

const MOST = 200; // shown of each
const ENTRIES = 500; // of the journal that are looked through for the last of each rule

const byId = (id) => document.getElementById(id);

/** Rows by rule. */
const rows = new Map();

/** Makes an element; text is always text, never markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function json(path) {
  const response = await ask(path);
  if (!response.ok) throw new Error((await response.json()).error);
  return response.json();
}

/** Shows what stands now. */
export async function load() {
  const [alarms, rules, journal, broken] = await Promise.all([
    json(`/api/alarms?active=true&limit=${MOST}`), json(`/api/automation/rules?limit=${MOST}`),
    json(`/api/automation/journal?limit=${ENTRIES}`), json("/api/automation/files"),
  ]);
  byId("alarms").hidden = alarms.length === 0;
  byId("alarm-list").replaceChildren(...alarms.map(alarm));
  const last = new Map();
  for (const run of journal) if (!last.has(run.rule_id)) last.set(run.rule_id, run); // the newest comes first
  rows.clear();
  byId("rules").hidden = rules.length === 0 && broken.length === 0;
  byId("rule-rows").replaceChildren(...rules.map((rule) => row(rule, last.get(rule.id))));
  byId("broken").hidden = broken.length === 0;
  byId("broken").replaceChildren(...broken.map(({ path, problems: [first] }) => element("li", {
    textContent: `${path}${first.line ? `:${first.line}:${first.column}` : ""}: ${first.message}`,
  })));
}

function alarm({ id, type, severity, message, device_id: device, rule_id: rule, raised_at: at, count, acknowledged }) {
  const seen = element("button", { type: "button", textContent: acknowledged ? "Acknowledged" : "Acknowledge", disabled: acknowledged });
  seen.addEventListener("click", async () => {
    seen.disabled = true;
    await ask(`/api/alarms/${id}/acknowledge`, { method: "POST" }).catch(() => {});
    reloadSoon();
  });
  const about = [device ?? `rule ${rule}`, type, new Date(at).toLocaleString(), count > 1 ? `${count} times` : ""];
  const item = element("li", {}, element("span", { className: "severity", textContent: severity }),
    element("div", {}, element("strong", { textContent: message || type }),
      element("small", { textContent: about.filter(Boolean).join(" · ") })), seen);
  item.dataset.severity = severity;
  return item;
}

function row(rule, run) {
  const status = element("span", { className: "status", textContent: rule.status, title: rule.stopped_reason ?? "" });
  status.dataset.status = { running: "online", stopped: "offline" }[rule.status] ?? rule.status;
  const last = element("td");
  const warnings = rule.warnings.map((warning) => element("small", { className: "warning", textContent: warning.message }));
  const made = element("tr", {},
    element("td", { className: "name" },
      element("a", { href: `/api/automation/rules/${encodeURIComponent(rule.id)}`, textContent: rule.name }),
      element("small", { textContent: [rule.id, rule.triggers.join(", "), rule.file ?? "api"].join(" · ") }), ...warnings),
    element("td", {}, status), last);
  rows.set(rule.id, last);
  if (run) tell(last, run);
  else last.replaceChildren(element("span", { className: "quiet", textContent: "nothing yet" }));
  return made;
}

/** What came of the rule last: done, or why not. */
function tell(cell, run) {
  const { outcome, why, detail, reason, at, last_at: lastAt, device_id: device, count, id } = run;
  const head = outcome === "not_run" ? `not run: ${why.replaceAll("_", " ")}` : outcome;
  const about = [new Date(lastAt ?? at).toLocaleString(), device ?? "", count > 1 ? `${count} times` : "", detail || reason || ""];
  const link = element("a", { href: `/api/automation/runs/${id}`, textContent: head });
  cell.replaceChildren(link, element("small", { className: "quiet", textContent: about.filter(Boolean).join(" · ") }));
  cell.className = `outcome ${outcome}`;
}

/** Something happened: an event of kind `rule` or `alarm`. */
export function happen({ kind, data }) {
  const cell = kind === "rule" && data.outcome ? rows.get(data.rule_id) : null;
  if (cell) tell(cell, data);
  else reloadSoon(); // an alarm, or other rules than are shown
}

let reloading = null;
export function reloadSoon() {
  reloading ??= setTimeout(() => {
    reloading = null;
    load().catch(() => {}); // the link says when it is lost
  }, 400);
}
