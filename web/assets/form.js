// The request form: shows when the access would end, lets a number and the presets
// exclude each other, and keeps what was typed when a sign-in expires in between.
(() => {
  const form = document.querySelector("form.ask");
  if (!form) return;
  const number = form.querySelector("#minutes");
  const start = form.querySelector("#start");
  const preview = form.querySelector("[data-preview]");
  const reason = form.querySelector("#justification");
  const presets = [...form.querySelectorAll("input[type=radio][name=minutes]")];

  const show = () => {
    if (!preview) return;
    const chosen = presets.find((p) => p.checked);
    const minutes = parseInt(number.value || (chosen && chosen.value), 10);
    preview.hidden = !(minutes > 0 && minutes <= Number(number.max));
    if (preview.hidden) return;
    // An extension begins when the access that there is ends.
    const from = start?.value ? new Date(start.value + "Z") : new Date(preview.dataset.from ?? Date.now());
    const end = new Date(Math.max(from, Date.now()) + minutes * 60000);
    const { format, relative, say } = window.jitaccess;
    preview.textContent = say(preview.dataset.preview, { end: `${format.format(end)} (${relative(end)})` });
  };
  for (const p of presets) p.addEventListener("change", () => { number.value = ""; show(); });
  number.addEventListener("input", () => { if (number.value) for (const p of presets) p.checked = false; show(); });
  start?.addEventListener("input", show);
  setInterval(show, 30000);
  show();

  // What a rule looks for in the reason. A pattern that is none here is the service's alone.
  const patterns = [...form.querySelectorAll("[data-pattern]")].flatMap((item) => {
    try { return [[item, new RegExp(item.dataset.pattern, "u")]]; } catch { return []; }
  });
  const judge = () => {
    const text = reason.value.trim();
    for (const [item, pattern] of patterns) item.className = text && (pattern.test(text) ? "met" : "unmet");
  };
  const unmet = form.querySelector("[data-unmet]");
  reason.addEventListener("input", judge);
  reason.addEventListener("change", () => {
    if (unmet) unmet.textContent = patterns.filter(([item]) => item.className === "unmet").map(([item]) => item.textContent).join(" ");
  });

  const key = "reason " + form.dataset.keep;
  try {
    if (!reason.value) reason.value = sessionStorage.getItem(key) || "";
    reason.addEventListener("input", () => sessionStorage.setItem(key, reason.value));
  } catch { /* storage may be switched off */ }
  judge();

  // Two clicks are one request in any case; this only says that it is under way.
  form.addEventListener("submit", (e) => {
    if (e.defaultPrevented) return;
    const button = form.querySelector("button.primary");
    setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
  });
  window.addEventListener("pageshow", () => { form.querySelector("button.primary")?.removeAttribute("disabled"); });
})();
