package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// held is a front of the service that answers when the test says so.
type held struct {
	// on is whether what is asked for waits for pass; posts is how many forms were sent.
	on    atomic.Bool
	pass  chan struct{}
	posts atomic.Int32
}

func hold(t *testing.T, origin string) (*held, string) {
	t.Helper()
	service, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	h := &held{pass: make(chan struct{})}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(service); r.Out.Host = service.Host }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/assets/") && !strings.HasPrefix(r.URL.Path, "/sandbox") {
			if r.Method == http.MethodPost {
				h.posts.Add(1)
			}
			if h.on.Load() {
				// Who is gone is known once all that they sent is read.
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				select {
				case <-h.pass:
				case <-r.Context().Done():
					return
				}
			}
		}
		if r.Method == http.MethodPost { // the address that the browser knows is this one
			r.Header.Set("Origin", origin)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		close(h.pass)
		front.Close()
	})
	return h, strings.Replace(front.URL, "127.0.0.1", "localhost", 1)
}

// TestWaitingCanBeGivenUp: whatever was pressed, after a moment the page says that it waits; the
// wait can be given up, what was typed is kept, it is said that what was sent may have arrived, and
// nothing is sent twice.
func TestWaitingCanBeGivenUp(t *testing.T) {
	h, origin := hold(t, startSandbox(t, nil))
	b := openBrowser(t, origin, true)
	// gaveUp is pressing what a query finds, and giving up as soon as the page says that it waits. The
	// page does that by itself: as long as it is about to be left it answers no question of the browser's tools.
	gaveUp := func(query, meanwhile string, sent bool) {
		t.Helper()
		b.value(`window.said = ""; new MutationObserver((_, looks) => {
			const waiting = document.getElementById("waiting");
			if (waiting.hidden) return;
			looks.disconnect();
			said = waiting.innerText;
			` + meanwhile + `
			waiting.querySelector("button").click();
		}).observe(document.getElementById("waiting"), { attributes: true });
		document.querySelector(` + strconv.Quote(query) + `).click(); ""`)
		b.until(`said && document.getElementById("waiting").hidden`)
		if said := b.value("said"); !strings.Contains(said, "Waiting for Google") {
			t.Errorf("says %q", said)
		}
		if said := strings.Contains(b.text(), "What you sent may have arrived all the same."); said != sent {
			t.Errorf("says that it may have arrived: %t, want %t:\n%s", said, sent, b.text())
		}
	}

	b.be("Alice Moreau")
	b.open("/")
	h.on.Store(true)
	gaveUp(`a[href="/access/projects/`+project+`"]`, "", false)
	h.on.Store(false)
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 12 hangs")
	h.on.Store(true)
	before := h.posts.Load()
	// Enter in a field sends it, too.
	gaveUp(`form.ask button.primary`, `document.querySelector("form.ask").requestSubmit();`, true)
	if got := b.value(`document.getElementById("justification").value`); got != "Node 12 hangs" {
		t.Errorf("the reason is %q", got)
	}
	if got := b.value(`String(document.querySelector("form.ask button.primary").disabled)`); got != "false" {
		t.Error("the button cannot be pressed again")
	}
	if got := h.posts.Load() - before; got != 1 {
		t.Errorf("sent %d times", got)
	}
	h.on.Store(false)
	b.press("Request access")
	b.sees("Waiting for approval", "Node 12 hangs")
	request := b.value(`document.location.href`)

	// A decision, whose comment is kept.
	b.be("Bob Tanaka")
	b.open(request)
	b.unfold(`//*[@id="deny"]`)
	b.fill("comment", "Drain it first")
	h.on.Store(true)
	gaveUp(`.deny form button`, "", true)
	if got := b.value(`document.getElementById("comment").value`); got != "Drain it first" {
		t.Errorf("the comment is %q", got)
	}
	h.on.Store(false)
	b.press("Deny")
	b.sees("Denied", "Drain it first")
}

// TestWhatConfirmsAPressIsOfItAlone: whoever has given up the wait for an approval presses the same
// button again, and what confirmed the first press is not sent twice, which the service refuses.
func TestWhatConfirmsAPressIsOfItAlone(t *testing.T) {
	b := openBrowser(t, startSandbox(t, nil), true)
	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 14 hangs")
	b.press("Request access")
	request := b.value(`document.location.href`)
	b.be("Bob Tanaka")
	b.open(request)
	b.do(chromedp.WaitVisible(`//button[@id="approve" and not(@aria-disabled)]`))
	// As somebody who is there (guard.js asks for that), and whose form leads nowhere.
	sent := b.value(`window.dispatchEvent(new Event("input")); let sent = "";
		document.addEventListener("submit", (e) => { e.preventDefault(); sent = String(new FormData(e.target).getAll("confirmed")); }, { once: true });
		document.getElementById("approve").click(); sent`)
	if sent != "1" {
		t.Fatalf("a press is confirmed by %q", sent)
	}
	b.until(`document.querySelectorAll("#approval [name=confirmed]").length === 0`)
}

// TestAPageThatCannotFollowSaysSo: while the service is away, when it is back, and once nobody is
// signed in any more; then it asks no longer.
func TestAPageThatCannotFollowSaysSo(t *testing.T) {
	b := openBrowser(t, startSandbox(t, nil), true)
	b.be("Alice Moreau")
	b.open("/access/projects/" + project)
	b.tick("roles/compute.instanceAdmin.v1")
	b.opens()
	b.fill("justification", "Node 13 hangs")
	// Its pauses are over when the test says so, and what it is answered is what is in answers, before
	// the service is asked.
	if _, err := chromedp.Run(b.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `window.paused = []; window.answers = [502];
				const wait = window.setTimeout, ask = window.fetch;
				window.setTimeout = (does, after, ...args) => after >= 15000 ? paused.push(does) : wait(does, after, ...args);
				window.fetch = (...args) => answers.length ? Promise.resolve(new Response("", { status: answers.shift() })) : ask(...args);`})
		return chromedp.Void{}, err
	}); err != nil {
		t.Fatal(err)
	}
	b.press("Request access")
	b.until(`!document.getElementById("away").hidden`)
	b.sees("Node 13 hangs", "There is no answer. This page is as it was at ", "and goes on trying")
	b.value(`paused.splice(0).forEach((does) => does()); ""`)
	b.value(`answers.push(401); ""`) // after the one that is under way
	b.approves("bob@example.com", b.value(`new URL(document.location).searchParams.get("activation")`))
	b.until(`document.getElementById("away").textContent.includes("You are no longer signed in.")`)
	b.sees("bob@example.com approved", "This page does not change any more.", "Show the request as it is now")
	b.seesNot("goes on trying")
	if got := b.value(`String(paused.length)`); got != "0" {
		t.Error("goes on asking")
	}
}

// until waits for what a script says to be so in the page that there is, looking at every frame that
// is painted; no timer is used, since those are a test's.
func (b *browser) until(script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	so := `new Promise((done) => { const look = () => (` + script + `) ? done("") : requestAnimationFrame(look); look(); })`
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](so, chromedp.EvalAwaitPromise)); err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
}
