package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"jitaccess/internal/chromiumtest"
	"jitaccess/internal/sandbox"
)

var screenshots = flag.String("screenshots", "", "write a picture of every page that the story visits into this folder")

// startSandbox runs `jitaccess sandbox` as a person would, on a free port, and
// returns its address. There is one at a time, since Google's metadata client reads
// its host from the process's environment.
func startSandbox(t *testing.T, log io.Writer) string {
	t.Helper()
	return startSandboxWith(t, "", log)
}

// startSandboxWith does so with a policy file; an empty path is none.
func startSandboxWith(t *testing.T, policyFile string, log io.Writer) string {
	t.Helper()
	return startSandboxOf(t, sandbox.Options{}, policyFile, log)
}

// startSandboxOf does so with another clock.
func startSandboxOf(t *testing.T, o sandbox.Options, policyFile string, log io.Writer) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	read, write := io.Pipe()
	done := make(chan int, 1)
	o.Address = "localhost:0"
	if log == nil {
		log = io.Discard
	}
	go func() {
		err := trySandbox(ctx, o, policyFile, func(string) string { return "" }, write, os.Stderr, log)
		write.CloseWithError(fmt.Errorf("the sandbox ended: %w", err))
		done <- 0
	}()
	t.Cleanup(func() { cancel(); <-done })
	open := regexp.MustCompile(`http://localhost:\d+`)
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if found := open.FindString(lines.Text()); found != "" {
			go io.Copy(io.Discard, read)
			return found
		}
	}
	t.Fatal("the sandbox did not say where it is")
	return ""
}

// browser is a headless Chromium with one tab. Its methods end the test when the
// page is not as it should be.
type browser struct {
	t      *testing.T
	ctx    context.Context
	origin string
	script bool
	shots  int
	// taps is how often somebody has pressed or followed something.
	taps int
}

func openBrowser(t *testing.T, origin string, script bool) *browser {
	t.Helper()
	ctx := chromiumtest.Open(t)
	b := &browser{t: t, ctx: ctx, origin: origin, script: script}
	b.do(chromedp.Navigate("about:blank"))
	if !script {
		if _, err := chromedp.Run(ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			return chromedp.Void{}, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a path of the sandbox, or to an address.
func (b *browser) open(where string) {
	b.t.Helper()
	if strings.HasPrefix(where, "/") {
		where = b.origin + where
	}
	b.do(chromedp.Navigate(where))
	b.picture()
}

// press presses the button with exactly this name as a person does, who moves the
// pointer there when it can be pressed, and waits for the next page.
func (b *browser) press(name string) {
	b.t.Helper()
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 1, 1), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 2, 2))
	b.follow(fmt.Sprintf(`//button[normalize-space(.)=%q and not(@aria-disabled)]`, name))
}

// follow clicks what an XPath finds and waits for the next page.
func (b *browser) follow(path string) {
	b.t.Helper()
	b.taps++
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(path, chromedp.NodeVisible)); err != nil {
		b.t.Fatalf("%s: %v\non the page\n%s", path, err, b.text())
	}
	b.picture()
}

// unfold opens what an XPath finds to be shown on demand.
func (b *browser) unfold(path string) {
	b.t.Helper()
	b.taps++
	b.do(chromedp.Click(path, chromedp.NodeVisible))
}

// deny chooses to deny, and says why.
func (b *browser) deny(why string) {
	b.t.Helper()
	b.unfold(`//*[@id="deny"]`)
	b.fill("comment", why)
	b.press("Deny")
}

// tick ticks the box beside the text, or takes the choice.
func (b *browser) tick(text string) {
	b.t.Helper()
	b.taps++
	b.do(chromedp.Click(fmt.Sprintf(`//label[contains(., %q)]//input`, text)))
}

// opens gets to the form for what is ticked: script opens it beside the choices, and without
// it Continue leads there.
func (b *browser) opens() {
	b.t.Helper()
	if !b.script {
		b.press("Continue")
		return
	}
	b.do(chromedp.WaitVisible(`#asking form.ask`))
	b.picture()
}

// fill writes into the field with the id.
func (b *browser) fill(id, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.ID(id), text, chromedp.NodeVisible))
}

func (b *browser) text() string {
	b.t.Helper()
	return strings.Join(strings.Fields(b.value("document.body.innerText")), " ")
}

