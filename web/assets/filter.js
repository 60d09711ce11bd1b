// Narrows a list while typing. Without it, the lists are whole. Of a list that the page has in
// part the service is asked for what matches.
(() => {
  const words = document.currentScript.dataset;
  window.jitaccess.each((root) => {
    for (const input of root.querySelectorAll("input[data-filter]")) {
      const list = document.getElementById(input.dataset.filter);
      if (!list) continue;
      const box = input.closest(".filter");
      if (box) box.hidden = false;
      const status = document.querySelector(`[data-filtered="${input.dataset.filter}"]`) || document.getElementById("found");
      const opened = new Map();
      // What was asked for lately stands above what there is, and is none more of it.
      const counts = (item) => !item.matches(".recent");
      const narrow = () => {
        const want = input.value.trim().toLowerCase();
        const items = [...list.querySelectorAll(":scope>li,label")];
        let shown = 0;
        for (const item of items) {
          // What is ticked stays in sight.
          const ticked = item.querySelector("input:checked");
          item.hidden = !ticked && !item.textContent.toLowerCase().includes(want);
          if (!item.hidden && counts(item)) shown++;
          // What else it is found by is shown where it is found by it.
          for (const by of item.querySelectorAll("[data-by]")) by.hidden = !want || !by.textContent.toLowerCase().includes(want);
        }
        // What is folded away opens where something is found in it, and closes as it was.
        for (const fold of list.querySelectorAll(".fold")) {
          if (!opened.has(fold)) opened.set(fold, fold.open);
          fold.hidden = !fold.querySelector("label:not([hidden])");
          fold.open = want ? true : opened.get(fold);
          if (!want) opened.delete(fold);
        }
        // A heading without anything under it goes too.
        let under = false;
        for (const e of [...list.children].reverse()) {
          if (items.includes(e) || e.matches(".fold")) under ||= !e.hidden;
          if (!e.matches("h3")) continue;
          e.hidden = !under;
          under = false;
        }
        // Where nothing is left, it is said what is not searched.
        const none = want && !shown && (items.some((e) => !e.hidden) ? input.dataset.recent : input.dataset.none);
        if (status) status.textContent = window.jitaccess.say(none || (want ? words.shown : words.all), { shown, all: items.filter(counts).length, query: input.value.trim() });
      };
      for (const by of list.querySelectorAll("[data-by]")) by.hidden = true;
      input.addEventListener("input", narrow);
      if (!box) continue;
      narrow(); // says how many there are
      input.addEventListener("keydown", (e) => { if (e.key === "Enter") e.preventDefault(); });
    }
  });

  const input = document.querySelector("input[data-search]");
  if (!input) return;
  let running, timer;
  const search = async () => {
    running?.abort();
    const mine = running = new AbortController(), found = document.getElementById("found");
    try {
      const answer = await fetch(`/?${new URLSearchParams({ q: input.value.trim(), list: "1" })}`, { headers: { Accept: "text/html" }, signal: mine.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== running) return;
      const list = answer.ok && page.getElementById("projects");
      if (!list) throw new Error("list");
      for (const by of list.querySelectorAll("[data-by]")) by.hidden = !input.value.trim() || !by.textContent.toLowerCase().includes(input.value.trim().toLowerCase());
      document.getElementById("projects").replaceWith(list);
      found.replaceChildren(...page.getElementById("found").childNodes);
    } catch {
      if (mine === running) found.textContent = input.dataset.failed;
    }
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 200); });
})();
