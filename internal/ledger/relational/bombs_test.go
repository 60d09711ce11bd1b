package relational_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// What somebody has written into a row, or signed with a key of their own, is small and
// would be large once it is read: patterns that repeat what repeats, and lists of nothing.
func TestShortTextsThatBecomeLargeAreNotRead(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	scene(t, home, s, c)
	pattern := `{"pattern":"` + strings.Repeat("(?:x{1000})", 300) + `"}`
	for what, put := range map[string]func(m map[string]json.RawMessage){
		"patterns": func(m map[string]json.RawMessage) {
			m["terms"] = json.RawMessage(`{"justification":[` + pattern + `]}`)
		},
		"lists": func(m map[string]json.RawMessage) {
			m["decisions"] = json.RawMessage("[" + strings.Repeat("{},", 2000) + "{}]")
		},
	} {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(home.text(t, "SELECT summary FROM requests WHERE id = ?", denied)), &m); err != nil {
			t.Fatal(err)
		}
		put(m)
		summary, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		home.exec(t, "UPDATE requests SET summary = ? WHERE id = ?", string(summary), denied)
		listed, err := s.List(t.Context(), access.Listing{Principal: "ana@example.com"})
		if err != nil || len(listed.Requests) < 4 {
			t.Fatalf("%s: %d, %v", what, len(listed.Requests), err)
		}
		for _, r := range listed.Requests {
			if len(r.Terms.Justification) > 0 || len(r.Decisions) > 10 {
				t.Errorf("%s: a list has them", what)
			}
		}
		aside := 0
		again := ledger.New(ledger.Config{Home: home, Signer: keys(t, secret), Now: c.Now, Random: rand.Reader, PutAside: func(ledger.Unreadable) { aside++ }})
		home.exec(t, "INSERT INTO outbox VALUES (?, ?, ?, 1, 1, 0, '', '', '')", what, denied, `{"kind":"denied","request":`+string(summary)+`}`)
		if taken, err := taken(again.Take(t.Context(), c.Now(), 5, 20, false)); err != nil || len(taken) != 0 || aside != 1 {
			t.Errorf("%s: %d were taken, %d put aside, %v", what, len(taken), aside, err)
		}
	}
	// A request that somebody has signed with a key of their own.
	content := home.text(t, "SELECT content FROM parts WHERE request_id = ? AND version = 1 AND place = 0", granted)
	content = strings.Replace(content, `"terms":{`, `"terms":{"justification":[`+pattern+`],`, 1)
	if !strings.Contains(content, "x{1000}") {
		content = strings.Replace(content, `"justification":"incident"`, `"justification":"incident","terms":{"justification":[`+pattern+`]}`, 1)
	}
	var own ledgerContent
	if err := json.Unmarshal([]byte(content), &own); err != nil || len(own.Request.Terms.Justification) != 1 {
		t.Fatal(err, content)
	}
	reseal(t, home, granted, content)
	if _, err := s.Open(t.Context(), granted); access.AsError(err) == nil || access.AsError(err).Code != access.CodeLedgerDamaged ||
		!strings.Contains(err.Error(), "too large") {
		t.Errorf("it opens: %v", err)
	}
}

type ledgerContent struct {
	Request struct {
		Terms struct{ Justification []any }
	}
}

// reseal puts other content into the first entry of a request, by a key of one's own.
func reseal(t *testing.T, home rigged, id, content string) {
	entries, err := home.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var text map[string]any
	if err := json.Unmarshal(entries[0].Text, &text); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, field := range [][]byte{[]byte("jitaccess ledger part 1"), entries[0].Parts[0].Salt, []byte(content)} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		h.Write(field)
	}
	home.exec(t, "UPDATE parts SET content = ? WHERE request_id = ? AND version = 1 AND place = 0", content, id)
	home.exec(t, "UPDATE events SET body = REPLACE(body, ?, ?) WHERE request_id = ? AND version = 1",
		text["parts"].([]any)[0], fmt.Sprintf("%x", h.Sum(nil)), id)
	signedBy(id, 1)(t, home)
}
