package relational_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// SQLite keeps anything in any column. One such row keeps nothing else from being read.
func TestARowOfOtherTypesKeepsNoOtherFromBeingRead(t *testing.T) {
	for _, edit := range []string{
		"UPDATE requests SET version = 'x' WHERE id = '" + denied + "'",
		"UPDATE requests SET version = 1e300, made = 1 WHERE id = '" + denied + "'",
		"UPDATE requests SET made = 'x' WHERE id = '" + denied + "'",
		"UPDATE requests SET made = 1e300 WHERE id = '" + denied + "'",
		"UPDATE requests SET due = 1.5 WHERE id = '" + denied + "'",
		"INSERT INTO requests SELECT NULL, version, head, state, principal, resource, made, 1, summary FROM requests",
		"UPDATE outbox SET attempts = 'x' WHERE id = 'bad'",
		"UPDATE outbox SET made = 'x' WHERE id = 'bad'",
		"UPDATE outbox SET id = NULL WHERE id = 'bad'",
		"UPDATE outbox SET due = 0.5 WHERE id = 'bad'",
		"UPDATE events SET version = 'x' WHERE request_id = '" + denied + "' AND version = 3",
		"UPDATE parts SET place = 'x' WHERE request_id = '" + denied + "' AND version = 3",
		"UPDATE parts SET person = x'00' WHERE request_id = '" + denied + "' AND version = 3",
		"INSERT INTO sweeps VALUES (7, 'x')",
		"INSERT INTO notes VALUES ('policy', 'x', 'x', '', '', '', '', '')",
		"INSERT INTO notes VALUES ('doubt', 'x', 0.5, '', '', '', '', '')",
	} {
		c, home := newClock(), riggedHomes["SQLite"](t)
		s := store(t, home, c)
		scene(t, home, s, c)
		home.exec(t, "DROP TABLE copies")
		r, err := s.Open(t.Context(), pending)
		if err != nil {
			t.Fatal(err)
		}
		home.exec(t, "UPDATE requests SET due = 1")
		for _, id := range []string{"bad", "good"} {
			home.exec(t, "INSERT INTO outbox SELECT ?, id, '{\"kind\":\"review\",\"request\":' || summary || '}', 1, 1, 0, '', '', '' FROM requests WHERE id = ?", id, pending)
		}
		home.exec(t, edit)
		listed, err := s.List(t.Context(), access.Listing{Principal: r.Principal})
		if err != nil || len(listed.Requests) < 5 {
			t.Errorf("%s: lists %d, %v", edit, len(listed.Requests), err)
		}
		if due, err := s.Due(t.Context(), c.Now(), access.Due{}, 20); err != nil || len(due) < 5 {
			t.Errorf("%s: due %d, %v", edit, len(due), err)
		}
		if taken, err := taken(s.Take(t.Context(), c.Now(), time.Minute, 20, false)); err != nil || len(taken) < 1 {
			t.Errorf("%s: taken %d, %v", edit, len(taken), err)
		}
		if _, _, err := s.Count(t.Context(), access.Listing{}); err != nil {
			t.Errorf("%s: count %v", edit, err)
		}
		if _, err := s.KeepPolicy(t.Context(), []byte("version: 1")); err != nil {
			t.Errorf("%s: policy %v", edit, err)
		}
		if _, err := s.Doubted(t.Context()); err != nil {
			t.Errorf("%s: doubt %v", edit, err)
		}
		if _, err := s.LastSweep(t.Context()); err != nil {
			t.Errorf("%s: sweeps %v", edit, err)
		}
		if report, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || report.Requests < 6 {
			t.Errorf("%s: verify %+v, %v", edit, report, err)
		}
		if _, err := s.Open(t.Context(), pending); err != nil {
			t.Errorf("%s: %v", edit, err)
		}
	}
}

// What is longer than anything that was recorded is not fetched.
func TestTextsWithoutEndAreNotRead(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	scene(t, home, s, c)
	long := strings.Repeat("x", 3<<20)
	home.exec(t, "UPDATE requests SET summary = ? WHERE id = ?", long, denied)
	home.exec(t, "INSERT INTO outbox VALUES ('bad', ?, ?, 1, 1, 0, '', '', '')", denied, long)
	home.exec(t, "INSERT INTO notes VALUES ('policy', 'x', 1, ?, '', '', '', '')", long)
	home.exec(t, "UPDATE parts SET content = ? WHERE request_id = ? AND version = 3", long, denied)
	home.exec(t, "UPDATE events SET body = ? WHERE request_id = ? AND version = 3", long, denied)
	rows, err := home.List(t.Context(), ledger.Query{Principal: "ana@example.com", Max: 10})
	kept, err2 := home.Waiting(t.Context(), c.Now(), 10, false)
	notes, err3 := home.Notes(t.Context(), "policy", 10)
	entries, err4 := home.Load(t.Context(), denied)
	if err != nil || err2 != nil || err3 != nil || err4 != nil || len(kept) != 1 || len(notes) != 1 || len(entries) != 3 {
		t.Fatal(err, err2, err3, err4, len(kept), len(notes), len(entries))
	}
	size := len(kept[0].Notice) + len(notes[0].Body) + len(entries[2].Text) + len(entries[2].Parts[0].Data)
	for _, r := range rows {
		size += len(r.Summary)
	}
	if size > 100_000 {
		t.Errorf("%s were read", fmt.Sprint(size))
	}
}
