package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/firestoretest"
	"jitaccess/internal/mail/smtptest"
)

// firestoreProject is whose the databases of tests are.
const firestoreProject = "acme-ledger"

// documents is a database in Google's emulator of Firestore, which stands among the sandbox's
// APIs: the service reaches it as it reaches Google, with its token.
type documents struct {
	t        testing.TB
	endpoint string
	// address is DATABASE_URL.
	address, name string
	// around makes each call, or does not; nil makes it.
	around func(w http.ResponseWriter, r *http.Request, call http.Handler)
}

func newDocuments(t testing.TB) *documents {
	t.Helper()
	endpoint, name := firestoretest.Emulator(t)
	return &documents{t: t, endpoint: endpoint, name: name, address: "firestore:" + firestoreProject + "/" + name}
}

// open opens the database past the service.
func (d *documents) open() *firestore.Database {
	return firestore.New(firestore.Config{Client: http.DefaultClient, Endpoint: d.endpoint, Project: firestoreProject, Database: d.name})
}

// among has the emulator answer what is Firestore's.
func (d *documents) among(next http.Handler) http.Handler {
	emulator, err := url.Parse(d.endpoint)
	if err != nil {
		d.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(emulator)
		if strings.HasPrefix(r.In.Header.Get("Authorization"), "Bearer ") {
			r.Out.Header.Set("Authorization", "Bearer owner") // the emulator's word for the service account
		} else {
			r.Out.Header.Set("Authorization", "Bearer nobody")
		}
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/projects/"+firestoreProject+"/databases/") {
			next.ServeHTTP(w, r)
		} else if d.around == nil {
			proxy.ServeHTTP(w, r)
		} else {
			d.around(w, r, proxy)
		}
	})
}

var writeFirestore = flag.Bool("write-firestore", false, "write the tables of docs/firestore.md")

// spending is what the service pays for: documents that are read, a query that finds none being
// one, and so is a document that is not there; those that are written; and those that are removed
// (https://cloud.google.com/firestore/pricing).
type spending struct {
	mu                       sync.Mutex
	reads, writes, deletions int
}

// counts is a documents.around.
func (s *spending) counts(w http.ResponseWriter, r *http.Request, call http.Handler) {
	sent, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(sent))
	answer := httptest.NewRecorder()
	call.ServeHTTP(answer, r)
	s.count(r.URL.Path, sent, answer.Body.Bytes())
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (s *spending) count(path string, sent, answered []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasSuffix(path, ":commit") {
		var body struct {
			Writes []struct{ Delete string }
		}
		_ = json.Unmarshal(sent, &body)
		for _, w := range body.Writes {
			if w.Delete != "" {
				s.deletions++
			} else {
				s.writes++
			}
		}
		return
	}
	var found []struct {
		Found, Document, Result *struct{}
		Missing                 string
	}
	_ = json.Unmarshal(answered, &found)
	n := 0
	for _, f := range found {
		if f.Found != nil || f.Document != nil || f.Result != nil || f.Missing != "" {
			n++
		}
	}
	s.reads += max(n, 1)
}

// taken is what was spent since it was asked last.
func (s *spending) taken() (reads, writes, deletions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reads, writes, deletions = s.reads, s.writes, s.deletions
	s.reads, s.writes, s.deletions = 0, 0, 0
	return reads, writes, deletions
}

// TestWhatFirestoreCosts counts what each page and action reads and writes, and holds it against
// what it may be. docs/firestore.md has the table.
func TestWhatFirestoreCosts(t *testing.T) {
	d, spent := newDocuments(t), &spending{}
	d.around = spent.counts
	f := newFaultyAmong(t, smtptest.Options{}, d.among, map[string]string{"DATABASE_URL": d.address, "AUDITORS": "user:" + erin})
	f.fresh = true // waits as long as in life: it is not about time
	f.begin()
	for range 3 { // what they did before
		s := f.errands()
		for _, deed := range deeds {
			if a := f.do(s, deed); a.status >= 400 {
				t.Fatalf("%s: %d %.300s", deed, a.status, a.body)
			}
		}
		f.world.pass(20 * time.Minute)
		f.sweep()
	}
	s := f.errands()
	const cautions = "what any page looks up for administrators, once in 30 s: what is active, 51 at most"
	table := &strings.Builder{}
	table.WriteString("| what | reads | writes | removals | a thousand cost |\n|---|---:|---:|---:|---:|\n")
	for _, step := range []struct {
		what          string
		do            func() answer
		reads, writes int // at most; removals count as writes
	}{
		{"the start page of somebody with one thing active and six before", func() answer { return f.page(alice, "/") }, 12, 0},
		{cautions, func() answer { return f.page(alice, "/access/projects/"+project) }, 3, 0},
		{"the page of a project", func() answer { return f.page(alice, "/access/projects/"+project) }, 0, 0},
		{"activating alone", func() answer { return f.do(s, "activate") }, 12, 6},
		{"asking one person", func() answer { return f.do(s, "ask") }, 12, 6},
		{"the page of a request", func() answer { return f.page(bob, reviewPath(s.id[request])) }, 12, 0},
		{"an approval", func() answer { return f.do(s, "approve") }, 12, 6},
		{"one look of a page that waits", func() answer { return f.api(alice, "/api/requests/"+s.id[request], nil) }, 2, 0},
		{"ending", func() answer { return f.do(s, "end") }, 20, 6},
		{"history, 8 requests", func() answer { return f.page(erin, "/history") }, 8, 0},
		{"a month, 8 requests", func() answer { return f.page(erin, "/history/month?month="+f.now().UTC().Format("2006-01")) }, 8, 0},
		{"`health/ready`", func() answer { return f.page("", "/health/ready") }, 5, 0},
		{"a sweep with nothing due", func() answer { f.sweeper.sweep(t.Context(), 10); return answer{status: 200} }, 30, 2},
	} {
		f.world.pass(time.Minute)
		if step.what != cautions {
			f.page(frank, "/access/projects/"+project) // which reads nothing else
		}
		spent.taken()
		if a := step.do(); a.status >= 400 {
			t.Fatalf("%s: %d %.500s", step.what, a.status, a.body)
		}
		reads, writes, deletions := spent.taken()
		if reads > step.reads || writes+deletions > step.writes {
			t.Errorf("%s: %d reads, %d writes, %d removals", step.what, reads, writes, deletions)
		}
		// The list prices of a multi-region in the United States, in dollars for 100,000.
		cost := float64(reads)*0.06/100 + float64(writes)*0.18/100 + float64(deletions)*0.02/100
		fmt.Fprintf(table, "| %s | %d | %d | %d | $ %.4f |\n", step.what, reads, writes, deletions, cost)
	}
	tabulated(t, "docs/firestore.md", "costs", table.String(), *writeFirestore)
}