func (b *browser) sees(texts ...string) {
	b.t.Helper()
	page := b.text()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			b.t.Fatalf("the page does not say %q:\n%s", text, page)
		}
	}
}

func (b *browser) seesNot(text string) {
	b.t.Helper()
	if page := b.text(); strings.Contains(page, text) {
		b.t.Fatalf("the page says %q:\n%s", text, page)
	}
}

// be becomes one of the sandbox's people.
func (b *browser) be(name string) {
	b.t.Helper()
	b.open("/sandbox/")
	b.press("Be " + name)
}

// value is what a script in the page evaluates to; it works with scripting off,
// too, since the browser's own tools evaluate it.
func (b *browser) value(script string) string {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *browser) picture() {
	if *screenshots == "" {
		return
	}
	b.shots++
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	name := strings.ReplaceAll(b.t.Name(), "/", "-")
	if err := os.WriteFile(filepath.Join(*screenshots, fmt.Sprintf("%s-%02d.png", name, b.shots)), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// opensMail shows the HTML, which has this text, of the newest mail that asks whoever the browser is
// for approval, as a mail program does.
func (b *browser) opensMail(text string) {
	b.t.Helper()
	b.open("/sandbox/mailbox")
	b.open(b.value(`[...document.querySelectorAll("a")].find((a) => a.textContent.includes("requests access to project")).href`) + "/html")
	b.sees(text)
}

const project = "shop-orders-prod"

// TestStory plays the whole story in a browser, through the sandbox's Google Cloud
// over HTTP and its mail server over SMTP with STARTTLS and a log-in.
func TestStory(t *testing.T) {
	for _, way := range []struct {
		name   string
		script bool
	}{{"with script", true}, {"without script", false}} {
		t.Run(way.name, func(t *testing.T) {
			b := openBrowser(t, startSandbox(t, nil), way.script)
			if b.script {
				storyOfThreeClicks(b)
				storyByKeyboard(b)
				storyOfASlowProvider(b)
			}
			story(b)
			storyWithMemory(b)
			storyOfTheAdministrationPage(t, b)
		})
	}
}

// storyOfThreeClicks: who knows the project needs three clicks and one sentence from the start
// page to a request that was sent.
func storyOfThreeClicks(b *browser) {
	b.be("Alice Moreau")
	b.open("/")
	b.weighs(60_000)
	clicks := 0
	click := func(path string, then func(path string)) {
		clicks++
		then(path)
	}
	there := func(path string) { b.do(chromedp.Click(path)) }
	click(`//a[@href="/access/projects/`+project+`"]`, b.follow)
	click(`//label[contains(., "roles/compute.instanceAdmin.v1")]//input`, there)
	b.opens()
	b.sees("bob@example.com", "Asks ", "Who can approve")
	b.fill("justification", "Node 9 hangs")
	click(`//button[normalize-space(.)="Request access"]`, b.follow)
	b.sees("Waiting for approval", "Node 9 hangs")
	if clicks != 3 {
		b.t.Errorf("%d clicks", clicks)
	}
	b.press("Withdraw")
}

// weighs is that a page and all that it loads are no larger than most, in bytes as they come.
func (b *browser) weighs(most int) {
	b.t.Helper()
	b.until(`document.readyState === "complete"`)
	script := `String([...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
		.filter((e) => !e.name.includes("/sandbox")).reduce((sum, e) => sum + e.encodedBodySize, 0))`
	if n, err := strconv.Atoi(b.value(script)); err != nil || n == 0 || n > most {
		b.t.Errorf("the page weighs %d bytes, at most %d; %v", n, most, err)
	}
	elsewhere := `performance.getEntriesByType("resource").map((e) => new URL(e.name).origin).filter((o) => o !== location.origin).join()`
	if found := b.value(elsewhere); found != "" {
		b.t.Errorf("the page loads from %s", found)
	}
}

// storyByKeyboard sends a request without a pointer.
func storyByKeyboard(b *browser) {
	key := func(keys string) {
		b.t.Helper()
		b.do(chromedp.KeyEvent(keys))
	}
	focused := func() string {
		b.t.Helper()
		return b.value(`(document.activeElement.id || "") + " " + (document.activeElement.value || "")`)
	}
	to := func(want string) {
		b.t.Helper()
		for range 80 {
			if strings.Contains(focused(), want) {
				return
			}
			key(kb.Tab)
		}
		b.t.Fatalf("Tab does not get to %s", want)
	}
	b.open("/")
	to("projectId")
	key(project)
	b.enters()
	to("roles/compute.instanceAdmin.v1")
	key(" ")
	b.opens()
	if at := focused(); !strings.Contains(at, "roles/compute.instanceAdmin.v1") {
		b.t.Errorf("the focus has moved to %s", at)
	}
	key(kb.Enter)
	if at := focused(); !strings.HasPrefix(at, "justification") {
		b.t.Errorf("Enter leads to %s", at)
	}
	key("Node 10 hangs")
	b.enters()
	b.sees("Waiting for approval", "Node 10 hangs")
	b.press("Withdraw")
}

// enters presses Enter, and waits for the next page.
func (b *browser) enters() {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		b.t.Fatal(err)
	}
	b.picture()
}

// storyOfASlowProvider: a form that does not come says so, can be cancelled and tried again in
// its place, and what was typed is kept; so is it when another choice is made.
func storyOfASlowProvider(b *browser) {
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 11 hangs")
	reason := func(want string) {
		b.t.Helper()
		if got := b.value(`document.getElementById("justification").value`); got != want {
			b.t.Errorf("the reason is %q, want %q", got, want)
		}
	}
	b.value(`window.real = window.fetch; window.asked = 0; window.aborted = 0;
		window.fetch = (_, { signal }) => new Promise((_, no) => { window.asked++; signal.addEventListener("abort", () => { window.aborted++; no(new Error("aborted")); }); }); ""`)
	b.tick("roles/cloudsql.admin")
	b.tick("roles/cloudsql.admin")
	b.do(chromedp.WaitVisible(`#asking-wait`))
	b.sees("Waiting for Google")
	if got := b.value(`window.asked + " asked, " + window.aborted + " aborted"`); got != "2 asked, 1 aborted" {
		b.t.Errorf("of two choices after one another: %s", got)
	}
	b.do(chromedp.Click(`#asking-wait button`), chromedp.WaitVisible(`#asking-failed`))
	b.sees("Cancelled. What you typed is kept.")
	reason("Node 11 hangs")
	b.value(`window.fetch = async () => new Response('<section id="problem"><h2>Google Cloud fails.</h2><p>Try again.</p></section>', { status: 503 }); ""`)
	b.do(chromedp.Click(`#asking-failed button`), chromedp.WaitVisible(`//*[@id="asking-failed" and contains(., "Google Cloud fails. Try again.")]`))
	b.value(`document.querySelector("form.ask button.primary").click(); ""`)
	b.sees("Choose what you need") // nothing was sent
	b.value(`window.fetch = async () => { throw new Error("no network"); }; ""`)
	b.do(chromedp.Click(`#asking-failed button`), chromedp.WaitVisible(`//*[@id="asking-failed" and contains(., "there was no answer")]`))
	b.value(`window.fetch = window.real; ""`)
	b.do(chromedp.Click(`#asking-failed button`), chromedp.WaitNotVisible(`#asking-failed`))
	reason("Node 11 hangs")
	b.value(`sessionStorage.clear(); ""`)
}

func story(b *browser) {
	policy := "/sandbox/policy?resource=projects/" + project

	// Alone: a role that needs no approval.
	b.be("Alice Moreau")
	b.open("/?projectId=" + project)
	b.tick("roles/cloudsql.admin")
	b.opens()
	b.fill("justification", "Restoring the orders backup <b>now</b>")
	b.press("Activate now")
	b.sees("Access granted", "Active now", "End now")
	b.open(policy)
	b.sees("Self-approved, justification: Restoring the orders backup")
	b.open("/access/projects/" + project)
	b.press("End now")
	b.sees("Access ended")
	b.open(policy) // what was ended stays as a record, and gives nothing
	b.sees("Alice Moreau roles/secretmanager.admin Bob Tanaka roles/cloudsql.client Carol Nyberg none")

	// With a peer: ask, read the mail, look, approve, see the binding.
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 7 hangs")
	b.press("Request access")
	b.sees("Node 7 hangs", "bob@example.com", "Link for reviewers")
	if b.script {
		b.sees("Copy link")
	}
	b.open("/sandbox/mailbox")
	b.sees("alice@example.com requests access to project " + project)

	b.be("Bob Tanaka")
	b.open("/sandbox/mailbox")
	b.follow(`(//a[contains(., "requests access to project")])[1]`)
	b.open(b.value(`document.querySelector("iframe").src`))
	b.sees("alice@example.com", "Node 7 hangs")
	link := b.value(`(document.querySelector('a[href*="activation="]') || {}).href || ""`)
	if !strings.Contains(link, "/review?activation=mpa-") {
		b.t.Fatalf("the mail has no link but %q", link)
	}
	b.open(link)
	b.seesNot("Approved by")
	b.unfold(`//*[@id="effects"]/summary`)
	b.sees("alice@example.com", "Node 7 hangs", "roles/compute.instanceAdmin.v1", "What will be written", "Approved by bob@example.com, justification: Node 7 hangs")
	b.open(policy)
	b.seesNot("Node 7 hangs")

	// Somebody who was not asked, and the requester, cannot decide.
	b.be("Frank Weber")
	b.open(link)
	b.seesNot("Node 7 hangs")
	b.be("Alice Moreau")
	b.open(link)
	if found := b.value(`String([...document.querySelectorAll("button")].filter(b => b.textContent.trim() == "Approve").length)`); found != "0" {
		b.t.Fatal("the requester can approve")
	}

	b.be("Bob Tanaka")
	b.opensMail("Node 7 hangs")
	b.taps = 0
	b.follow(`//a[contains(@href, "activation=")]`)
	if at := b.value("location.href"); at != link {
		b.t.Errorf("the mail leads to %s, want %s", at, link)
	}
	b.aboveTheFold()
	b.press("Approve")
	if b.script && b.taps != 2 {
		b.t.Errorf("from the mail it took %d taps to approve", b.taps)
	}
	if !b.script {
		b.sees("Approve this?", "alice@example.com", "Node 7 hangs")
		b.tick("I have read above")
		b.press("Approve")
	}
	b.sees("alice@example.com", "Node 7 hangs")
	b.open(policy)
	b.sees("Approved by bob@example.com, justification: Node 7 hangs", "request.time")

	b.be("Alice Moreau")
	b.open("/sandbox/mailbox")
	b.sees("Re: alice@example.com requests access to project " + project)
	b.open("/access/projects/" + project)
	b.sees("Active now")
	b.press("End now")
	b.sees("Access ended")

	// The link of a grant that has ended revives nothing.
	b.be("Bob Tanaka")
	b.open(link)
	if found := b.value(`String([...document.querySelectorAll("button")].filter(b => b.textContent.trim() == "Approve").length)`); found != "0" {
		b.t.Fatal("a grant that was ended can be approved again")
	}
}

// storyWithMemory is the part of the story that needs a memory: two approvals, the first of
// which shows on the page of whoever waits, a denial that holds, and the history.
func storyWithMemory(b *browser) {
	const warehouse = "data-warehouse-prod"
	b.be("Alice Moreau")
	b.open("/access/projects/" + warehouse)
	b.tick("roles/bigquery.admin")
	b.opens()
	b.sees("Begin with the ticket, such as INC-77.")
	if b.script { // what the rule looks for is judged while it is typed
		pattern := func(text, want string) {
			b.value(`document.getElementById("justification").value = ""`)
			b.fill("justification", text)
			if got := b.value(`document.querySelector("[data-pattern]").className`); got != want {
				b.t.Errorf("with %q typed the pattern is %q, want %q", text, got, want)
			}
		}
		pattern("the orders", "unmet")
		pattern("INC-7", "met")
		pattern("see INC-7", "unmet")
		b.value(`document.getElementById("justification").value = ""`)
	} else { // without script the service says it, once it was sent
		b.fill("justification", "the orders table is locked")
		b.press("Request access")
		b.sees("The reason does not have the form that is required here.", "Begin with the ticket, such as INC-77.")
		b.value(`document.getElementById("justification").value = ""`)
	}
	b.fill("justification", "INC-77: the orders table is locked")
	b.press("Request access")
	b.sees("Waiting for approval", "2 approvals of: others who hold the same access. 0 of 2 so far.", "alice@example.com asked", "Withdraw")
	request := b.value(`new URL(document.location).searchParams.get("activation")`)
	b.approves("carol@example.com", request)
	if b.script { // nobody loads the page again
		b.do(chromedp.WaitVisible(`#changed`))
		b.sees("carol@example.com approved", "carol@example.com Approved", "Something has happened")
		if said := b.value(`document.getElementById("live").textContent`); said != "carol@example.com approved" {
			b.t.Errorf("a screen reader is told %q", said)
		}
		if strings.Contains(b.text(), "Not answered yet") {
			b.t.Error("who has answered is said not to have")
		}
		b.follow(`//*[@id="changed"]/a[.="Show the request as it is now"]`)
	} else {
		b.open("/requests/" + request)
	}
	b.sees("1 of 2 so far", "carol@example.com approved")

	b.be("Dan O'Brien")
	b.sees("Waiting for you", "INC-77: the orders table is locked")
	b.open("/reviews")
	b.follow(`//a[contains(@href, "/requests/")]`)
	b.sees("alice@example.com asks for access", "1 of 2 so far", "What happened", "Never in 90 days on this project")
	b.aboveTheFold()
	b.press("Approve")
	b.tick("I have read above")
	b.press("Approve")
	b.sees("You approved this", "Active", "The access was granted until")
	b.be("Alice Moreau")
	b.sees("Your access", "My access now", "roles/bigquery.admin", "Extend", "End now")
	extend(b)
	breakGlass(b)

	// A denial is the last word.
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 8 hangs")
	b.press("Request access")
	denied := b.value("document.location.href")
	b.be("Bob Tanaka")
	b.open(denied)
	b.deny("Drain it first")
	b.sees("Denied", "bob@example.com denied", "Drain it first")
	if found := b.value(`String([...document.querySelectorAll("button")].filter(b => b.textContent.trim() == "Approve").length)`); found != "0" {
		b.t.Fatal("what was denied can be approved")
	}

	// Auditors see everybody's history, everybody else their own.
	b.open("/history")
	b.seesNot("INC-77")
	b.be("Erin Silva")
	b.open("/history")
	b.sees("Everybody’s requests", "INC-77: the orders table is locked", "Node 8 hangs", "Denied")
	b.follow(`//a[.="The month at a glance"]`)
	if found := b.value(`String(document.querySelectorAll("svg rect.granted").length)`); found != "1" {
		b.t.Errorf("the month has %s days on which access was given", found)
	}
	b.open("/history?q=node+8")
	b.sees("Node 8 hangs")
	b.seesNot("INC-77")
	b.follow(`//a[contains(@href, "/requests/")]`)
	b.sees("Request of alice@example.com", "Drain it first")
}

// fold is where on a phone everything is that decides, and how far Approve and Deny are apart;
// empty where all is as it should be. Of what cannot be seen behind the buttons at the bottom it
// says so, too. The sandbox's own bar is not the service's.
const fold = `(() => {
	const at = (query) => document.querySelector(query).getBoundingClientRect();
	const faults = [], approve = at("#approve"), deny = at("#deny"), bar = at(".choices");
	for (const query of ["h1", "#roles", "#resource", "#reason", "#duration", "#before", "#approve", "#deny"]) {
		if (query === "#before" && !document.querySelector(query)) continue;
		const r = at(query), below = query === "#approve" || query === "#deny" ? 740 : Math.min(740, bar.top);
		if (r.top < 0 || r.bottom > below || r.left < 0 || r.right > 390) faults.push(query + " ends at " + r.right + ", " + r.bottom + " of 390, " + below);
	}
	const apart = Math.max(deny.left - approve.right, deny.top - approve.bottom);
	if (apart < 48) faults.push("Deny is " + apart + " from Approve");
	for (const [name, r] of [["Approve", approve], ["Deny", deny]]) if (r.height < 44 || r.width < 44) faults.push(name + " is " + r.width + " by " + r.height);
	if (document.documentElement.scrollWidth > 390) faults.push("the page is " + document.documentElement.scrollWidth + " wide");
	return faults.join("; ");
})()`

// longest puts the longest names that are usual into the page of a request.
const longest = `(() => {
	document.querySelector("h1").textContent = "maximiliane.oberhuber-schmidt@operations.example.com asks for access";
	document.querySelector("#roles .role-title").textContent = "Cloud Spanner Database Reader with DataBoost";
	document.querySelector("#roles .role-name").textContent = "roles/spanner.databaseReaderWithDataBoost";
	document.querySelector("#resource strong").textContent = "acme-customer-analytics-prod-1";
	document.querySelector("#reason").textContent = "INC-204711: replication lags by an hour, and the runbook wants a look at the sessions";
	return "";
})()`

// aboveTheFold looks at the page of a request on a phone.
func (b *browser) aboveTheFold() {
	b.t.Helper()
	size := func(p emulation.SetDeviceMetricsOverrideParams) {
		if _, err := chromedp.Run(b.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, p)
			return chromedp.Void{}, err
		}); err != nil {
			b.t.Fatal(err)
		}
	}
	size(emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 740, DeviceScaleFactor: 2, Mobile: true})
	defer size(emulation.SetDeviceMetricsOverrideParams{})
	b.value(`document.querySelector(".sandbox-bar")?.remove(), ""`)
	if faults := b.value(fold); faults != "" {
		b.t.Errorf("on a phone: %s", faults)
	}
	b.value(longest)
	if faults := b.value(fold); faults != "" {
		b.t.Errorf("on a phone, with the longest names: %s", faults)
	}
	b.open(b.value(`document.location.href`))
}

