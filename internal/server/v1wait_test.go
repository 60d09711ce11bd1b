package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"jitaccess/internal/access"
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

// Over the network who waits has the same answer, with all that every answer carries, and so
// has who waits while something goes wrong.
func TestALookThatWaitsOverTheNetwork(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, func(c *server.Config) { c.Applications.Waiters = 1 })
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
	} {
		a.becomes(id, access.Pending, "")
		go func() { <-a.waiting; c.happens() }()
		w, said := look(c.method)
		if w.StatusCode != c.code || c.status != "" && said["status"] != c.status || w.Header.Get("Cache-Control") != "no-store" ||
			w.Header.Get("X-Content-Type-Options") != "nosniff" || !w.Close || c.code == 503 && (said["code"] != "ledger-unavailable" || w.Header.Get("Retry-After") == "") {
			t.Errorf("%s: %s %v %v", c.method, w.Status, w.Header, said)
		}
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
