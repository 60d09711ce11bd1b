// Narrows a list while typing. Without it, the lists are whole.
(() => {
  const words = document.currentScript.dataset;
  window.jitaccess.each((root) => {
    for (const input of root.querySelectorAll("input[data-filter]")) {
      const list = document.getElementById(input.dataset.filter);
      if (!list) continue;
      const box = input.closest(".filter");
      if (box) box.hidden = false;
      const status = document.querySelector(`[data-filtered="${input.dataset.filter}"]`) || document.getElementById("found");
      const narrow = () => {
        const want = input.value.trim().toLowerCase();
        const items = [...list.children].filter((e) => e.matches("li, label"));
        let shown = 0;
        for (const item of items) {
          // What is ticked stays in sight.
          const ticked = item.querySelector("input:checked");
          item.hidden = !ticked && !item.textContent.toLowerCase().includes(want);
          if (!item.hidden) shown++;
        }
        // A heading without anything under it goes too.
        let under = false;
        for (const e of [...list.children].reverse()) {
          if (items.includes(e)) under ||= !e.hidden;
          if (!e.matches("h3")) continue;
          e.hidden = !under;
          under = false;
        }
        if (status) status.textContent = window.jitaccess.say(want ? words.shown : words.all, { shown, all: items.length });
      };
      input.addEventListener("input", narrow);
      if (box) input.addEventListener("keydown", (e) => { if (e.key === "Enter") e.preventDefault(); });
    }
  });
})();