// extend goes on with the access to the warehouse: the page of what was asked for first says
// until when it lasts, that of the extension that it begins then and ends later.
func extend(b *browser) {
	b.follow(`//a[.="Extend"]`)
	b.sees("Extend access to data-warehouse-prod", "begins when the access that you have ends")
	form, end := b.value(`document.location.pathname`), b.value(`document.querySelector(".note time").dateTime`)
	b.press("Request access")
	b.sees("Waiting for approval", "The access of an earlier request", "0 of 2 so far")
	extension := b.value(`new URL(document.location).searchParams.get("activation")`)
	for _, who := range []string{"carol@example.com", "dan.o'brien@example.com"} {
		b.approves(who, extension)
	}
	b.open("/requests/" + extension)
	b.sees("Approved, and granted shortly before it begins", "2 of 2 so far")
	window := b.value(`[...document.querySelectorAll("dd strong ~ .small time")].map(t => t.dateTime).join()`)
	begins, ends, _ := strings.Cut(window, ",")
	if begins != end || ends <= end {
		b.t.Errorf("the extension of what ends at %s is %s to %s", end, begins, ends)
	}
	b.open("/")
	b.sees("granted shortly before it begins")
	if found := b.value(fmt.Sprintf(`String(document.querySelectorAll('a[href=%q]').length)`, form)); found != "0" {
		b.t.Errorf("what was extended can be extended again:\n%s", b.text())
	}
}

