// The request form: shows when the access would end and whom it asks, lets a number and the
// presets exclude each other, judges the reason by its rules, and keeps what was typed when a
// sign-in expires in between.
(() => {
  const { each, format, now, relative, say } = window.jitaccess;
  const names = new Intl.ListFormat(document.documentElement.lang, { type: "conjunction" });
  let show = () => {};
  setInterval(() => show(), 30000);
  each((root) => {
    const form = root.querySelector("form.ask");
    if (!form) return;
    const number = form.querySelector("#minutes");
    const start = form.querySelector("#start");
    const preview = form.querySelector("[data-preview]");
    const reason = form.querySelector("#justification");
    const presets = [...form.querySelectorAll("input[type=radio][name=minutes]")];

    show = () => {
      if (!preview) return;
      const chosen = presets.find((p) => p.checked);
      const minutes = parseInt(number.value || (chosen && chosen.value), 10);
      preview.hidden = !(minutes > 0 && minutes <= Number(number.max));
      if (preview.hidden) return;
      // An extension begins when the access that there is ends.
      const from = start?.value ? new Date(start.value + "Z") : new Date(preview.dataset.from ?? now());
      const end = new Date(Math.max(from, now()) + minutes * 60000);
      preview.textContent = say(preview.dataset.preview, { end: `${format.format(end)} (${relative(end)})` });
    };
    for (const p of presets) p.addEventListener("change", () => { number.value = ""; show(); });
    number.addEventListener("input", () => { if (number.value) for (const p of presets) p.checked = false; show(); });
    start?.addEventListener("input", () => show());
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

    // Whom it asks, beside the button.
    const asks = form.querySelector("[data-asks]");
    const tell = () => {
      const people = [...form.querySelectorAll("[name=reviewer]:checked ~ .address")].map((p) => p.textContent);
      if (people.length >= 8) people.splice(5, people.length, say(asks.dataset.others, { count: people.length - 5 }));
      asks.textContent = people.length ? say(asks.dataset.asks, { people: names.format(people) }) : asks.dataset.nobody;
    };
    if (asks) {
      form.addEventListener("change", tell);
      tell();
    }

    // The glass is offered beside the button, and opens at a second look, with what was typed.
    const glass = root.querySelector("#glass"), opener = form.querySelector("[data-opens]");
    if (glass && opener && !glass.querySelector("[aria-invalid]")) {
      glass.hidden = true;
      opener.addEventListener("click", (e) => {
        e.preventDefault();
        glass.hidden = false;
        const why = glass.querySelector("#glass-justification");
        why.value ||= reason.value;
        glass.querySelector("h2").focus();
      });
    }
  });
})();
