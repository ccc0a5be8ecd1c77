// Sends the token of the link's fragment, or of the form. A fragment never leaves the browser by itself.

/** The page that asked for the login, only ever one of this origin. */
function next() {
  const asked = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return asked.origin === location.origin ? asked.pathname + asked.search : "/";
}

async function enter(token) {
  const answer = await fetch("/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (answer.ok) {
    location.replace(next());
    return;
  }
  const { error, hint } = await answer.json();
  document.getElementById("answer").textContent = `${error}: ${hint}`;
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) {
  history.replaceState(null, "", location.pathname + location.search); // out of the history
  enter(given);
} else {
  // A link from another site comes without the cookie, which asking from here has.
  fetch("/login", { redirect: "manual" }).then((answer) => {
    if (answer.type === "opaqueredirect") location.replace(next());
  });
}
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(document.getElementById("token").value);
});
