package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// asksBob has Alice ask Bob for a role, and returns the link.
func asksBob(b *browser, reason string) string {
	b.t.Helper()
	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", reason)
	b.press("Request access")
	return b.value("document.location.href")
}

// granted is whether the policy of the project has the reason in it.
func granted(b *browser, reason string) bool {
	b.t.Helper()
	was := b.value("document.location.href")
	b.open("/sandbox/policy?resource=projects/" + project)
	found := strings.Contains(b.text(), reason)
	b.open(was)
	return found
}

// doubleClick is the one that another page asked for: two presses where the button is,
// of a pointer that does not move.
func doubleClick(b *browser, name string) {
	b.t.Helper()
	at := strings.Split(b.value(`(() => { const r = [...document.querySelectorAll("button")].find(b => b.textContent.trim() == "`+name+
		`"); r.scrollIntoView(); const a = r.getBoundingClientRect(); return (a.x + a.width / 2) + " " + (a.y + a.height / 2); })()`), " ")
	var x, y float64
	if _, err := fmt.Sscan(at[0], &x); err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Sscan(at[1], &y); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.MouseClickXY(x, y, chromedp.ClickCount(1)), chromedp.MouseClickXY(x, y, chromedp.ClickCount(2)))
}

// A page that has another one under a double click gets no approval, nor activation, of
// the second; whoever reads and presses has to do so once.
func TestAStolenClickGrantsNothing(t *testing.T) {
	b := openBrowser(t, startSandbox(t, nil), true)
	link := asksBob(b, "Node 8 hangs")
	b.be("Bob Tanaka")
	b.open(link)
	away := `document.hasFocus = () => false; window.dispatchEvent(new Event("blur")); "away"`
	back := `delete document.hasFocus; window.dispatchEvent(new Event("focus")); "back"`
	button := `document.querySelector("button[data-guard]")`

	// While it has not been in view for a second.
	b.value(away)
	doubleClick(b, "Approve")
	b.sees("This page came into view just now.")
	for script, want := range map[string]string{
		button + `.getAttribute("aria-disabled")`: "true",
		`String(` + button + `.disabled)`:         "false",
		`document.getElementById(` + button + `.getAttribute("aria-describedby").split(" ").pop()).getAttribute("role")`: "status",
		`String((` + button + `.focus(), document.activeElement == ` + button + `))`:                                     "true",
		`String((` + button + `.focus(), document.activeElement.tabIndex))`:                                              "0",
	} {
		if got := b.value(script); got != want {
			t.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	if granted(b, "Node 8 hangs") {
		t.Fatal("the second press of a double click has approved")
	}

	// In view, but nobody is there who moved or typed: asked once more.
	b.open(link)
	b.value(back)
	b.do(chromedp.WaitVisible(`//button[normalize-space(.)="Approve" and not(@aria-disabled)]`))
	if _, err := chromedp.RunResponse(b.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[string](button+`.click(); "pressed"`)(ctx, tab)
		return chromedp.Void{}, err
	}); err != nil {
		t.Fatal(err)
	}
	b.sees("Approve this?", "Node 8 hangs")

	// The second step is no button alone.
	b.do(chromedp.WaitVisible(`//button[normalize-space(.)="Approve" and not(@aria-disabled)]`))
	doubleClick(b, "Approve")
	b.sees("Approve this?")
	if granted(b, "Node 8 hangs") {
		t.Fatal("a press by nobody has approved")
	}

	// Whoever is there presses once.
	b.open(link)
	b.press("Approve")
	b.sees("You approved this.")
	if !granted(b, "Node 8 hangs") {
		t.Fatal("not approved")
	}

	// Activating alone, with a reason that the page remembers.
	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/cloudsql.admin")
	b.opens()
	b.fill("justification", "Restoring a backup")
	b.open(b.value("document.location.href"))
	b.tick("roles/cloudsql.admin")
	b.opens()
	if got := b.value(`document.getElementById("justification").value`); got != "Restoring a backup" {
		t.Fatalf("the page remembers %q", got)
	}
	b.value(away)
	doubleClick(b, "Activate now")
	b.sees("This page came into view just now.")
	b.value(back)
	b.do(chromedp.WaitVisible(`//button[normalize-space(.)="Activate now" and not(@aria-disabled)]`))
	b.value(button + `.click(); "pressed"`)
	b.sees("Move the pointer or press a key, then press again.")
	if granted(b, "Restoring a backup") {
		t.Fatal("a stolen press has activated")
	}
	b.tick("roles/cloudsql.admin")
	b.opens()
	b.press("Activate now")
	b.sees("Access granted")
}
