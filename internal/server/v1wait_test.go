package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/events"
	"jitaccess/internal/server"
)

// A look that waits is answered when it is decided, and not when something else happens.
func TestALookThatWaits(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	answers := make(chan answer)
	look := func() { answers <- p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200) }
	for _, end := range []access.State{access.Denied, access.Withdrawn, access.Active} {
		a.becomes(id, access.Pending, "")
		go look()
		<-a.waiting
		a.becomes(id, access.Pending, "") // people were reminded, or one of two has approved
		<-a.waiting
		a.becomes(id, end, ben)
		if got := <-answers; got["status"] == "pending" {
			t.Error(end, got)
		}
	}
	// What is decided is answered at once.
	if got := p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200); got["status"] != "approved" {
		t.Error(got)
	}
}

// When the process ends, and when the request can no longer be decided, nobody waits on.
func TestALookWaitsNoLongerThanItMakesSense(t *testing.T) {
	a := newAsked()
	stopping := make(chan struct{})
	h, _ := applications(t, a, func(c *server.Config) { c.Stopping = stopping })
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	answers := make(chan answer)
	go func() { answers <- p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200) }()
	<-a.waiting
	close(stopping)
	if got := <-answers; got["status"] != "pending" {
		t.Error(got)
	}
	h, _ = applications(t, a, nil)
	a.passes(time.Hour - time.Nanosecond)
	p = program{t: t, h: h, token: tokenOf(t, deployKey, claimsOf(a.now(), "5"))}
	if got := p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200); got["status"] != "pending" {
		t.Error(got)
	}
}

// Who finds no place to wait in is answered at once.
func TestMoreLooksThanMayWait(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	answers := make(chan answer)
	for range 2 {
		go func() { answers <- p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200) }()
		<-a.waiting
	}
	w := p.send("GET", "/v1/approvals/"+id+"?wait=25", "", "")
	if got := p.reads(w, 200); got["status"] != "pending" || w.Header().Get("Retry-After") != "5" {
		t.Error(got, w.Header())
	}
	a.becomes(id, access.Active, ben)
	for range 2 {
		if got := <-answers; got["status"] != "approved" {
			t.Error(got)
		}
	}
	// Their places are free again.
	a.becomes(id, access.Pending, "")
	go func() { answers <- p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200) }()
	<-a.waiting
	a.becomes(id, access.Active, ben)
	<-answers
}

// Of those who wait nobody keeps another application from waiting: who has most gives way, and
// is told when to come again.
func TestNoApplicationKeepsAllPlacesToWait(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	claims := claimsOf(noon, "2")
	claims["iss"] = "https://other.example.com"
	other := program{t: t, h: h, token: tokenOf(t, otherKey, claims)}
	theirs := other.reads(other.ask(deploy), http.StatusAccepted)["id"].(string)
	given, kept := make(chan *httptest.ResponseRecorder), make(chan answer)
	for range 2 {
		go func() { given <- p.send("GET", "/v1/approvals/"+id+"?wait=25", "", "") }()
		<-a.waiting
	}
	go func() { kept <- other.reads(other.send("GET", "/v1/approvals/"+theirs+"?wait=25", "", ""), 200) }()
	w := <-given
	if got := p.reads(w, 200); got["status"] != "pending" || w.Header().Get("Retry-After") != "5" {
		t.Error(got, w.Header())
	}
	<-a.waiting
	if w := p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""); w.Header().Get("Retry-After") != "5" {
		t.Errorf("who holds as many as others displaces one: %s", w.Body)
	}
	for _, each := range []string{id, theirs} {
		a.becomes(each, access.Active, ben)
	}
	if got := p.reads(<-given, 200); got["status"] != "approved" {
		t.Error(got)
	}
	if got := <-kept; got["status"] != "approved" {
		t.Error(got)
	}
}

