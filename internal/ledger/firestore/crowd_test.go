package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	official "cloud.google.com/go/firestore"
	"google.golang.org/genproto/googleapis/type/latlng"

	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
)

// Whoever writes the database may put more in than one page of a query holds, with whatever the
// pages are in the order of. What lies behind is read all the same, and nothing is read twice.
func TestACrowdKeepsNothingBehindItFromBeingRead(t *testing.T) {
	const many = 150
	for what, d := range map[string]document{
		"due at half a microsecond": {"due": 0.5}, "due at no number": {"due": math.NaN()},
		"due at nothing": {"due": nil}, "by no channel": {"channels": nil}, "by a channel that is a number": {"channels": -0.25},
		"by one that is a time":             {"channels": time.Unix(1, 5000)},
		"by one that is a place":            {"channels": &latlng.LatLng{Latitude: 1.5, Longitude: -0.25}},
		"by lists":                          {"channels": []any{nil, 1.5, &latlng.LatLng{}, document{"y": math.NaN()}}},
		"under names that nobody can lease": {"due": 1},
	} {
		t.Run(what, func(t *testing.T) {
			c, home := newClock(), rig(t)
			if err := home.Keep(t.Context(), ledger.Note{Kind: "x", ID: "x", Made: c.Now()}, ledger.Kept{ID: "good", Notice: []byte(`{}`), Made: c.Now(), Due: c.Now()},
				ledger.Kept{ID: "put aside", Notice: []byte(`{}`), Made: c.Now()}); err != nil {
				t.Fatal(err)
			}
			write := func(_ context.Context, all *official.Transaction) error {
				put := func(collection, name string, of document) error {
					return all.Set(home.client.Collection(collection).Doc(name), of)
				}
				for n := range many {
					waiting := document{"besides": false, "channels": "", "person": "", "due": 1, "made": 1, "aside": false}
					maps.Copy(waiting, d)
					if err := errors.Join(put("outbox", fmt.Sprintf("x%d", n), waiting),
						put("outbox", fmt.Sprintf("y%d", n), document{"aside": true, "made": 0.5}),
						put("notes", fmt.Sprintf("x%d", n), document{"kind": "x", "made": 1.5})); err != nil {
						return err
					}
				}
				return nil
			}
			if err := home.client.RunTransaction(t.Context(), write); err != nil {
				t.Fatal(err)
			}
			found := false
			for range 3 { // looks
				waiting, err := home.Waiting(t.Context(), c.Now(), 20, false)
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range waiting {
					found = found || k.ID == "good"
				}
			}
			if !found {
				t.Error("what waits behind them is not found")
			}
			if notes, err := home.Notes(t.Context(), "x", 1000); err != nil || len(notes) != many+1 {
				t.Errorf("%d notes, %v", len(notes), err)
			}
			if aside, err := home.Aside(t.Context(), 1000); err != nil || len(aside) != many+1 {
				t.Errorf("%d were put aside, %v", len(aside), err)
			}
		})
	}
}

// A service that answers with the same page again has no end, and that is an error.
func TestPagesEnd(t *testing.T) {
	var page []string
	for n := range 100 {
		page = append(page, fmt.Sprintf(`{"document":{"name":"projects/jit-test/databases/ledger/documents/requests/-%d","fields":{}}}`, n))
	}
	d, calls := answering(t, 200, "["+strings.Join(page, ",")+"]")
	n := 0
	err := d.Walk(t.Context(), func(ledger.Record) error {
		if n++; n > 1000 {
			return errors.New("it goes on")
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "what came before") || n != 100 || *calls != 2 {
		t.Errorf("%d requests, %d calls, %v", n, *calls, err)
	}
}

// A document that is another each time is given up.
func TestWhoIsNeverQuickEnoughGivesUp(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, ":commit") {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error":{"code":409,"status":"ALREADY_EXISTS"}}`)
			return
		}
		_, _ = fmt.Fprintf(w, `[{"found":{"name":"projects/jit-test/databases/ledger/documents/leases/-x","updateTime":"%d","fields":{"holder":{"stringValue":"us"}}}}]`, calls)
	}))
	t.Cleanup(server.Close)
	d := firestore.New(firestore.Config{Client: server.Client(), Endpoint: server.URL, Project: "jit-test", Database: "ledger"})
	if err := d.Release(t.Context(), "x", "us"); err == nil || calls != 40 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Nobody waits for ever, as a sweep would: neither for an answer nor for the end of one.
func TestACallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := firestore.New(firestore.Config{Client: &http.Client{Transport: silent{}}, Endpoint: "http://127.0.0.1:1", Project: "jit-test", Database: "ledger"})
		began := time.Now()
		if _, err := d.LastSweep(context.Background()); err == nil || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// What a proxy on the way says is told in one line, of which it does not make the form.
func TestAStatusIsNoText(t *testing.T) {
	d, _ := answering(t, 403, `{"error":{"code":403,"status":"X\n\u001b[31m`+strings.Repeat("y", 9000)+`","message":"\u001b[31m\nno"}}`)
	_, err := d.LastSweep(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 2000 {
		t.Errorf("%.300v", err)
	}
}

// A database in which somebody else keeps something by the same names is not made ours, and nothing
// in it is deleted.
func TestSomebodyElsesDatabaseIsLeftAlone(t *testing.T) {
	for _, collection := range []string{"requests", "outbox", "notes", "leases", "sessions", "state"} {
		home := rig(t)
		theirs := home.client.Collection(collection).Doc("abc")
		if _, err := home.client.Collection("state").Doc("-layout").Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Set(t.Context(), document{"until": 1, "made": 1}); err != nil {
			t.Fatal(err)
		}
		if err := home.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), collection+"/abc") {
			t.Errorf("%s: %v", collection, err)
		}
		if layout, err := home.client.Collection("state").Doc("-layout").Get(t.Context()); err == nil || layout.Exists() {
			t.Errorf("%s: it was made ours", collection)
		}
		if _, err := home.EndSession(t.Context(), "x", time.Unix(2e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Error(err)
		}
		if _, err := theirs.Get(t.Context()); err != nil {
			t.Errorf("%s: %v", collection, err)
		}
		if _, err := theirs.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := home.Prepare(t.Context()); err != nil { // with what is ours
			t.Error(err)
		}
	}
}
