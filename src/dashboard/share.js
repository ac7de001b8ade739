// The page of a share link: has the browser keep what stands behind the `#`, and goes on to the hub's page.

const byId = (id) => document.getElementById(id);
const token = location.hash.slice(1);
if (token) history.replaceState(null, "", location.pathname);

function tell(text) {
  byId("error").textContent = text;
  byId("state").textContent = "";
}

async function open() {
  const answer = await fetch("/api/auth/shares/open", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }),
  });
  if (answer.ok) location.replace("/");
  else tell((await answer.json()).detail);
}

if (token) open().catch(() => tell("twinhub does not answer."));
else tell("This link is not whole: it ends with a long word.");