// Over the network who waits has the same answer, with all that every answer carries, and so
// has who waits while something goes wrong.
func TestALookThatWaitsOverTheNetwork(t *testing.T) {
	a := newAsked()
	h, log := applications(t, a, func(c *server.Config) { c.Applications.Waiters = 1 })
	network := httptest.NewServer(h)
	defer network.Close()
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	look := func(method string) (*http.Response, answer) {
		r, err := http.NewRequest(method, network.URL+"/v1/approvals/"+id+"?wait=25", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "access.example.com"
		r.Header.Set("Authorization", "Bearer "+p.token)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		var said answer
		if err := json.NewDecoder(w.Body).Decode(&said); err != nil && method == "GET" {
			t.Fatal(err)
		}
		return w, said
	}
	for _, c := range []struct {
		method, status string
		happens        func()
		code           int
	}{
		{"GET", "approved", func() { a.becomes(id, access.Active, ben) }, 200},
		{"HEAD", "", func() { a.becomes(id, access.Active, ben) }, 200},
		{"GET", "", func() {
			a.mu.Lock()
			a.fails = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
			a.mu.Unlock()
			a.becomes(id, access.Pending, "")
		}, 503},
		{"GET", "", func() {
			a.mu.Lock()
			a.panics = true
			a.mu.Unlock()
			a.becomes(id, access.Pending, "")
		}, 500},
	} {
		a.fails = nil
		a.becomes(id, access.Pending, "")
		go func() {
			<-a.waiting
			for range 10 { // others come meanwhile
				p.send("GET", "/v1/approvals/"+id+"?wait=x", "", "")
				p.send("GET", "/health/alive", "", "")
			}
			c.happens()
		}()
		w, said := look(c.method)
		if w.StatusCode != c.code || c.status != "" && said["status"] != c.status || w.Header.Get("Cache-Control") != "no-store" ||
			w.Header.Get("X-Content-Type-Options") != "nosniff" || !w.Close || c.code == 503 && (said["code"] != "ledger-unavailable" || w.Header.Get("Retry-After") == "") {
			t.Errorf("%s: %s %v %v", c.method, w.Status, w.Header, said)
		}
	}
	// The log says what was asked for, though the router has forgotten.
	collected := 0
	for _, l := range lines(t, log) {
		if l["event"] == events.CollectToken {
			collected++
			if l["route"] != "GET /v1/approvals/{id}" {
				t.Error(l)
			}
		}
	}
	if collected != 2 {
		t.Errorf("%d tokens are told of", collected)
	}
}

// Thousands wait: each is an entry, and no goroutine, of its own or of the HTTP server.
func TestWhoWaitsIsNoGoroutine(t *testing.T) {
	const people = 50
	a := newAsked()
	h, _ := applications(t, a, func(c *server.Config) { c.Applications.Waiters = people })
	network := httptest.NewServer(h)
	defer network.Close()
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	before := runtime.NumGoroutine()
	var all []net.Conn
	for range people {
		c, err := net.Dial("tcp", network.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /v1/approvals/%s?wait=25 HTTP/1.1\r\nHost: access.example.com\r\nAuthorization: Bearer %s\r\n\r\n", id, p.token)
		all = append(all, c)
		<-a.waiting
	}
	for runtime.NumGoroutine() > before+people/5 && t.Context().Err() == nil {
		runtime.Gosched() // those that served the connections end
	}
	a.becomes(id, access.Active, ben)
	for _, c := range all {
		w, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || w.StatusCode != 200 {
			t.Fatal(w, err)
		}
		w.Body.Close()
	}
}

// What somebody who waits is told at last is what stands then, also where it changed on the way.
func TestALookThatWaitsTellsTheLatest(t *testing.T) {
	a := newAsked()
	stopping := make(chan struct{})
	h, _ := applications(t, a, func(c *server.Config) { c.Stopping = stopping })
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	answers := make(chan answer)
	go func() { answers <- p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=25", "", ""), 200) }()
	<-a.waiting
	a.becomes(id, access.Pending, ben) // one of two has approved
	<-a.waiting
	close(stopping)
	if got := <-answers; got["status"] != "pending" || len(got["decisions"].([]any)) != 1 {
		t.Error(got)
	}
}

func TestWhatALookMaySay(t *testing.T) {
	h, _ := applications(t, newAsked(), nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	for _, bad := range []string{"wait=26", "wait=-1", "wait=1.5", "wait=", "wait=x", "wait=1&wait=1", "wait=99999999999999999999", "waits=1", "wait=20s"} {
		p.refused(p.send("GET", "/v1/approvals/"+id+"?"+bad, "", ""), 400, "bad-input")
	}
	p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=0", "", ""), 200)
}
