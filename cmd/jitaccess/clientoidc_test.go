package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// lets is a browser in which somebody logs in, reads what a program is let, and lets it. seen gets the page, and
// the address to which it leads.
func (p *visitor) lets(email string, seen func(asked, page, onward string)) func(context.Context, string) error {
	return func(_ context.Context, address string) error {
		path := strings.TrimPrefix(address, p.w.public)
		page, way := p.open(path, email)
		if page.status != 200 || len(way) == 0 || !strings.HasPrefix(way[len(way)-1], p.w.public+"/oidc/program?") {
			return fmt.Errorf("%d at %s: %s", page.status, way, page.body)
		}
		let := p.visit(path, url.Values{"confirmed": {"1"}, "principal": {email}})
		onward, leads := strings.CutPrefix(let.header.Get("Refresh"), "0; url=")
		if !leads || let.location != "" {
			return fmt.Errorf("it leads nowhere: %d %s", let.status, let.body)
		}
		if seen != nil {
			seen(address, page.body, onward)
		}
		answer, err := http.Get(onward)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "You can close this page") {
			return fmt.Errorf("%v: %s", err, text)
		}
		return nil
	}
}

// Where the service signs people in itself the command line is let by browser; what it does is known to be a
// program's, and it is over when its user logs out.
func TestTheCommandLineWhereTheServiceSignsIn(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	hers, his := w.visitor(), w.visitor()
	alices, bobs := shell(t), shell(t)
	var used string
	alices.browse = hers.lets(alice, func(asked, page, onward string) {
		used = onward
		letters := regexp.MustCompile(`code_challenge=(.{8})`).FindStringSubmatch(asked)[1]
		if place := mustHost(onward); !strings.Contains(page, place) || !strings.Contains(page, "<code>"+letters+"</code>") || !strings.Contains(page, alice) {
			t.Errorf("%s, %s:\n%s", place, letters, page)
		}
	})
	bobs.browse = his.lets(bob, nil)
	code, out, said := alices.types("login", w.public)
	if code != exitOK || !strings.Contains(out, "You are "+alice+" at "+w.public+", until ") || !strings.Contains(said, w.public+"/oidc/program?") ||
		!regexp.MustCompile(`shows these letters, if it is this log-in:  [A-Za-z0-9_-]{8}\n`).MatchString(said) {
		t.Fatalf("%d %s%s", code, out, said)
	}
	if about, err := os.Stat(alices.tokenFile()); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", about, err)
	}
	bobs.must("login", w.public)

	id := numberIn(t, alices.must("request", project, "compute.instanceAdmin.v1", "--reason", "INC-80", "--from", bob))
	bobs.must("approve", id)
	if out := alices.must("status", id); !strings.Contains(out, "state     active") {
		t.Errorf("%s", out)
	}
	if !w.logged("INC-80", `"user":"`+bob, `"method":"oidc-program"`) {
		t.Errorf("nobody sees that a program has done it: %s", w.log)
	}
	hers.visit("/requests/"+id, nil).expect(t, 200, alice) // the page is hers as before

	// What has been in the browser and in the log is good for nothing.
	leads, _ := url.Parse(used)
	again, _ := http.NewRequest("POST", w.public+"/oidc/program/token", strings.NewReader(
		`{"code":"`+leads.Query().Get("code")+`","verifier":"x","redirectUri":"`+leads.Scheme+"://"+leads.Host+leads.Path+`"}`))
	again.Header.Set("Content-Type", "application/json")
	again.Header.Set("X-JITACCESS", "1")
	if answer, err := http.DefaultClient.Do(again); err != nil || answer.StatusCode != 400 {
		t.Errorf("%v, %v", answer, err)
	}
	text, _ := os.ReadFile(alices.tokenFile())
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(string(text))[1]
	if w.logged(leads.Query().Get("code")) || w.logged(token) || w.logged(leads.Path) {
		t.Error("the log has a secret")
	}

	// The token opens no page, and no cookie is made of it.
	page, _ := http.NewRequest("GET", w.public+"/requests", nil)
	page.Header.Set("Authorization", "Bearer "+token)
	if answer, err := client.Do(page); err != nil || answer.StatusCode != 303 || answer.Header.Get("Set-Cookie") == "" ||
		strings.Contains(answer.Header.Get("Set-Cookie"), "session=") {
		t.Errorf("%v, %v", answer, err)
	}

	// It outlives the instance, and not the session.
	w.restart(nil)
	alices.must("status", id)
	hers.visit("/oidc/logout", url.Values{}).expect(t, 200)
	alices.fails(exitSignedOut, "jitaccess login", "status", id)
	bobs.must("status", id)
	w.restart(map[string]string{"SESSION_KEY": secondKey})
	bobs.fails(exitSignedOut, "jitaccess login", "status", id)
}

// In a browser: the page goes on by itself to where the program listens, past all that keeps pages from leading elsewhere.
func TestAProgramIsLetInABrowser(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	b := openBrowser(t, w.public, true)
	p := shell(t)
	address := make(chan string, 1)
	p.browse = func(_ context.Context, to string) error { address <- to; return nil }
	done := make(chan string, 1)
	go func() {
		_, out, said := p.types("login", w.public)
		done <- out + said
	}()
	b.open(<-address)
	b.do(chromedp.SendKeys(`input[name=login]`, alice), chromedp.SendKeys(`input[name=password]`, "any"))
	b.press("Sign-in")
	b.press("Continue")
	b.sees("Let a program act for you?", "Signed in as "+alice)
	b.tick("I have started this")
	b.press("Let it")
	b.do(chromedp.WaitVisible(`//*[contains(text(), "You can close this page")]`))
	if said := html.UnescapeString(<-done); !strings.Contains(said, "You are "+alice) {
		t.Error(said)
	}
	p.must("roles", project)
}
