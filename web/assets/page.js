// Every page: shows every instant in the viewer's zone, with its offset, and keeps "in 5 minutes" true.
(() => {
  const format = new Intl.DateTimeFormat(undefined, {
    weekday: "short", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", timeZoneName: "shortOffset",
  });
  const count = (n, of) => n + " " + of + (n === 1 ? "" : "s");
  const words = (seconds) => {
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
    if (minutes < 1) return "less than a minute";
    if (hours >= 24) return count(Math.floor(hours / 24), "day");
    if (hours < 1) return count(minutes, "minute");
    return count(hours, "hour") + (minutes % 60 ? " " + count(minutes % 60, "minute") : "");
  };
  const relative = (at) => {
    const seconds = Math.round((at - Date.now()) / 1000);
    if (seconds <= 0 && seconds > -60) return "just now";
    return seconds < 0 ? words(-seconds) + " ago" : "in " + words(seconds);
  };
  const show = () => {
    for (const t of document.querySelectorAll("time[datetime]")) {
      const at = new Date(t.dateTime);
      if (isNaN(at)) continue;
      t.textContent = format.format(at);
      const after = t.nextElementSibling;
      if (after && after.classList.contains("relative")) after.textContent = "(" + relative(at) + ")";
    }
  };
  show();
  setInterval(show, 30000);
  window.jitaccess = { format, relative };

  // The reason that form.js keeps is of no use once it has led somewhere.
  if (document.querySelector("#done, .facts, .note.good")) {
    try {
      for (const key of Object.keys(sessionStorage)) if (key.startsWith("reason ")) sessionStorage.removeItem(key);
    } catch { /* storage may be switched off */ }
  }
})();
