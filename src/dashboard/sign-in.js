// The forms of /login, /setup and /join.

const byId = (id) => document.getElementById(id);
const form = byId("form"), error = byId("error"), button = byId("submit"), code = byId("code");

/** The token of a set-up link, or of an invitation. It stands behind the `#`, which no browser sends, and in the address no longer than needed. */
const token = location.hash.slice(1);
if (token) history.replaceState(null, "", location.pathname + location.search);

/** Where to go then: a page of this hub, whatever the address says. */
function next() {
  const home = new URL("/", location.origin);
  try {
    const asked = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
    const isOurs = asked.origin === location.origin && !["/login", "/setup", "/join"].includes(asked.pathname);
    return (isOurs ? asked : home).href;
  } catch {
    return home.href; // no address at all
  }
}

/** Tells what is wrong, at the field that is. */
function tell({ code: word, field, detail }) {
  if (word === "code_needed" && byId("code-part").hidden) {
    byId("code-part").hidden = false;
    code.required = true;
    code.focus();
    return;
  }
  error.textContent = `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`;
  const wrong = word === "wrong_credentials" ? byId("password") : byId(field);
  wrong?.focus();
  wrong?.select();
}

async function submit() {
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  const body = { ...Object.fromEntries(given), ...(form.dataset.token ? { [form.dataset.token]: token } : {}) };
  const answer = await fetch(form.action, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.ok) location.replace(next());
  else tell(await answer.json());
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  error.textContent = "";
  button.disabled = true;
  await submit().catch(() => { error.textContent = "twinhub does not answer."; });
  button.disabled = false;
});

if (form.dataset.token) {
  form.hidden = !token;
  byId("no-token").hidden = Boolean(token);
  if (token) byId("name").focus(); // it was hidden when the page looked for where to begin
} else {
  // A link from elsewhere brings no session along, and a page of ours does: who is signed in need not do it again.
  fetch("/api/auth/user").then(async (answer) => {
    if (answer.ok && (await answer.json()).user) location.replace(next());
  }).catch(() => {});
}
