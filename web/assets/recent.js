// What somebody asked for lately, where there is no ledger: this browser keeps it, for this
// person alone. What it kept for anybody else is dropped.
(() => {
  const { person, recent } = document.currentScript.dataset;
  if (!person) return;
  const key = `recent ${person}`, last = 50, shown = 5;
  const read = () => {
    try {
      const all = JSON.parse(localStorage.getItem(key) ?? "[]");
      return Array.isArray(all) ? all.filter((r) => /^\/access\/[^/\\]/.test(r?.path) && typeof r.title === "string" && typeof r.on === "string") : [];
    } catch { return []; }
  };
  try {
    for (const other of Object.keys(localStorage)) if (other.startsWith("recent ") && other !== key) localStorage.removeItem(other);
  } catch { return; /* storage may be switched off */ }

  window.jitaccess.each((root) => {
    const form = root.querySelector(`form.ask[action^="/access/"]`);
    form?.addEventListener("submit", (e) => {
      if (e.defaultPrevented) return;
      const ids = [...form.querySelectorAll("[name=entitlement]")].map((f) => ["entitlement", f.value]);
      const action = form.getAttribute("action");
      const title = [...form.querySelectorAll(".role-title")].map((t) => t.textContent).join(", ").slice(0, 300);
      const all = [{ path: `${action}?${new URLSearchParams(ids)}`, title, on: action.replace(/^\/access\/[^/]+\//, "") }, ...read()];
      try { localStorage.setItem(key, JSON.stringify(all.slice(0, last))); } catch { /* full */ }
    });
  });

  const box = document.getElementById("recent"), list = document.getElementById("projects");
  if (!box || box.dataset.person !== person) return;
  // Often and last comes first: each counts as much as there are older ones.
  const weights = new Map(), by = new Map();
  read().forEach((r, i) => { by.set(r.path, by.get(r.path) ?? r); weights.set(r.path, (weights.get(r.path) ?? 0) + last - i); });
  const items = [...by.values()].sort((a, b) => weights.get(b.path) - weights.get(a.path)).slice(0, shown).map((r) => {
    const item = box.querySelector("template").content.firstElementChild.cloneNode(true);
    item.querySelector("a").setAttribute("href", r.path);
    item.querySelector(".project-title").textContent = r.title;
    item.querySelector(".project-id").textContent = `${r.on} · ${recent}`;
    return item;
  });
  if (!items.length) return;
  list.prepend(...items);
  list.hidden = box.hidden = false;
  box.querySelector("button").addEventListener("click", () => {
    localStorage.removeItem(key);
    for (const item of items) item.remove();
    box.hidden = true;
    document.getElementById("projectId").focus();
  });
})();
