// Choosing a role opens its form beside the choices: what Continue leads to, taken out of
// that page. What was typed is kept; nothing is decided here, and nothing sent. Without it,
// Continue leads there.
(() => {
  const choices = document.getElementById("choices");
  if (!choices) return;
  const words = document.currentScript.dataset;
  const { put, say } = window.jitaccess;
  const place = document.getElementById("asking"), status = document.getElementById("asking-status");
  const wait = document.getElementById("asking-wait"), failed = document.getElementById("asking-failed");
  const [again, alone] = [failed.querySelector("button"), failed.querySelector("a")];
  const names = new Intl.ListFormat(document.documentElement.lang, { type: "conjunction" });
  document.querySelector(".choosing").classList.add("beside");
  // stale: what is shown is not what is chosen. wanted: somebody has asked to get to the form.
  let running, slow, stale = false, wanted = false;
  const touched = new Map();

  const keyOf = (field) => field.id || `${field.name} ${field.value}`;
  place.addEventListener("input", ({ target: field }) => {
    if (field.name === "minutes") for (const other of place.querySelectorAll(`form.ask [name=minutes]`)) touched.delete(keyOf(other));
    touched.set(keyOf(field), field.matches("[type=checkbox], [type=radio]") ? field.checked : field.value);
  });
  const fill = () => {
    for (const field of place.querySelectorAll("input:not([type=hidden])")) {
      const kept = touched.get(keyOf(field));
      if (kept === undefined) continue;
      if (typeof kept === "boolean") field.checked = kept; else field.value = kept;
      if (field.id === "minutes" && kept) for (const p of place.querySelectorAll("form.ask [type=radio]")) p.checked = false;
    }
  };
  const goTo = () => { wanted = false; place.querySelector("#justification")?.focus(); };

  const show = (found, titles) => {
    const at = place.contains(document.activeElement) && document.activeElement;
    const [id, from, to] = at ? [at.id, at.selectionStart, at.selectionEnd] : [];
    for (const part of found.querySelectorAll("[autofocus]")) part.removeAttribute("autofocus");
    found.querySelector("#entitlement")?.removeAttribute("id");
    place.replaceChildren(...found.childNodes);
    place.hidden = false;
    fill();
    put(place);
    const same = id && document.getElementById(id);
    if (same) {
      same.focus({ preventScroll: true });
      if (typeof from === "number") same.setSelectionRange(from, to);
    }
    status.textContent = say(words.opened, { roles: names.format(titles) });
    if (wanted) goTo();
  };
  const fails = (problem, code) => {
    const said = [...(problem?.querySelectorAll("h2, h2 ~ p:not(:has(a))") ?? [])].map((p) => p.textContent.trim());
    failed.querySelector("p").textContent = said.join(" ") || words.failed;
    again.hidden = code >= 400 && code < 500 && code !== 429 && code !== 401;
    failed.hidden = false;
    wanted = false;
  };
  const settle = () => {
    running?.abort();
    running = undefined;
    clearTimeout(slow);
    wait.hidden = failed.hidden = true;
  };
  const open = async () => {
    settle();
    const chosen = [...choices.querySelectorAll("[name=entitlement]:checked")];
    stale = chosen.length > 0;
    if (!stale) {
      place.hidden = true;
      place.replaceChildren();
      status.textContent = words.none;
      return;
    }
    const mine = running = new AbortController();
    alone.href = `${choices.action}?${new URLSearchParams(new FormData(choices))}`;
    slow = setTimeout(() => { wait.hidden = false; }, 1000);
    try {
      const answer = await fetch(alone.href, { headers: { Accept: "text/html" }, signal: mine.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== running) return;
      settle();
      const found = page.getElementById("asking");
      if (!answer.ok || !found?.querySelector("form.ask")) return fails(page.getElementById("problem"), answer.status);
      stale = false;
      show(found, chosen.map((box) => box.closest("label").querySelector(".role-title").textContent));
    } catch {
      if (mine !== running) return; // another choice was made, or somebody does not want to wait
      settle();
      fails();
    }
  };
  choices.addEventListener("change", open);
  choices.addEventListener("submit", (e) => {
    if (!choices.querySelector("[name=entitlement]:checked")) return; // the service says what is missing
    e.preventDefault();
    wanted = true;
    if (!stale) goTo(); else if (!running) open();
  });
  again.addEventListener("click", () => { again.focus(); open(); });
  wait.querySelector("button").addEventListener("click", () => {
    settle();
    fails();
    failed.querySelector("p").textContent = words.cancelled;
  });
  // What is shown is not sent while something else is chosen.
  place.addEventListener("submit", (e) => {
    if (!stale) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    status.textContent = words.stale;
  }, true);
  // What the browser has ticked again, on the way back.
  window.addEventListener("pageshow", () => {
    if (!document.getElementById("problem") && choices.querySelector("[name=entitlement]:checked") && place.hidden) open();
  });
})();
