// A press that was meant for another page grants nothing: the second half of a double
// click there may land here. Buttons with data-guard do nothing until this page has been
// in view and focused for a second. Then a press must be by somebody who has moved the
// pointer, pressed a key or touched the screen; with data-guard="confirmed" another press
// is asked once more by the server, as it is without scripts.
(() => {
  let buttons = [];
  const words = document.currentScript.dataset;
  const status = (button) => button.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id))
    .find((described) => described.classList.contains("guard"));
  let here = false, ready = false, timer, last;
  const inert = (on) => {
    ready = !on;
    for (const button of buttons) on ? button.setAttribute("aria-disabled", "true") : button.removeAttribute("aria-disabled");
  };
  const look = () => {
    clearTimeout(timer);
    inert(true);
    if (document.visibilityState !== "visible" || !document.hasFocus()) return;
    timer = setTimeout(() => { inert(false); for (const button of buttons) status(button).textContent = ""; }, 1000);
  };
  for (const event of ["focus", "blur", "pageshow"]) window.addEventListener(event, look);
  document.addEventListener("visibilitychange", look);

  // The key that presses a button, and a pointer that a page has opened under, say nothing.
  window.addEventListener("keydown", (e) => { here ||= e.key !== "Enter" && e.key !== " "; });
  window.addEventListener("input", () => { here = true; });
  window.addEventListener("pointerdown", (e) => { here ||= e.pointerType === "touch"; });
  window.addEventListener("pointermove", (e) => {
    here ||= last !== undefined && last !== `${e.screenX} ${e.screenY}`;
    last = `${e.screenX} ${e.screenY}`;
  });

  // A button that comes later has been in view for no time, and what was done before says nothing.
  window.jitaccess.each((root) => {
    const found = [...root.querySelectorAll("button[data-guard]")];
    for (const button of found) button.form.addEventListener("submit", (e) => {
      if (ready && here && button.dataset.guard) {
        const confirmed = Object.assign(document.createElement("input"), { type: "hidden", name: button.dataset.guard, value: "1" });
        button.form.append(confirmed);
        setTimeout(() => confirmed.remove()); // it is of this press alone
      }
      if (ready && (here || button.dataset.guard)) return;
      e.preventDefault();
      e.stopImmediatePropagation();
      status(button).textContent = ready ? words.move : words.wait;
    });
    if (found.length) here = false;
    buttons = [...buttons.filter((button) => button.isConnected), ...found];
    look();
  });
})();
