package relational_test

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// Whoever may write the database, and has no key, gets no request into a list, and nothing into
// one, that is not marked; what stands as it was recorded is said to be signed.
func TestListsSayWhatIsNotAsItWasRecorded(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s := store(t, home, c)
			scene(t, home, s, c)
			signed := map[string]access.Attestation{pending: access.Signed, denied: access.Signed, approved: access.Signed,
				granted: access.Signed, found: access.Signed, broken: access.Signed}
			listed := func(what string, want map[string]access.Attestation) {
				t.Helper()
				for _, s := range []*ledger.Store{s, store(t, home, c)} { // one that has seen them before, and one that has not
					list, err := s.List(t.Context(), access.Listing{Attest: true})
					got := map[string]access.Attestation{}
					for _, r := range list.Requests {
						got[r.ID] = r.Attestation
					}
					if err != nil || !maps.Equal(got, want) {
						t.Errorf("%s: %v, %v; want %v", what, got, err, want)
					}
				}
			}
			with := func(id string, a access.Attestation) map[string]access.Attestation {
				changed := maps.Clone(signed)
				changed[id] = a
				return changed
			}
			listed("untouched", signed)
			for _, change := range []struct{ what, column, to string }{
				{"another state", "state", "'active'"}, {"another person", "principal", "'eve@example.com'"},
				{"another project", "resource", "'projects/other'"}, {"another time", "made", "made + 1"}, {"another head", "head", "'00'"},
				{"another version", "version", "version + 1"}, {"no version", "version", "0"}, {"a version below none", "version", "-1"}, {"another reason", "summary", "replace(summary, 'incident', 'holiday')"},
				{"no summary", "summary", "''"},
			} {
				home.exec(t, "CREATE TABLE before AS SELECT * FROM requests WHERE id = ?", denied)
				home.exec(t, "UPDATE requests SET "+change.column+" = "+change.to+" WHERE id = ?", denied)
				listed(change.what, with(denied, access.Altered))
				home.exec(t, "DELETE FROM requests WHERE id = ?", denied)
				home.exec(t, "INSERT INTO requests SELECT * FROM before")
				home.exec(t, "DROP TABLE before")
			}
			listed("as before", signed)

			const invented = "mpa-9999999999999999"
			home.exec(t, `INSERT INTO requests SELECT ?, version, head, state, principal, resource, made, due, replace(summary, ?, ?)
				FROM requests WHERE id = ?`, invented, denied, invented, denied)
			listed("a row without entries", with(invented, access.Altered))
			home.exec(t, `INSERT INTO events SELECT ?, version, body, algorithm, key_id, public_key, signature FROM events WHERE request_id = ?`, invented, denied)
			listed("a row with another's entries", with(invented, access.Altered))
			home.exec(t, "DELETE FROM requests WHERE id = ?", invented)
			home.exec(t, "DELETE FROM events WHERE request_id = ?", invented)

			whole := ledger.New(ledger.Config{Home: home, Signer: keys(t, []byte(strings.Repeat("x", 32))), Now: c.Now, Random: rand.Reader})
			if _, err := whole.Commit(t.Context(), made(c, invented), nil); err != nil {
				t.Fatal(err)
			}
			listed("whole, with a key of their own", with(invented, access.SignedElsewhere))
			var table strings.Builder
			if err := ledger.ExportTable(t.Context(), home, keys(t, secret), &table); err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(strings.TrimSpace(table.String()), "\n")[1:] {
				if want := map[bool]string{true: ",unattested", false: ",signed"}[strings.HasPrefix(line, invented)]; !strings.HasSuffix(line, want) {
					t.Errorf("%s: not %s", line, want)
				}
			}

			home.exec(t, "DELETE FROM parts WHERE request_id = ?", invented)
			listed("without what was personal", with(invented, access.PartlyErased))
			home.exec(t, "UPDATE requests SET summary = '' WHERE id = ?", invented)
			listed("erased", with(invented, access.PartlyErased))
		})
	}
}

