package firestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/firestoretest"
)

// answering is a home whose service gives the same answer to every call, and how many there were.
func answering(t *testing.T, status int, body string) (*firestore.Database, *int) {
	calls := new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*calls++
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return firestore.New(firestore.Config{Client: server.Client(), Endpoint: server.URL, Project: "jit-test", Database: "ledger",
		Pause: func(context.Context, int) error { return nil }}), calls
}

// Each thing that may be wrong is told with what there is to do, and is never taken for somebody
// else having been quicker.
func TestWhatIsWrongIsToldWithWhatThereIsToDo(t *testing.T) {
	says := func(code, status, message string) string {
		return `{"error":{"code":` + code + `,"status":"` + status + `","message":"` + message + `"}}`
	}
	for name, c := range map[string]struct {
		status     int
		body, want string
	}{
		"the API is not enabled": {403, says("403", "PERMISSION_DENIED", "Cloud Firestore API has not been used in project 1 before or it is disabled."),
			"gcloud services enable firestore.googleapis.com --project jit-test"},
		"no rights, or another project's database": {403, says("403", "PERMISSION_DENIED", "Missing or insufficient permissions."),
			"roles/datastore.user on project jit-test"},
		"no such database": {404, says("404", "NOT_FOUND", "The database ledger does not exist for project jit-test"),
			"gcloud firestore databases create --project jit-test --database 'ledger'"},
		"Datastore mode": {400, says("400", "FAILED_PRECONDITION", "The Cloud Firestore API is not available for Firestore in Datastore Mode database ledger."),
			"native mode is needed"},
		"an index is missing": {400, says("400", "FAILED_PRECONDITION", "The query requires an index. You can create it here: https://console.example/x"),
			"https://console.example/x"},
		"an index is being built": {400, says("400", "FAILED_PRECONDITION", "That index is currently building and cannot be used yet."), "still being built"},
		"a quota is spent":        {429, says("429", "RESOURCE_EXHAUSTED", "Quota exceeded."), "a quota is spent"},
		"too large": {400, says("400", "INVALID_ARGUMENT", "Document exceeds the maximum allowed size of 1,048,576 bytes."),
			"nothing of it was written"},
		"in a list":            {400, "[" + says("429", "RESOURCE_EXHAUSTED", "Quota exceeded.") + "]", "a quota is spent"},
		"in the midst":         {200, "[" + says("429", "RESOURCE_EXHAUSTED", "Quota exceeded.") + "]", "a quota is spent"},
		"a list that is cut":   {200, `[{"readTime":"2026-03-01T12:00:00Z"}`, "cannot be read"},
		"garbage":              {200, "<html>", "cannot be read"},
		"nothing":              {200, "", "cannot be read"},
		"a page of some proxy": {502, "<html>", "answered 502"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := answering(t, c.status, c.body)
			_, loading := d.Load(t.Context(), "mpa-0000000000000001")
			_, listing := d.List(t.Context(), ledger.Query{Max: 1})
			row := ledger.Row{ID: "mpa-0000000000000001", Version: 1}
			putting := d.Put(t.Context(), ledger.Write{Row: row})
			for what, err := range map[string]error{"loading": loading, "listing": listing, "putting": putting} {
				told := err != nil && (what == "putting" && c.status == 200 || strings.Contains(err.Error(), c.want))
				if !told || errors.Is(err, ledger.ErrChanged) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// What was given up for the sake of another was not written, and is made again a few times;
// what may have been written is not.
func TestOnlyWhatWasNotWrittenIsWrittenAgain(t *testing.T) {
	for status, want := range map[string]int{"ABORTED": 5, "UNAVAILABLE": 1, "DEADLINE_EXCEEDED": 1, "INTERNAL": 1, "UNKNOWN": 1, "RESOURCE_EXHAUSTED": 1} {
		d, calls := answering(t, 503, `{"error":{"code":503,"status":"`+status+`","message":"x"}}`)
		err := d.Put(t.Context(), ledger.Write{Row: ledger.Row{ID: "mpa-0000000000000001", Version: 1}})
		if err == nil || errors.Is(err, ledger.ErrChanged) || *calls != want {
			t.Errorf("%s: %d calls, %v", status, *calls, err)
		}
	}
}

// lost loses the answers to commits that were made.
type lost struct{ on bool }

func (l *lost) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && l.on && strings.HasSuffix(r.URL.Path, ":commit") {
		answer.Body.Close()
		return nil, context.DeadlineExceeded
	}
	return answer, err
}

func asked(c *clock, id string) access.Event {
	r := access.Request{ID: id, Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop-prod",
		Entitlements:  []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin"}},
		Justification: "incident", Duration: 30 * time.Minute, Reviewers: []access.Principal{"ben@example.com"},
		Created: c.Now(), Expires: c.Now().Add(24 * time.Hour)}
	return access.Event{Action: access.RequestMade, At: c.Now(), Request: r, Caller: access.Caller{Principal: "ana@example.com", Subject: "1"}}
}

// A deadline that comes after the commit: the entry is looked up, and stands once.
func TestACommitOfWhichTheAnswerIsLostIsLookedUp(t *testing.T) {
	address, name := firestoretest.Emulator(t)
	losing := &lost{}
	d := firestore.New(firestore.Config{Client: &http.Client{Transport: losing}, Endpoint: address, Project: "jit-test", Database: name})
	c := newClock()
	s := store(t, d, c)
	losing.on = true
	if _, err := s.Commit(t.Context(), asked(c, "mpa-0000000000000001"), nil); err != nil {
		t.Fatal(err)
	}
	losing.on = false
	if events, err := s.History(t.Context(), "mpa-0000000000000001"); err != nil || len(events) != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// Limits are met with an error, and with nothing written.
func TestWhatIsTooMuchIsRefusedWhole(t *testing.T) {
	many := make([]ledger.Kept, 500)
	for i := range many {
		many[i].ID = strings.Repeat("x", i+1)
	}
	row := ledger.Row{ID: "mpa-0000000000000001", Version: 1, Summary: []byte("{}"), Made: time.Unix(1, 0)}
	long := row
	long.Principal = access.Principal(strings.Repeat("a", 1501))
	for name, w := range map[string]ledger.Write{
		"more than 500 documents":       {Row: row, Kept: many},
		"a text that no index knows":    {Row: long},
		"a document of more than 1 MiB": {Row: row, Entry: ledger.Entry{Text: bytes.Repeat([]byte{1}, 1<<20)}},
	} {
		d := open(t)
		if err := d.Put(t.Context(), w); err == nil || errors.Is(err, ledger.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
		rows, err := d.List(t.Context(), ledger.Query{Max: 1})
		kept, failed := d.Aside(t.Context(), 1)
		if err != nil || failed != nil || len(rows)+len(kept) > 0 {
			t.Errorf("%s: left %d and %d, %v, %v", name, len(rows), len(kept), err, failed)
		}
	}
}

func TestALayoutThatIsNewerIsLeftAlone(t *testing.T) {
	answer := func(version string) string {
		return `[{"found":{"name":"projects/jit-test/databases/ledger/documents/state/-layout","updateTime":"2026-03-01T12:00:00Z",` +
			`"fields":{"version":{"integerValue":"` + version + `"}}},"readTime":"2026-03-01T12:00:00Z"}]`
	}
	for version, usable := range map[string]bool{"1": true, "2": true, "3": false} {
		d, _ := answering(t, 200, answer(version))
		_, newer := errors.AsType[ledger.NewerError](d.Prepare(t.Context()))
		if newer == usable {
			t.Errorf("layout %s: newer %v", version, newer)
		}
	}
}
