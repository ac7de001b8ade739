// The name of the signed-in user. A user whose session has ended is led to the sign-in page, and from there back.

const byId = (id) => document.getElementById(id);

/** Leaves the page for the one to sign in at. */
export function toSignIn() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** As `fetch`. A caller without a session is led away, and the promise never comes to anything. */
export async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.status !== 401) return response;
  toSignIn();
  return new Promise(() => {});
}

/** Shows who is signed in, if the hub asks for that at all. */
export async function showUser() {
  const { user } = await (await ask("/api/auth/user")).json();
  if (!user) return;
  byId("user").textContent = user.display_name || user.name;
  byId("user").title = user.role;
  byId("session").hidden = false;
}

byId("sign-out").addEventListener("click", async () => {
  byId("sign-out").disabled = true;
  const done = await fetch("/api/auth/logout", { method: "POST" }).catch(() => null);
  if (done?.ok) location.assign("/login");
  else byId("sign-out").disabled = false;
});
