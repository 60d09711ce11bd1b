// A request's page follows the request: it asks the service to answer when something has
// happened, and puts what it is told in place. Without it, the page is loaded again by hand.
(() => {
  const live = document.getElementById("live");
  const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
  // Nobody looks at a page in the background.
  const seen = () => new Promise((done) => {
    if (document.visibilityState === "visible") return done();
    document.addEventListener("visibilitychange", function look() {
      if (document.visibilityState !== "visible") return;
      document.removeEventListener("visibilitychange", look);
      done();
    });
  });
  const events = () => [...document.querySelectorAll("#timeline .events > li")];
  const show = (text) => {
    const known = events().length, state = document.getElementById("state").textContent, focused = document.activeElement;
    for (const part of [...new DOMParser().parseFromString(text, "text/html").body.children]) {
      document.getElementById(part.id)?.replaceWith(part);
    }
    window.jitaccess.show();
    const timeline = document.getElementById("timeline");
    // A screen reader is told what is new, and nothing of it takes the focus.
    const news = events().slice(known);
    for (const event of news) event.classList.add("new");
    const said = news.map((event) => event.querySelector("p").textContent);
    const now = document.getElementById("state").textContent;
    if (now !== state) said.push(window.jitaccess.say(live.dataset.now, { state: now }));
    live.textContent = said.join(". ");
    // What may be done now may be something else, how many approvals count, and who has not answered.
    for (const part of document.querySelectorAll("[data-count]")) part.hidden = true;
    for (const part of document.querySelectorAll("[data-while]")) part.hidden = timeline.dataset.state !== part.dataset.while;
    const changed = document.getElementById("changed");
    changed.hidden = false;
    // Who stood on something that is gone now stands on the way to what came in its place.
    if (focused !== document.body && !(focused.isConnected && focused.checkVisibility())) changed.querySelector("a").focus();
  };
  // Silence would be taken for "nothing has happened".
  const away = document.getElementById("away");
  const tell = (text, again) => {
    if (!away.hidden && away.firstChild.textContent === text) return;
    away.firstChild.textContent = text;
    away.querySelector("a").hidden = !again;
    away.hidden = !text;
  };
  let heard = new Date();
  const follow = async () => {
    for (let failures = 0; failures < 5;) {
      await seen();
      const where = document.getElementById("timeline").dataset.wait;
      if (!where) return;
      try {
        // A redirect leads to where one signs in.
        const answer = await fetch(where, { headers: { Accept: "text/html" }, redirect: "manual" });
        if (answer.status === 401 || answer.type === "opaqueredirect") return tell(live.dataset.signedOut, true);
        if (answer.status === 200) show(await answer.text());
        failures = answer.status === 200 || answer.status === 204 ? 0 : failures + 1;
        if (answer.status === 204) await sleep(1);
      } catch {
        failures++;
      }
      if (!failures) {
        heard = new Date();
        tell("");
        continue;
      }
      tell(window.jitaccess.say(live.dataset.away, { clock: window.jitaccess.clock.format(heard) }));
      await sleep(15 * failures);
    }
    tell(live.dataset.gone, true);
  };
  follow();
})();