// What is listed was of an earlier moment than what is read of it: that is no damage.
func TestAListIsOfTheMomentOfItsRows(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	scene(t, home, s, c)
	later := ledger.New(ledger.Config{Home: earlier{home, s, c, t}, Signer: keys(t, secret), Now: c.Now, Random: rand.Reader})
	list, err := later.List(t.Context(), access.Listing{States: []access.State{access.Pending}, Attest: true})
	if err != nil || len(list.Requests) != 1 || list.Requests[0].Attestation != access.Signed {
		t.Errorf("%+v, %v", list, err)
	}
}

// earlier is a home in which a request is withdrawn behind a list.
type earlier struct {
	ledger.Home
	s *ledger.Store
	c *clock
	t *testing.T
}

func (e earlier) List(ctx context.Context, q ledger.Query) ([]ledger.Row, error) {
	rows, err := e.Home.List(ctx, q)
	for _, row := range rows {
		r, failed := e.s.Open(ctx, row.ID)
		if failed == nil {
			_, failed = e.s.Commit(ctx, access.Event{Action: access.RequestWithdrawn, At: e.c.Now(), Request: r,
				Caller: access.Caller{Principal: r.Principal}}, nil)
		}
		if failed != nil {
			e.t.Fatal(failed)
		}
	}
	return rows, err
}

// Texts without end hide what is in a list with them, and say so; and what cannot be read now is
// no damage.
func TestAListSaysWhatItHasNotLookedAt(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	scene(t, home, s, c)
	for i := range 20 {
		home.exec(t, `INSERT INTO parts (request_id, version, place, person, salt, content) VALUES (?, 1, ?, '', '', ?)`, granted, 100+i,
			strings.Repeat("x", 1<<20))
	}
	list, err := s.List(t.Context(), access.Listing{Attest: true})
	got := map[access.Attestation]int{}
	for _, r := range list.Requests {
		got[r.Attestation]++
	}
	if err != nil || got[access.Unlooked] == 0 || got[access.Unlooked]+got[access.Signed] != 6 {
		t.Errorf("%v, %v", got, err)
	}
	down := ledger.New(ledger.Config{Home: unread{home}, Signer: keys(t, secret), Now: c.Now, Random: rand.Reader})
	list, err = down.List(t.Context(), access.Listing{Attest: true})
	for _, r := range list.Requests {
		if r.Attestation != access.Unlooked {
			t.Errorf("%s: %s", r.ID, r.Attestation)
		}
	}
	if err != nil || len(list.Requests) != 6 {
		t.Errorf("%+v, %v", list, err)
	}
}

// unread is a home of which lists can be read, and nothing else.
type unread struct{ ledger.Home }

func (unread) LoadAll(context.Context, []string, int) (map[string][]ledger.Entry, bool, error) {
	return nil, false, errors.New("it is down")
}

// BenchmarkAttest is a page of a list whose requests are held against their entries: for the
// first time, and again.
func BenchmarkAttest(b *testing.B) {
	for name, open := range riggedHomes {
		c, home := newClock(), open(b)
		s := store(b, home, c)
		for i := range access.MaxPage {
			id := "mpa-00000000000000" + string(rune('0'+i/10)) + string(rune('0'+i%10))
			if _, err := s.Commit(b.Context(), made(c, id), nil); err != nil {
				b.Fatal(err)
			}
			r, err := s.Open(b.Context(), id)
			if err == nil {
				_, err = s.Commit(b.Context(), access.Event{Action: access.RequestDenied, At: c.Now(), Request: r, Caller: access.Caller{Principal: r.Reviewers[0]},
					Decision: access.Decision{Verdict: access.Deny, By: r.Reviewers[0], At: c.Now(), Digest: r.Digest(), Comment: "no"}}, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		for what, l := range map[string]access.Listing{"not": {}, "again": {Attest: true}, "first": {Attest: true}} {
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					if what == "first" {
						s = store(b, home, c)
					}
					if list, err := s.List(b.Context(), l); err != nil || len(list.Requests) != access.MaxPage ||
						l.Attest && list.Requests[7].Attestation != access.Signed {
						b.Fatal(list, err)
					}
				}
			})
		}
	}
}