// breakGlass takes access without approval, which whom the rule names reviews.
func breakGlass(b *browser) {
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	if b.script { // a second look
		b.do(chromedp.Click(`//a[.="Break glass"]`))
	}
	b.sees("Those who would be asked and the auditors are told in the same moment")
	b.fill("glass-justification", "All nodes hang")
	b.tick("It cannot wait for approval.")
	b.press("Break glass")
	b.sees("The glass was broken", "Nobody has reviewed it yet", "Active", "All nodes hang")
	broken := b.value(`document.location.href`)
	b.press("End now")

	b.be("Erin Silva")
	b.open("/reviews")
	b.sees("Glass broken")
	b.follow(`//a[contains(@href, "/requests/brk-")]`)
	b.sees("All nodes hang", "alice@example.com broke the glass")
	b.fill("comment", "The nodes did hang")
	b.press("Record review")
	b.open("/reviews")
	b.seesNot("Glass broken")
	b.be("Alice Moreau")
	b.open(broken)
	b.sees("erin@example.com reviewed it", "The nodes did hang")
}

// approves approves a request as somebody who is not at the browser.
func (b *browser) approves(who, request string) {
	b.t.Helper()
	r, err := http.NewRequest("POST", b.origin+"/api/activation-request?activation="+url.QueryEscape(request), strings.NewReader("{}"))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = http.Header{"X-Jitaccess": {"1"}, "Content-Type": {"application/json"}, "Cookie": {"sandbox_person=" + who}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		b.t.Fatalf("%s: %s", answer.Status, text)
	}
}

