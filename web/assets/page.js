// Every page: shows every instant in the viewer's zone, with its offset, and keeps "in 5 minutes" true.
(() => {
  // The language is the page's; of its kinds, en-GB or en-US, the one that the browser prefers.
  const language = document.documentElement.lang;
  const locale = navigator.languages.find((l) => l.split("-")[0] === language) ?? language;
  const format = new Intl.DateTimeFormat(locale, {
    weekday: "short", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", timeZoneName: "shortOffset",
  });
  // Where the day is today's, the time of day is enough.
  const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", timeZoneName: "shortOffset" });
  // Messages come from the template, in the notation of package words: {name} and
  // {name, plural, one {# day} other {# days}}.
  const plural = new Intl.PluralRules(language);
  const number = new Intl.NumberFormat(locale, { useGrouping: "min2" });
  const text = (value) => typeof value === "number" ? number.format(value) : value;
  const say = (message, values) => message
    .replace(/\{([a-z]+), plural,((?: [a-z]+ \{[^{}]*\})+)\}/g, (_, name, forms) => {
      const texts = Object.fromEntries([...forms.matchAll(/ ([a-z]+) \{([^{}]*)\}/g)].map((m) => [m[1], m[2]]));
      return (texts[plural.select(values[name])] ?? texts.other).replaceAll("#", text(values[name]));
    })
    .replace(/\{([a-z]+)\}/g, (_, name) => text(values[name]));
  const words = document.currentScript.dataset;
  // Times are judged by the service's clock, which is not this machine's.
  const ahead = (Date.parse(document.querySelector("meta[name=clock]").content) || Date.now()) - Date.now();
  const now = () => Date.now() + ahead;
  const length = (seconds) => {
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
    if (minutes < 1) return words.moment;
    if (hours >= 24) return say(words.day, { count: Math.floor(hours / 24) });
    const less = say(words.minute, { count: minutes % 60 });
    if (hours < 1) return less;
    const more = say(words.hour, { count: hours });
    return minutes % 60 ? say(words.and, { more, less }) : more;
  };
  const relative = (at) => {
    const seconds = Math.round((at - now()) / 1000);
    if (seconds <= 0 && seconds > -60) return words.now;
    return seconds < 0 ? say(words.ago, { length: length(-seconds) }) : say(words.in, { length: length(seconds) });
  };
  const show = () => {
    for (const t of document.querySelectorAll("time[datetime]")) {
      const at = new Date(t.dateTime);
      if (isNaN(at)) continue;
      const today = t.classList.contains("clock") && at.toDateString() === new Date(now()).toDateString();
      t.textContent = (today ? clock : format).format(at);
      const after = t.nextElementSibling;
      if (after && after.classList.contains("relative")) after.textContent = " (" + relative(at) + ")";
    }
  };
  show();
  setInterval(show, 30000);
  // What was followed or sent is waited for: after a moment that is said, and can be given up. The
  // page stays as it is, with what was typed. Nothing is sent while something is under way.
  const waiting = document.getElementById("waiting"), stopped = document.getElementById("stopped");
  let under, slow;
  const over = () => {
    clearTimeout(slow);
    under?.removeAttribute("aria-busy");
    if (under?.disabled) under.disabled = false;
    under = undefined;
    waiting.hidden = true;
  };
  const wait = (what) => {
    over();
    stopped.hidden = true;
    under = what;
    what.setAttribute("aria-busy", "true");
    slow = setTimeout(() => { waiting.hidden = false; }, 1000);
  };
  document.addEventListener("submit", (e) => {
    if (e.defaultPrevented) return;
    if (under?.form) return e.preventDefault();
    const button = e.submitter ?? e.target.querySelector("button:not([type=button])");
    wait(button);
    setTimeout(() => { if (under === button) button.disabled = true; }); // its value goes along
  });
  document.addEventListener("click", (e) => {
    const link = e.target.closest?.("a[href]");
    if (!link || under?.form || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || link.target || link.hasAttribute("download")) return;
    if (link.origin === location.origin && link.href.split("#")[0] !== location.href.split("#")[0]) wait(link);
  });
  window.addEventListener("pageshow", over);
  waiting.querySelector("button").addEventListener("click", () => {
    const what = under;
    window.stop();
    over();
    stopped.hidden = what?.form?.method !== "post";
    what?.focus();
  });
  // What scripts do to the page they do to each part of it that comes later, too.
  const parts = [];
  const each = (does) => { parts.push(does); does(document); };
  const put = (root) => { show(); for (const does of parts) does(root); };
  window.jitaccess = { clock, each, format, now, put, relative, say, show };

  // The reason that form.js keeps is of no use once it has led somewhere.
  if (document.querySelector("#done, .facts, .note.good")) {
    try {
      for (const key of Object.keys(sessionStorage)) if (key.startsWith("reason ")) sessionStorage.removeItem(key);
    } catch { /* storage may be switched off */ }
  }
})();
