package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestFirstMinute is the way of a newcomer through the first steps, with the links that the
// sandbox gives: ask, approve, see it granted, move the clock, and see it end in the policy, on
// the page, in the mail and in the history.
func TestFirstMinute(t *testing.T) {
	for _, way := range []struct {
		name   string
		script bool
	}{{"with script", true}, {"without script", false}} {
		t.Run(way.name, func(t *testing.T) { firstMinute(openBrowser(t, startSandbox(t, nil), way.script)) })
	}
}

func firstMinute(b *browser) {
	t := b.t
	steps := func(want string) {
		t.Helper()
		got := b.value(`[...document.querySelectorAll(".story > li")].map(li => li.className || "open").join(" ")`)
		if got != want {
			t.Fatalf("the steps are %q, want %q", got, want)
		}
	}
	holders := func() string {
		return b.value(`[...document.querySelectorAll("tbody tr")].filter(tr => tr.innerText.includes("Alice")).map(tr => tr.innerText).join()`)
	}
	b.open("/")
	steps("open open open")
	b.seesNot("done at")

	b.press("Ask as Alice")
	b.sees("shop-orders-prod", "alice@example.com")
	if !b.script {
		b.tick("I have read what is filled in")
	}
	b.press("Request access")
	b.sees("Waiting for approval", "INC-204", "First steps (1 of 3)")
	b.open("/sandbox/")
	steps("done open open")

	b.press("Approve as Bob")
	b.sees("alice@example.com asks for access", "INC-204")
	b.press("Approve")
	if !b.script {
		b.tick("I have read above")
		b.press("Approve")
	}
	b.sees("2 of 3", "1 change of the IAM policy")
	b.open("/sandbox/")
	steps("done done open")
	b.sees("granted until")

	b.follow(`//a[@id="story-policy"]`)
	b.sees("11 lines added, 0 removed", "By the service: Approved by bob@example.com, justification: INC-204")
	added := b.value(`[...document.querySelectorAll(".change ins")].map(e => e.textContent).join("\n")`)
	for _, want := range []string{"+added: ", `"role": "roles/compute.instanceAdmin.v1"`, "user:alice@example.com", "request.time < timestamp("} {
		if !strings.Contains(added, want) {
			t.Errorf("what was added lacks %q:\n%s", want, added)
		}
	}
	if got := holders(); !strings.Contains(got, "roles/compute.instanceAdmin.v1") {
		t.Errorf("granted, yet Alice has %s", got)
	}
	b.open("/") // who has looked is not told again
	b.seesNot("of the IAM policy")

	b.open("/sandbox/")
	b.sees("What ends next in a policy is roles/compute.instanceAdmin.v1 of user:alice@example.com on projects/shop-orders-prod")
	b.follow(`//button[@id="story-end"]`)
	b.sees("IAM policy of projects/shop-orders-prod", "30 min ahead", "First steps (3 of 3)")
	if got := holders(); strings.Contains(got, "roles/compute.instanceAdmin.v1") {
		t.Errorf("it is over, and Alice has %s", got)
	}
	b.open("/sandbox/")
	steps("done done done")
	b.follow(`//main//button[.="To the next end"]`) // of what Alice had before
	b.sees("ahead of the real time")
	b.be("Alice Moreau")
	b.seesNot("INC-204")
	b.open("/requests")
	b.sees("INC-204", "Expired", "minutes ago")
	b.follow(`//a[contains(@href, "/requests/")]`)
	b.sees("Expired")
	b.open("/access/projects/" + project)
	b.seesNot("Active now")
	b.open("/sandbox/mailbox")
	b.sees("Your access to project shop-orders-prod ends soon") // told on the way to the end
	b.open("/sandbox/chats")
	b.sees("grant.ended")
	b.be("Erin Silva")
	b.open("/history")
	b.sees("INC-204", "Expired")
	if b.script { // the next form is for a later hour
		b.be("Alice Moreau")
		b.open("/access/projects/" + project + "?role=roles/compute.instanceAdmin.v1&minutes=60")
		b.do(chromedp.WaitVisible(`#asking form.ask`))
		b.sees("in 1 hour")
	}
}
