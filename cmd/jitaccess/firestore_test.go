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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/broker"
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
	d := &documents{t: t, endpoint: endpoint, name: name, address: "firestore:" + firestoreProject + "/" + name}
	d.open().Examine(t.Context()) // the first calls of each kind take it long
	return d
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
	f := newFaultyAmong(t, smtptest.Options{}, 0, d.among, map[string]string{"DATABASE_URL": d.address, "AUDITORS": "user:" + erin})
	f.fresh = true // it waits as long as in life: this is not about time
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
		{"`health/ready`, once in five minutes", func() answer { return f.page("", "/health/ready") }, 7, 0},
		{"`health/ready`", func() answer { return f.page("", "/health/ready") }, 1, 0},
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
		f.handled.Wait()
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

// What the ledger does is traced and counted by the names of the other homes, and each call by Google's besides.
func TestTracesOfTheSweepInFirestore(t *testing.T) {
	d := newDocuments(t)
	w := newWorld(t, surroundings{wrap: d.among, environment: map[string]string{"DATABASE_URL": d.address, "SIGNING_KEY": crashKey}})
	var log lockedBuffer
	s := metered(t, w, &log)
	if _, err := s.sweeper.sweep(t.Context(), broker.SweepCount); err != nil {
		t.Fatal(err)
	}
	s.observing.flush(t.Context())
	below := everyTrace().below(last(t, everyTrace().named("sweep")))
	for _, want := range []string{"database read", "database write", "google runQuery"} {
		if !slices.Contains(below, want) {
			t.Errorf("below a sweep are %q, without %q", below, want)
		}
	}
	if got := scrape(s, scraperToken).Body.String(); !strings.Contains(got, "\n"+`jitaccess_upstream_duration_seconds_count{api="database"} `) {
		t.Errorf("what the database does is not counted:\n%s", got)
	}
	everyTrace().judge(t)
}

// What an operator does with a ledger is done with one in Firestore, as the service account.
func TestCommandsOnFirestore(t *testing.T) {
	d := newDocuments(t)
	f := newFaultyAmong(t, smtptest.Options{}, 0, d.among, map[string]string{"DATABASE_URL": d.address, "AUDITORS": "user:" + erin,
		"GOOGLE_CLOUD_PROJECT": ""})
	f.fresh = true
	f.begin()
	f.tidy(project, "data-warehouse-prod")
	s := f.errands()
	for _, deed := range deeds {
		if a := f.do(s, deed); a.status >= 400 {
			t.Fatalf("%s: %d %.300s\n%s", deed, a.status, a.body, f.world.log)
		}
	}
	f.handled.Wait()
	expect := func(code int, want string, args ...string) string {
		t.Helper()
		is, out, errs := ledgerRun(f.Env(nil), "", args...)
		if is != code || !strings.Contains(out+errs, want) {
			t.Errorf("ledger %v: %d, %s%s; want %d, %q", args, is, out, errs, code, want)
		}
		return out
	}
	expect(exitOK, "2 requests, 7 events; 0 with erased data; 0 policies; fine", "verify")
	expect(exitOK, s.id[request], "export")
	expect(exitOK, "signed", "export", "--format", "csv")
	expect(exitOK, "0 messages", "outbox")
	expect(exitOK, "", "migrate")
	expect(exitOK, "", "policies")
	code, report, errs := reconcile(t, f.Env(nil))
	if code != exitOK || len(report.Differences) > 0 {
		t.Errorf("reconcile: %d, %+v, %s", code, report.Differences, errs)
	}
	// By hand: a request is removed, and its grant stands.
	documentRemoved(t, d, s.id[selfActivation])
	if code, report, _ := reconcile(t, f.Env(nil)); code != exitFailure || !strings.Contains(report.kinds(), s.id[selfActivation]) {
		t.Errorf("reconcile of a request that was removed: %d, %s", code, report.kinds())
	}
	f.world.pass(24 * time.Hour)
	f.sweep()
	expect(exitOK, "erased in 1 request", "erase", "--person", alice, "--yes")
	expect(exitOK, "1 request, 5 events; 1 with erased data; 0 policies; fine", "verify")
	if out := expect(exitOK, "", "export"); strings.Contains(out, alice) {
		t.Error("she is still there")
	}
}

// documentRemoved takes a request away, past the service.
func documentRemoved(t *testing.T, d *documents, id string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, d.endpoint+"/v1/projects/"+firestoreProject+"/databases/"+d.name+
		"/documents/requests/-"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer owner")
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatal(a, err)
	}
	a.Body.Close()
}

// refusing answers a call of which the body has a text.
func refusing(method, has string, status int, answer string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, call http.Handler) {
		sent, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(sent))
		if strings.HasSuffix(r.URL.Path, method) && strings.Contains(string(sent), has) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
			return
		}
		call.ServeHTTP(w, r)
	}
}

func firestoreSays(code int, status, message string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":%q}}`, code, status, message)
}