// TestScannerChangesNothing opens a link as a mail scanner does: in a browser that
// runs scripts, and with GET and HEAD, as a reviewer who may approve.
func TestThreat01_AScannerChangesNothing(t *testing.T) {
	var log lockedBuffer
	b := openBrowser(t, startSandbox(t, &log), true)
	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Scanner bait")
	b.press("Request access")
	link := b.value("document.location.href")
	b.be("Bob Tanaka")
	b.open(link)
	b.sees("Approve")

	for range 50 {
		for _, method := range []string{"GET", "HEAD"} {
			r, err := http.NewRequest(method, link, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: "sandbox_person", Value: "bob@example.com"})
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", method, answer.Status)
			}
		}
	}
	b.open("/sandbox/policy?resource=projects/" + project)
	b.seesNot("Scanner bait")
	if strings.Contains(log.String(), "approved") {
		t.Errorf("the log tells of an approval:\n%s", log.String())
	}
}

// TestFilteringLeavesNoEmptyGroup: whatever is filtered away takes the heading of its
// group along, and what is ticked stays in sight.
func TestFilteringLeavesNoEmptyGroup(t *testing.T) {
	w := newWorld(t, surroundings{})
	for _, role := range []string{"browser", "logging.viewer", "run.viewer", "storage.objectViewer", "bigquery.dataViewer"} {
		w.add("projects/"+project, eligibleBinding("roles/"+role, "has({}.jitAccessConstraint)", "alice"))
	}
	service, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(service)
		r.Out.Header.Set("X-Goog-Iap-Jwt-Assertion", w.assertion(alice))
	}})
	t.Cleanup(front.Close)
	b := openBrowser(t, front.URL, true)
	b.open("/access/projects/" + project)
	const alone, together = "Without approval", "With the approval of others"
	headings := func(want ...string) {
		t.Helper()
		got := b.value(`[...document.querySelectorAll("#entitlement > h3")].filter(h => h.checkVisibility()).map(h => h.textContent).join()`)
		if got != strings.Join(want, ",") {
			t.Errorf("shows the headings %q, want %q", got, want)
		}
	}
	filter := func(text string) {
		t.Helper()
		b.value(`document.getElementById("role-filter").value = ""`)
		b.fill("role-filter", text)
	}
	headings(alone, together)
	filter("compute.instanceAdmin")
	headings(together)
	filter("cloudsql.admin")
	headings(alone)
	b.tick("roles/cloudsql.admin")
	filter("compute.instanceAdmin")
	headings(alone, together)
	filter("no such role")
	headings(alone)
	filter("roles/")
	headings(alone, together)

	// Without a ledger the start page shows what a search finds, and what this browser keeps for
	// this person, and drops what it kept for another.
	b.do(chromedp.WaitVisible(`#asking form.ask`))
	b.fill("justification", "Restoring a backup")
	b.press("Activate now")
	b.sees("Access granted", "Works by ")
	b.value(`localStorage.setItem("recent bob@example.com", "[]"); localStorage.setItem("theme", "x"); ""`)
	b.open("/")
	b.sees("My access now", "roles/cloudsql.admin", "may be minutes behind", "kept by this browser alone")
	if got := b.value(`Object.keys(localStorage).sort().join()`); got != "recent alice@example.com,theme" {
		t.Errorf("the browser keeps %s", got)
	}
	find := func(typed string) string {
		t.Helper()
		b.value(`document.getElementById("projectId").value = ""`)
		b.fill("projectId", typed)
		return b.value(`[...document.querySelectorAll("#projects > li")].filter(e => e.checkVisibility()).map(e => e.innerText.replace(/\s+/g, " ")).join("; ")`)
	}
	if got := find("bigquery.dataViewer"); !strings.Contains(got, project) || !strings.Contains(got, "roles/bigquery.dataViewer") || strings.Contains(got, ";") {
		t.Errorf("by its role is found %q", got)
	}
	if got := find("Cloud SQL"); !strings.HasSuffix(got, project+" · recent") {
		t.Errorf("by what was asked for is found %q", got)
	}
	b.follow(`//li[@class="recent"]/a`)
	b.sees("Activate access to "+project, "roles/cloudsql.admin")
	b.open("/")
	b.do(chromedp.Click(`#recent button`))
	if got := b.value(`String(document.querySelectorAll("li.recent").length) + Object.keys(localStorage)`); got != "0theme" {
		t.Errorf("after it was to be forgotten: %s", got)
	}
}
