package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// keyboard is a browser that is used by its keys alone.
type keyboard struct{ *browser }

// focus is what has the focus: its name, and what of it is wrong. Whoever looks must see where it
// is (WCAG 2.2, 2.4.7 and 2.4.11): an outline, of itself or of what stands around it, that is not
// covered by anything that sticks to an edge. What takes the focus only so that reading goes on there
// needs no outline: it cannot be operated.
const focus = `(() => {
	const at = document.activeElement;
	if (!at || at === document.body) return "nothing";
	const name = (at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.textContent || at.value || at.id).replace(/\s+/g, " ").trim();
	const r = at.getBoundingClientRect(), ringed = (e) => e && getComputedStyle(e).outlineStyle !== "none" && parseFloat(getComputedStyle(e).outlineWidth) >= 2;
	const faults = [];
	if (at.tabIndex >= 0 && !ringed(at) && !ringed(at.closest("label"))) faults.push("has no ring");
	if (r.bottom <= 0 || r.top >= innerHeight || r.width === 0) faults.push("is out of sight");
	else {
		const top = document.elementFromPoint(Math.min(Math.max(r.left + r.width / 2, 1), innerWidth - 2), Math.min(Math.max(r.top + r.height / 2, 1), innerHeight - 2));
		if (top && !at.contains(top) && !top.contains(at) && !at.closest("label")?.contains(top)) faults.push("is covered by " + top.outerHTML.slice(0, 80));
	}
	return name + (faults.length ? " !" + faults.join(", ") : "");
})()`

// at is the name of what has the focus, which must be seen.
func (k *keyboard) at() string {
	k.t.Helper()
	name, fault, faulty := strings.Cut(k.value(focus), " !")
	if faulty {
		k.t.Errorf("%s: the focus on %q %s", k.value("document.location.pathname"), name, fault)
	}
	return name
}

func (k *keyboard) key(keys string) {
	k.t.Helper()
	k.do(chromedp.KeyEvent(keys))
}

// to presses Tab until what has the focus is called so. Everything on the way must be seen, and
// nothing holds the focus.
func (k *keyboard) to(name string) {
	k.t.Helper()
	var way []string
	for range 80 {
		at := k.at()
		if strings.HasPrefix(at, name) {
			return
		}
		way = append(way, at)
		k.key(kb.Tab)
	}
	k.t.Fatalf("Tab does not get to %q, but to %q", name, way)
}

// press presses a key on what is called so, which opens another page.
func (k *keyboard) press(key, name string) {
	k.t.Helper()
	k.to(name)
	// A button that has just come does nothing for a second.
	k.do(chromedp.WaitNotPresent(`:focus[aria-disabled]`))
	ctx, cancel := context.WithTimeout(k.ctx, 30*time.Second)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.KeyEvent(key)); err != nil {
		k.t.Fatalf("%s: %v\non the page\n%s", name, err, k.text())
	}
	k.picture()
}

// be becomes one of the sandbox's people, which is not a part of the service.
func (k *keyboard) be(name, then string) {
	k.t.Helper()
	k.browser.be(name)
	k.open(then)
}

// TestTheStoryByKeyboard: somebody who has no pointer asks, approves, sees the access and ends it.
// The focus can be seen wherever it is, nothing that happens takes it away, and no element keeps
// it.
func TestTheStoryByKeyboard(t *testing.T) {
	k := &keyboard{browser: openBrowser(t, startSandbox(t, nil), true)}

	// The first stop leads past what every page has.
	k.be("Alice Moreau", "/")
	k.key(kb.Tab)
	k.to("Skip to content")
	k.key(kb.Enter)
	if at := k.value(`document.activeElement.id`); at != "main" {
		t.Errorf("the skip link leads to %q", at)
	}
	k.ask("Node 12 hangs")
	k.sees("30 minutes")

	// Approving takes no more than the link and the button.
	k.be("Bob Tanaka", "/")
	k.press(kb.Enter, "Compute Instance Admin (v1)")
	k.sees("alice@example.com asks for access", "Node 12 hangs")
	k.press(kb.Enter, "Approve")
	k.sees("You approved this", "Active")

	// The access is seen on the start page, and ended there.
	k.be("Alice Moreau", "/")
	k.sees("My access now", "roles/compute.instanceAdmin.v1")
	k.press(" ", "End now")
	k.sees("Ended")

	// What happens elsewhere is told, and leaves the focus where it is.
	request := k.ask("Node 13 hangs")
	k.to("History")
	k.approves("bob@example.com", request)
	k.do(chromedp.WaitVisible(`#changed`))
	if at := k.at(); at != "History" {
		t.Errorf("what has happened has moved the focus to %q", at)
	}
	k.press(kb.Enter, "Show the request as it is now")
	k.press(kb.Enter, "End now")

	// Where that is gone, the focus is on the way to what came in its place.
	request = k.ask("Node 14 hangs")
	k.to("Copy link")
	k.approves("bob@example.com", request)
	k.do(chromedp.WaitVisible(`#changed`))
	if at := k.at(); at != "Show the request as it is now" {
		t.Errorf("what has taken its place has moved the focus to %q", at)
	}
}

// ask asks for access from the start page to the page of the request, and returns its id.
func (k *keyboard) ask(reason string) string {
	k.t.Helper()
	k.open("/")
	k.to("Name")
	k.key(project)
	k.press(kb.Enter, "Name")

	// A choice opens the form and keeps the focus; Enter leads into it.
	k.to("Compute Instance Admin")
	k.key(" ")
	k.opens()
	if at := k.at(); !strings.HasPrefix(at, "Compute Instance Admin") {
		k.t.Errorf("the form that has come has taken the focus to %q", at)
	}
	k.key(kb.Enter)
	if at := k.at(); at != "Why" {
		k.t.Errorf("Enter leads to %q", at)
	}
	k.key(reason)
	k.key(kb.Tab) // of presets, arrows choose
	if at := k.at(); at != "1 hour" {
		k.t.Errorf("after the reason comes %q", at)
	}
	k.key(kb.ArrowUp)
	if at := k.at(); at != "30 minutes" {
		k.t.Errorf("an arrow leads to %q", at)
	}
	k.press(kb.Enter, "Request access")
	k.sees("Waiting for approval", reason)
	return k.value(`new URL(document.location).searchParams.get("activation")`)
}