// doctor makes a call for each thing that the database must have, and says what there is to do
// about each that it has not.
func TestDoctorLooksIntoFirestore(t *testing.T) {
	d := newDocuments(t)
	w := newWorld(t, surroundings{wrap: d.among})
	env := w.env(map[string]string{"DATABASE_URL": d.address, "SIGNING_KEY": crashKey})
	looks := func() string {
		var out bytes.Buffer
		examine(t.Context(), env, recipients{}, w.mail.Roots, &out)
		var all []string
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, " ledger: ") {
				all = append(all, line)
			}
		}
		return strings.Join(all, "")
	}
	said := looks()
	for _, want := range []string{"ok       ledger: the API answers, and the Firestore database projects/" + firestoreProject + "/databases/" + d.name + " is in native mode",
		"ok       ledger: the service account may write", "ok       ledger: the index for requests in a state", "ok       ledger: the index for notes",
		"can be read; the key that signs what is remembered: SIGNING_KEY"} {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q:\n%s", want, said)
		}
	}
	if n := strings.Count(said, "the index for"); n != 19 || strings.Contains(said, "broken") {
		t.Errorf("%d indexes:\n%s", n, said)
	}
	for what, c := range map[string]struct {
		around func(http.ResponseWriter, *http.Request, http.Handler)
		broken int
		want   string
	}{
		"the API": {refusing("", "", 403, firestoreSays(403, "PERMISSION_DENIED", "Cloud Firestore API has not been used in project 1 before or it is disabled.")), 1,
			"gcloud services enable firestore.googleapis.com --project " + firestoreProject},
		"no such database": {refusing("", "", 404, firestoreSays(404, "NOT_FOUND", "The database x does not exist for project y")), 1, "gcloud firestore databases create"},
		"Datastore mode": {refusing("", "", 400, firestoreSays(400, "FAILED_PRECONDITION", "The Cloud Firestore API is not available for Firestore in Datastore Mode database x.")), 1,
			"native mode is needed"},
		"who may read alone": {refusing(":commit", "", 403, firestoreSays(403, "PERMISSION_DENIED", "Missing or insufficient permissions.")), 1, "roles/datastore.user"},
		"an index": {refusing(":runQuery", `"reviewers"`, 400, "["+firestoreSays(400, "FAILED_PRECONDITION", "The query requires an index. You can create it here: https://console.example/x")+"]"), 8,
			"https://console.example/x"},
		"an index that is built": {refusing(":runQuery", `"notes"`, 400, "["+firestoreSays(400, "FAILED_PRECONDITION", "The index is currently building and cannot be used yet.")+"]"), 1,
			"still being built"},
	} {
		t.Run(what, func(t *testing.T) {
			d.around = c.around
			defer func() { d.around = nil }()
			if said := looks(); strings.Count(said, "broken   ledger: ") != c.broken || !strings.Contains(said, c.want) {
				t.Errorf("%s", said)
			}
		})
	}
}

// firestoreFaults are the ways in which a call of Firestore fails, the columns of the matrix.
var firestoreFaults = []string{"lost before it", "answer lost", "contention", "quota spent", "refused", "garbage"}

// failingCalls is how many calls of a kind fail in turn during a deed: what follows is the step of the
// sweep, and more or fewer each time.
const failingCalls = 2

// TestEveryCallOfFirestoreMayFail has each call fail in each way during each deed of a story:
// docs/reliability.md has what came of it.
func TestEveryCallOfFirestoreMayFail(t *testing.T) {
	table, row := matrix(firestoreFaults)
	d := newDocuments(t)
	f := newFaultyAmong(t, smtptest.Options{}, 0, d.among, map[string]string{"DATABASE_URL": d.address})
	var mu sync.Mutex
	times, at, kind := map[string]int{}, "", ""
	d.around = func(w http.ResponseWriter, r *http.Request, call http.Handler) {
		_, name, _ := strings.Cut(r.URL.Path, "/documents")
		mu.Lock()
		if times[name]++; times[name] > 1 {
			name = fmt.Sprintf("%s #%d", name, times[name])
		}
		fails := ""
		if name == at {
			fails = kind
		}
		mu.Unlock()
		answer := func(code int, status string) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, firestoreSays(code, status, "as a test says"))
		}
		switch fails {
		case "lost before it":
			panic(http.ErrAbortHandler)
		case "answer lost":
			call.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case "contention":
			answer(409, "ABORTED")
		case "quota spent":
			answer(429, "RESOURCE_EXHAUSTED")
		case "refused":
			answer(403, "PERMISSION_DENIED")
		case "garbage":
			_, _ = io.WriteString(w, "<html>")
		default:
			call.ServeHTTP(w, r)
		}
	}
	arm := func(call, how string) {
		mu.Lock()
		defer mu.Unlock()
		at, kind = call, how
		clear(times)
	}
	for _, deed := range deeds {
		for _, call := range []string{":batchGet", ":commit", ":runQuery"} {
			row(deed, "`"+call+"`", func(kind string) string {
				var cells []string
				for n := range failingCalls {
					name := call
					if n > 0 {
						name = fmt.Sprintf("%s #%d", call, n+1)
					}
					t.Run(deed+", "+name+", "+kind, func(t *testing.T) {
						defer f.of(t)()
						cells = append(cells, f.fails(deed, func() { arm(name, kind) }, func() { arm("", "") }))
					})
				}
				slices.Sort(cells)
				return strings.Join(slices.Compact(cells), " or ")
			})
		}
	}
	documented(t, "matrix of calls of Firestore", table.String())
	if code, out, errs := ledgerRun(f.Env(nil), "", "verify"); code != exitOK {
		t.Errorf("%s%s", out, errs)
	}
	if strings.Contains(f.world.log.String(), "panic") {
		t.Error("a panic")
	}
}
